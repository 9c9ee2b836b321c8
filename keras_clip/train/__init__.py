"""Contrastive training: optimizer, pairs, checkpoints, callbacks, recipes."""
