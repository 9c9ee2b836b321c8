"""What a name or a missing field of a configuration stands for: one table a library."""
