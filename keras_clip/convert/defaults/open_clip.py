"""What OpenCLIP assumes where open_clip_config.json is silent."""

from keras_clip.convert.defaults.pictures import OPENAI_NORM

MODEL_CFG = {"quick_gelu": False, "init_logit_scale": None, "init_logit_bias": None}
_ENCODER = {"mlp_ratio": 4.0, "ls_init_value": None, "act_kwargs": None, "norm_kwargs": None}
VISION_CFG = {
    **_ENCODER,
    **{"layers": 12, "width": 768, "head_width": 64, "patch_size": 16, "image_size": 224},
    **{"no_ln_pre": False, "final_ln_after_pool": False, "pool_type": "tok"},
}
TEXT_CFG = {
    **_ENCODER,
    **{"layers": 12, "width": 512, "heads": 8, "context_length": 77, "vocab_size": 49408},
    **{"no_causal_mask": False, "pool_type": "argmax", "proj_bias": False},
    **{"pad_id": 0, "eos_id": 2, "final_ln_after_pool": False},
}
PREPROCESS_CFG = {**OPENAI_NORM, "interpolation": "bicubic", "resize_mode": "shortest"}
# What `init_logit_scale=None` stands for.
INITIAL_SCALE = 1 / 0.07
# What the tensors of its own two-tower models do not show, but their sizes do: the width of the
# heads, by the width of a transformer or ResNet that sees pictures; all texts have heads of 64.
HEAD_WIDTHS = {
    **dict.fromkeys((384, 512, 768, 896, 1024), 64),
    **{1280: 80, 1408: 88, 1664: 104, 1792: 112},
}
RESNET_HEAD_WIDTHS = dict.fromkeys((64, 80, 96, 128), 64)
TEXT_HEAD_WIDTH = 64
# With this vocabulary the highest id ends a text.
VOCABULARY_SIZE = 49408
