"""Pictures on disk: folders, tables and shards, read a batch at a time."""
