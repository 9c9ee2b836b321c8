"""CLIP and vision transformers for Keras 3, with the official checkpoints."""

import importlib
import sys
from pathlib import Path

from keras_clip.backend import BackendMissingError, choose_backend
from keras_clip.version import __version__

_PLACES = {
    "CLIP": "models.clip", "ViT": "models.vit", "from_preset": "presets", "UploadError": "upload",
    "CLIPConfig": "models.config", "TextConfig": "models.config", "DownloadError": "url_files",
    "ResNetConfig": "models.config", "ViTConfig": "models.config", "export_checkpoint": "exporting",
    "CLIPTokenizer": "preprocessing.tokenizer", "ImageError": "preprocessing.image_files",
    "ImageConfig": "preprocessing.image_config", "ImagePreprocessing": "preprocessing.image_layer",
    "ImageProcessor": "preprocessing.images", "CheckpointError": "convert.errors",
    "list_presets": "catalogue", "preset_info": "catalogue", "upload_preset": "upload",
}  # fmt: skip
__all__ = ["__version__", "layers", *_PLACES]
_REGISTERING = ("layers", "models.clip", "models.vit", "preprocessing.image_layer")


def __getattr__(name: str):
    """Imports what is asked for; what nobody uses costs no time."""
    if name not in __all__:
        raise AttributeError(f"module 'keras_clip' has no attribute {name!r}")
    if _missing:
        raise BackendMissingError(_missing)
    return getattr(importlib.import_module(f"keras_clip.{_PLACES[name]}"), name)


try:
    choose_backend()  # must come before Keras is first imported
    _missing = None
except BackendMissingError as error:
    _missing = str(error)  # the command line has to start, to say it in one line
# The command line loads Keras where a command computes: `list` and `--help` answer at once.
if not _missing and Path(sys.argv[0]).stem != "keras-clip":
    for _module in _REGISTERING:  # so that `keras.models.load_model` knows their classes
        importlib.import_module(f"keras_clip.{_module}")
