"""Small models in every layout, written by the package's own tables."""

import json

import numpy as np

from keras_clip import CLIP, CLIPConfig, CLIPTokenizer, ViT, ViTConfig
from keras_clip.convert import table as engine
from keras_clip.convert import write_npz, write_safetensors, write_torch_zip
from keras_clip.convert.dialects import DIALECTS
from keras_clip.models.weights import named_weights
from keras_clip.preprocessing.byte_alphabet import merged_vocabulary

IDS = 514  # 256 bytes, the same at the end of a word, start and end
TOWER = {"hidden_dim": 64, "num_layers": 2, "num_heads": 1, "mlp_dim": 24}
CLIP_CONFIG = {
    "vision": {
        **TOWER,
        "patch_size": 8,
        "image_size": 32,
        "activation": "quick_gelu",
        "epsilon": 1e-5,
        "use_norm_pre": True,
        "use_patch_bias": False,
        "projection_dim": 16,
    },
    "text": {
        **TOWER,
        "vocabulary_size": IDS,
        "context_length": 12,
        "pad_token_id": 3,
        "projection_dim": 16,
    },
}
VIT_CONFIG = {
    **TOWER,
    "patch_size": 8,
    "image_size": 32,
    "activation": "gelu_tanh",
    "num_classes": 7,
    "position_resize": "bilinear_aligned",
}


def tokenizer(**settings):
    """A tokenizer of bytes, in CLIP's format."""
    vocabulary = merged_vocabulary([], "<|startoftext|>", "<|endoftext|>")
    return CLIPTokenizer(vocabulary, [], **{"context_length": 12, "pad_token_id": 3, **settings})


def clip():
    """A CLIP whose weights are all different from zero and one."""
    return _shaken(CLIP(CLIPConfig.from_dict(CLIP_CONFIG), tokenizer=tokenizer()))


def vit(**changes):
    """A ViT with a head, likewise."""
    return _shaken(ViT(ViTConfig.from_dict({**VIT_CONFIG, **changes})))


def _shaken(model):
    random = np.random.default_rng(0)
    for name, weight in named_weights(model).items():
        if name != "logit_scale/log_scale":
            weight.assign(0.1 * random.standard_normal(weight.shape).astype("float32") + 0.5)
    return model


def write(model, dialect, path, dtype=None):
    """Write a model in the layout of a dialect: a file, or a directory where there is no suffix."""
    config = model.config.to_dict()
    tensors = engine.write(DIALECTS[dialect].table(config), arrays(model), dtype)
    if path.suffix == ".npz":
        write_npz(path, tensors)
    elif path.suffix:
        write_torch_zip(path, tensors, *DIALECTS[dialect].config_to(config).values())
    else:
        path.mkdir()
        write_safetensors(path / "model.safetensors", tensors)
        for name, content in DIALECTS[dialect].config_to(config).items():
            (path / name).write_text(json.dumps(content))
    return path


def arrays(model):
    import keras

    return {n: keras.ops.convert_to_numpy(v.value) for n, v in named_weights(model).items()}


def same(one, other, names=None):
    """Whether two models have equal weights, those under `names` or all."""
    first, second = arrays(one), arrays(other)
    chosen = [n for n in first if names is None or n.startswith(names)]
    return bool(chosen) and all(np.array_equal(first[n], second[n]) for n in chosen)
