"""The libraries that checkpoints were written for, asked for what they compute."""

import importlib
import warnings
from pathlib import Path

import keras
import numpy as np

from keras_clip.convert import openai
from keras_clip.convert.openai_answers import HEAD_WIDTH


class ReferenceUnavailableError(Exception):
    """No reference library can read this checkpoint here; the message says why."""


def reference_outputs(layout, path, config, inputs):
    """What the reference library computes, in float32 on the CPU.

    Args:
        layout: str. A name in `keras_clip.convert.dialects.DIALECTS`.
        path: pathlib.Path of the checkpoint, a file or a directory.
        config: CLIPConfig or ViTConfig that was read from it.
        inputs: {"images": what the image tower takes, float32, "token_ids": (m, T) int32}, the
            latter for a CLIP.

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
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a library says of itself is not about this file
            found = outputs(module, Path(path), config, _tensors(torch, inputs))
    except ReferenceUnavailableError:
        raise
    except Exception as error:  # there is no telling what another library raises
        first = str(error).partition("\n")[0]
        raise ReferenceUnavailableError(f"{library} cannot load it: {first}") from error
    arrays = {name: value.float().numpy() for name, value in found.items()}
    return f"{library} {getattr(module, '__version__', '')}".strip(), arrays


def _tensors(torch, inputs):
    """The inputs by transformers' names: pixels with channels first, or patches."""
    images, token_ids = inputs["images"], inputs.get("token_ids")
    if isinstance(images, dict):
        patches, grids = torch.from_numpy(images["patches"]), torch.from_numpy(images["grid_sizes"])
        mask = torch.arange(patches.shape[1])[None] < grids.prod(1, keepdim=True)
        found = {"pixel_values": patches, "pixel_attention_mask": mask, "spatial_shapes": grids}
    else:
        pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        found = {"pixel_values": torch.from_numpy(pixels)}
    if token_ids is not None:
        found["input_ids"] = torch.from_numpy(token_ids.astype("int64"))
    return found


def _imported(name):
    try:
        return importlib.import_module(name)
    except Exception as error:  # a library that is there but broken is as good as absent
        package = {"open_clip": "open_clip_torch", "keras_hub": "keras-hub"}.get(name, name)
        raise ReferenceUnavailableError(
            f"{name} cannot be imported ({str(error).splitlines()[0]}): pip install {package}"
        ) from error


def _transformers(transformers, path, config, inputs):
    folder = _directory(path)
    token_ids = inputs.pop("input_ids", None)
    if token_ids is not None:
        model = transformers.AutoModel.from_pretrained(folder).float().eval()
        return {
            "image embeddings": _features(model.get_image_features(**inputs)),
            "text embeddings": _features(model.get_text_features(input_ids=token_ids)),
        }
    if config.num_classes:
        auto = transformers.AutoModelForImageClassification
        return {"logits": auto.from_pretrained(folder).float().eval()(**inputs).logits}
    model = transformers.AutoModel.from_pretrained(folder).float().eval()
    return {"tokens": model(**inputs).last_hidden_state}


def _open_clip(open_clip, path, config, inputs):
    model = open_clip.create_model(f"local-dir:{_directory(path)}").float().eval()
    return _embeddings(model, inputs)


def _openai(open_clip, path, config, inputs):
    import torch

    try:
        state = torch.jit.load(path, map_location="cpu").state_dict()
    except RuntimeError:  # not TorchScript, so a state dict
        state = torch.load(path, map_location="cpu", weights_only=True)
    state = state.get("state_dict", state)
    state = {name.removeprefix("module."): value.float() for name, value in state.items()}
    if any(t.hidden_dim != HEAD_WIDTH * t.num_heads for t in (config.vision, config.text)):
        raise ReferenceUnavailableError(f"the builder's heads are {HEAD_WIDTH} wide")
    build, quick = open_clip.openai.build_model_from_openai_state_dict, config.text.activation
    model = build(dict(state), quick == "quick_gelu", torch.float32).float().eval()
    # The builder rounds to half precision, in which the official files are, and others not.
    model.load_state_dict({n: v for n, v in state.items() if n not in openai.IGNORE})
    return _embeddings(model, inputs)


def _google(timm, path, config, inputs):
    if config.pre_logits_dim:
        raise ReferenceUnavailableError("timm no longer builds the layer before the head")
    model = timm.models.vision_transformer.VisionTransformer(
        mlp_ratio=config.mlp_dim / config.hidden_dim,
        num_classes=config.num_classes,
        act_layer=config.activation,  # flax's GELU is the tanh one, timm's default is not
        **_sizes(config),
    )
    model.load_pretrained(str(path))
    return _of_timm(model, config, inputs)


def _dinov2(timm, path, config, inputs):
    import torch

    swiglu = config.activation == "swiglu"
    name = f"{'giant' if swiglu else 'small'}_patch14_{'reg4_' * bool(config.num_register_tokens)}"
    model = timm.create_model(
        f"vit_{name}dinov2",
        mlp_ratio=config.mlp_dim * (2 if swiglu else 1) / config.hidden_dim,
        **_sizes(config),
    )
    state = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(timm.models.vision_transformer.checkpoint_filter_fn(state, model))
    return _of_timm(model, config, inputs)


def _timm(timm, path, config, inputs):
    model = timm.create_model(f"local-dir:{_directory(path)}", pretrained=True)
    return _of_timm(model, config, inputs)


def _keras_hub(keras_hub, path, config, inputs):
    import torch

    model = keras_hub.models.CLIPBackbone.from_preset(str(_directory(path)))
    images = inputs["pixel_values"].permute(0, 2, 3, 1).numpy()
    found = {
        "image embeddings": model.get_vision_embeddings(images),
        "text embeddings": model.get_text_embeddings(inputs["input_ids"].int().numpy()),
    }
    return {n: torch.from_numpy(keras.ops.convert_to_numpy(v).copy()) for n, v in found.items()}


def _of_timm(model, config, inputs):
    model, images = model.float().eval(), inputs["pixel_values"]
    if config.is_pooled:
        return {"logits" if config.num_classes else "features": model(images)}
    return {"tokens": model.forward_features(images)}


def _sizes(config):
    return {
        "img_size": config.image_size,
        "patch_size": config.patch_size,
        "embed_dim": config.hidden_dim,
        "depth": config.num_layers,
        "num_heads": config.num_heads,
    }


def _embeddings(model, inputs):
    return {
        "image embeddings": model.encode_image(inputs["pixel_values"]),
        "text embeddings": model.encode_text(inputs["input_ids"]),
    }


def _directory(path):
    return path if path.is_dir() else path.parent


def _features(output):
    """Newer versions of transformers wrap them."""
    return getattr(output, "pooler_output", output)


_LIBRARIES = {
    "open_clip": ("open_clip", _open_clip),
    "open_clip_siglip": ("open_clip", _open_clip),
    "openai": ("open_clip", _openai),
    "google": ("timm", _google),
    "dinov2": ("timm", _dinov2),
    "timm": ("timm", _timm),
    "keras_hub": ("keras_hub", _keras_hub),
}
