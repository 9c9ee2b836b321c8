"""How models of each origin want their pictures where nothing beside the weights says so."""

OPENAI_NORM = {
    "mean": (0.48145466, 0.4578275, 0.40821073),
    "std": (0.26862954, 0.26130258, 0.27577711),
}
IMAGENET_NORM = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
HALF_NORM = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}

# The official transforms crop as torchvision and convert to RGB last, transformers neither.
_OPENAI = {"crop": "openai", "color": "last"}
OPEN_CLIP = {"crop": "timm", "color": "last"}
TIMM = {"crop": "timm", "color": "first"}
_HUGGINGFACE = {"crop": "huggingface", "color": "first"}

CLIP = {**OPENAI_NORM, "resize_mode": "shortest", "interpolation": "bicubic", **_OPENAI}
SIGLIP = {**HALF_NORM, "resize_mode": "squash", "interpolation": "bicubic", **_HUGGINGFACE}
NAFLEX = {**HALF_NORM, "interpolation": "bilinear", "color": "first"}
# The original resizes without antialiasing, which no ImageConfig says: on large pictures its
# pixels are rougher than these.
BIG_VISION = {**SIGLIP, "interpolation": "bilinear"}
GOOGLE = {**HALF_NORM, "resize_mode": "squash", "interpolation": "bilinear", **_HUGGINGFACE}
VIT = GOOGLE  # the same models, as transformers has them
DEIT = {**IMAGENET_NORM, "resize_mode": "squash", "interpolation": "bicubic", **_HUGGINGFACE}
DINOV2 = {**IMAGENET_NORM, "resize_mode": "shortest", "interpolation": "bicubic", **_HUGGINGFACE}
DINOV2_OWN = {**DINOV2, "crop_fraction": 224 / 256, "crop": "openai"}
