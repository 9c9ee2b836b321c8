"""What transformers' classes assume where config.json or preprocessor_config.json are silent."""

from keras_clip.convert.defaults.pictures import HALF_NORM, OPENAI_NORM

_TWELVE = {"num_hidden_layers": 12, "num_attention_heads": 12}
_BASE = {**_TWELVE, "hidden_size": 768, "intermediate_size": 3072}
_PICTURE = {"image_size": 224, "num_channels": 3}
_CLIP = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
_CLIP_VISION = {**_BASE, **_CLIP, **_PICTURE, "patch_size": 32}
_CLIP_TEXT = {
    **_CLIP,
    **{"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12},
    **{"num_attention_heads": 8, "vocab_size": 49408, "max_position_embeddings": 77},
    **{"pad_token_id": 1, "eos_token_id": 49407},
}
_SIGLIP = {**_BASE, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6}
_SIGLIP_VISION = {**_SIGLIP, "num_channels": 3, "patch_size": 16, "vision_use_head": True}
_SIGLIP_TEXT = {**_SIGLIP, "vocab_size": 32000, "max_position_embeddings": 64}
_VIT = {
    **_BASE,
    **_PICTURE,
    **{"hidden_act": "gelu", "layer_norm_eps": 1e-12, "patch_size": 16, "qkv_bias": True},
}
_DINOV2 = {
    **{name: value for name, value in _VIT.items() if name != "intermediate_size"},
    **{"layer_norm_eps": 1e-6, "mlp_ratio": 4, "layerscale_value": 1.0, "use_swiglu_ffn": False},
}
# By the class that reads a section of config.json.
MODELS = {
    "CLIPConfig": {"projection_dim": 512},
    "CLIPVisionConfig": _CLIP_VISION,
    "CLIPTextConfig": _CLIP_TEXT,
    "MetaClip2Config": {"projection_dim": 512},
    "MetaClip2VisionConfig": _CLIP_VISION,
    "MetaClip2TextConfig": _CLIP_TEXT,
    "SiglipVisionConfig": {**_SIGLIP_VISION, "image_size": 224},
    "SiglipTextConfig": _SIGLIP_TEXT,
    "Siglip2VisionConfig": {**_SIGLIP_VISION, "num_patches": 256},
    "Siglip2TextConfig": _SIGLIP_TEXT,
    "ViTConfig": _VIT,
    "DeiTConfig": _VIT,
    "Dinov2Config": {**_DINOV2, "patch_size": 14},
    "Dinov2WithRegistersConfig": {**_DINOV2, "num_register_tokens": 4},
}

_ALWAYS = {"do_resize": True, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True}
_OPENAI = {"image_mean": OPENAI_NORM["mean"], "image_std": OPENAI_NORM["std"]}
_HALF = {"image_mean": HALF_NORM["mean"], "image_std": HALF_NORM["std"]}
_CROP = {"do_center_crop": True, "crop_size": {"height": 224, "width": 224}}
_SQUARE = {"height": 224, "width": 224}
# PIL's numbers of resampling filters.
_BILINEAR, _BICUBIC = 2, 3
_SHORTEST = {"size": {"shortest_edge": 224}, "default_to_square": False}
# By the class that preprocessor_config.json names.
PROCESSORS = {
    "CLIPImageProcessor": {**_ALWAYS, **_OPENAI, **_CROP, **_SHORTEST, "resample": _BICUBIC},
    "BitImageProcessor": {**_ALWAYS, **_OPENAI, **_CROP, **_SHORTEST, "resample": _BICUBIC},
    "ViTImageProcessor": {**_ALWAYS, **_HALF, "size": _SQUARE, "resample": _BILINEAR},
    "DeiTImageProcessor": {
        **{**_ALWAYS, **_HALF, **_CROP},
        **{"size": {"height": 256, "width": 256}, "resample": _BICUBIC},
    },
    "SiglipImageProcessor": {
        **{**_ALWAYS, **_HALF, "size": _SQUARE},
        **{"default_to_square": False, "resample": _BICUBIC},
    },
    "Siglip2ImageProcessor": {
        **{**_ALWAYS, **_HALF, "resample": _BILINEAR},
        **{"max_num_patches": 256, "patch_size": 16},
    },
}
