"""Pictures found by what they look like: an index on disk, queries, near-duplicates."""

from keras_clip.search.changes import Changes
from keras_clip.search.description import Description
from keras_clip.search.errors import SearchError
from keras_clip.search.index import Hit, Index
from keras_clip.search.queries import combine

__all__ = ["Changes", "Description", "Hit", "Index", "SearchError", "combine"]
