"""Ways to fine-tune a CLIP, and to keep what it knew."""
