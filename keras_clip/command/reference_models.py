"""The libraries that checkpoints were written for, asked for what they compute."""

import importlib
import warnings
from pathlib import Path

import numpy as np

from keras_clip.convert import openai


class ReferenceUnavailableError(Exception):
    """No reference library can read this checkpoint here; the message says why."""


def reference_outputs(layout, path, config, inputs):
    """What the reference library computes, in float32 on the CPU.

    Args:
        layout: str. A name in `keras_clip.presets.TABLES`.
        path: pathlib.Path of the checkpoint, a file or a directory.
        config: CLIPConfig or ViTConfig that was read from it.
        inputs: {"images": (n, H, W, 3) float32, "token_ids": (m, T) int32}, the latter for a CLIP.

    Returns:
        (library and version, {name of an output: array}).

    Raises:
        ReferenceUnavailableError: the library is not installed, or cannot load this checkpoint.
    """
    huggingface = ("transformers", _transformers) if layout.startswith("huggingface_") else None
    library, outputs = _LIBRARIES.get(layout, huggingface) or (None, None)
    if library is None:
        raise ReferenceUnavailableError(
            f"no other library that can be asked reads this layout, {layout}"
        )
    torch, module = _imported("torch"), _imported(library)
    if library == "transformers":
        module.utils.logging.set_verbosity_error()
        module.utils.logging.disable_progress_bar()
    images = torch.from_numpy(np.ascontiguousarray(inputs["images"].transpose(0, 3, 1, 2)))
    token_ids = inputs.get("token_ids")
    if token_ids is not None:
        token_ids = torch.from_numpy(token_ids.astype("int64"))
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a library says of itself is not about this file
            found = outputs(module, Path(path), config, images, token_ids)
    except ReferenceUnavailableError:
        raise
    except Exception as error:  # there is no telling what another library raises
        first = str(error).partition("\n")[0]
        raise ReferenceUnavailableError(f"{library} cannot load it: {first}") from error
    arrays = {name: value.float().numpy() for name, value in found.items()}
    return f"{library} {getattr(module, '__version__', '')}".strip(), arrays


def _imported(name):
    try:
        return importlib.import_module(name)
    except Exception as error:  # a library that is there but broken is as good as absent
        package = {"open_clip": "open_clip_torch"}.get(name, name)
        raise ReferenceUnavailableError(
            f"{name} cannot be imported ({str(error).splitlines()[0]}): pip install {package}"
        ) from error


def _transformers(transformers, path, config, images, token_ids):
    folder = _directory(path)
    if token_ids is not None:
        return _features(transformers.AutoModel.from_pretrained(folder), images, token_ids)
    if config.num_classes:
        auto = transformers.AutoModelForImageClassification
        return {"logits": auto.from_pretrained(folder).float().eval()(pixel_values=images).logits}
    model = transformers.AutoModel.from_pretrained(folder).float().eval()
    return {"tokens": model(pixel_values=images).last_hidden_state}


def _features(model, images, token_ids):
    model = model.float().eval()
    return {
        "image embeddings": _tensor(model.get_image_features(pixel_values=images)),
        "text embeddings": _tensor(model.get_text_features(input_ids=token_ids)),
    }


def _open_clip(open_clip, path, config, images, token_ids):
    model = open_clip.create_model(f"local-dir:{_directory(path)}").float().eval()
    return {
        "image embeddings": model.encode_image(images),
        "text embeddings": model.encode_text(token_ids),
    }


def _openai(open_clip, path, config, images, token_ids):
    import torch

    try:
        state = torch.jit.load(path, map_location="cpu").state_dict()
    except RuntimeError:  # not TorchScript, so a state dict
        state = torch.load(path, map_location="cpu", weights_only=True)
    state = state.get("state_dict", state)
    state = {name.removeprefix("module."): value.float() for name, value in state.items()}
    build = open_clip.openai.build_model_from_openai_state_dict
    model = build(dict(state), cast_dtype=torch.float32).float().eval()
    # The builder rounds to half precision, in which the official files are, and others not.
    model.load_state_dict({n: v for n, v in state.items() if n not in openai.IGNORE})
    return {
        "image embeddings": model.encode_image(images),
        "text embeddings": model.encode_text(token_ids),
    }


def _google(timm, path, config, images, token_ids):
    if config.pre_logits_dim:
        raise ReferenceUnavailableError("timm no longer builds the layer before the head")
    model = timm.models.vision_transformer.VisionTransformer(
        img_size=config.image_size,
        patch_size=config.patch_size,
        embed_dim=config.hidden_dim,
        depth=config.num_layers,
        num_heads=config.num_heads,
        mlp_ratio=config.mlp_dim / config.hidden_dim,
        num_classes=config.num_classes,
        act_layer=config.activation,  # flax's GELU is the tanh one, timm's default is not
    )
    model.load_pretrained(str(path))
    model = model.float().eval()
    if config.num_classes:
        return {"logits": model(images)}
    return {"tokens": model.forward_features(images)}


def _directory(path):
    return path if path.is_dir() else path.parent


def _tensor(output):
    """Newer versions of transformers wrap the features."""
    return getattr(output, "pooler_output", output)


_LIBRARIES = {
    "open_clip": ("open_clip", _open_clip),
    "openai": ("open_clip", _openai),
    "google": ("timm", _google),
}
