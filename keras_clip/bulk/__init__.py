"""Embedding of any number of pictures, which goes on where it was stopped."""
