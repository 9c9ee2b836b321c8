"""CLIP and vision transformers for Keras 3, with the official checkpoints."""

import importlib
import sys
from pathlib import Path

from keras_clip.backend import BackendMissingError, choose_backend
from keras_clip.version import __version__

_PLACES = {
    "ImagePreprocessing": "preprocessing.image_layer", "ImageConfig": "preprocessing.image_config",
    "CheckpointError": "convert.errors", "layout_map": "train.layout", "preset_info": "catalogue",
    "CLIPTokenizer": "preprocessing.tokenizer", "DownloadError": "url_files", "ViT": "models.vit",
    "ImageError": "preprocessing.image_files", "load_prompts": "prompt_sets", "CLIP": "models.clip",
    "upload_preset": "upload", "ImageProcessor": "preprocessing.images", "from_preset": "presets",
    "list_presets": "catalogue", "export_checkpoint": "exporting", "UploadError": "upload",
    **dict.fromkeys(("CLIPConfig", "ResNetConfig", "TextConfig", "ViTConfig"), "models.config"),
}  # fmt: skip
_MODULES = ("bulk", "data", "evaluate", "finetune", "layers", "plot", "search", "train")
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
