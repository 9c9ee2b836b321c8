"""Where the package keeps what it can make, or fetch, again."""

import os
from pathlib import Path


def cache_directory():
    """The directory: KERAS_CLIP_CACHE, else `~/.cache/keras_clip`."""
    return Path(os.environ.get("KERAS_CLIP_CACHE") or "~/.cache/keras_clip").expanduser()
