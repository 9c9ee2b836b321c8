"""CLIP and vision transformers for Keras 3, with the official checkpoints."""

import importlib
import sys
from pathlib import Path

from keras_clip.backend import BackendMissingError, choose_backend
from keras_clip.version import __version__

_PLACES = {
    "UploadError": "upload", "ImageProcessor": "preprocessing.images", "DownloadError": "url_files",
    "load_prompts": "prompt_sets", "CheckpointError": "convert.errors", "from_preset": "presets",
    "list_presets": "catalogue", "CLIPTokenizer": "preprocessing.tokenizer", "CLIP": "models.clip",
    "ViTConfig": "models.config", "ImageError": "preprocessing.image_files", "ViT": "models.vit",
    "export_checkpoint": "exporting", "ResNetConfig": "models.config", "preset_info": "catalogue",
    "CLIPConfig": "models.config", "TextConfig": "models.config", "upload_preset": "upload",
    "ImageConfig": "preprocessing.image_config", "ImagePreprocessing": "preprocessing.image_layer",
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
