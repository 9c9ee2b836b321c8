"""CLIP and vision transformers for Keras 3, with the official checkpoints."""

import importlib
import sys
from pathlib import Path

from keras_clip.backend import BackendMissingError, choose_backend
from keras_clip.version import __version__

_PLACES = {
    "ImagePreprocessing": "preprocessing.image_layer", "ImageConfig": "preprocessing.image_config",
    "CLIPTokenizer": "preprocessing.tokenizer", "ImageError": "preprocessing.image_files",
    "ImageProcessor": "preprocessing.images", "CheckpointError": "convert.errors",
    "export_checkpoint": "exporting", "ResNetConfig": "models.config", "ViTConfig": "models.config",
    "CLIPConfig": "models.config", "TextConfig": "models.config", "DownloadError": "url_files",
    "list_presets": "catalogue", "preset_info": "catalogue", "upload_preset": "upload",
    "from_preset": "presets", "UploadError": "upload", "CLIP": "models.clip", "ViT": "models.vit",
}  # fmt: skip
_MODULES = ("bulk", "data", "evaluate", "layers", "plot", "search")
__all__ = ["__version__", *_MODULES, *_PLACES]


def __getattr__(name: str):
    """Imports what is asked for; what nobody uses costs no time."""
    if name not in __all__:
        raise AttributeError(f"module 'keras_clip' has no attribute {name!r}")
    if _missing:
        raise BackendMissingError(_missing)
    module = importlib.import_module(f"keras_clip.{_PLACES.get(name, name)}")
    return module if name in _MODULES else getattr(module, name)


try:
    choose_backend()  # must come before Keras is first imported
    _missing = None
except BackendMissingError as error:
    _missing = str(error)  # the command line has to start, to say it in one line
if not _missing and Path(sys.argv[0]).stem != "keras-clip":  # so `load_model` knows their classes
    for _module in ("layers", "models.clip", "models.vit", "preprocessing.image_layer"):
        importlib.import_module(f"keras_clip.{_module}")
