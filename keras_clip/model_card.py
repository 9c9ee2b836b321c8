"""The README.md of a preset on the Hub: what it is, how to load it, its configuration."""

import json

# What the Hub files a model under, by family; a ViT's depends on its head.
_PIPELINES = {
    "clip": "zero-shot-image-classification",
    "siglip": "zero-shot-image-classification",
    "clip_text": "feature-extraction",
}
_CLIP = """clip = keras_clip.from_preset("{source}")
clip.embed_images(["cat.jpg"])  # {dim} numbers a picture, unit length"""
_TEXTS = """clip.embed_texts(["a photo of a cat"])  # likewise
classifier = clip.zero_shot_classifier(["cat", "dog"])
classifier.predict(clip.image_processor(["cat.jpg"]))  # probabilities"""
_NO_TEXTS = """# The preset has no tokenizer: from_preset(..., tokenizer=path) for texts."""
_VIT = """vit = keras_clip.from_preset("{source}")
vit.predict(vit.image_processor(["cat.jpg"]))  # {what}"""
_TOWER = """tower = keras_clip.from_preset("{source}")  # one tower of a CLIP: a keras.Model"""


def model_card(repository, description, num_params, has_tokenizer, license=None):
    """Write the card of a preset; it says what is recorded in the preset and nothing else.

    Args:
        repository: `user/name` on the Hub.
        description: dictionary of the preset's config.json.
        num_params: int. Values in its file of weights.
        has_tokenizer: bool.
        license: str or None. A license's name as the Hub has it, such as `mit`.

    Returns:
        str: Markdown with YAML front matter.
    """
    family, config = description["family"], description["config"]
    source = description.get("source")
    base = source.removeprefix("hf://").partition("@")[0] if isinstance(source, str) else None
    matter = {
        "library_name": "keras",
        "license": license or description.get("license"),
        "base_model": base if base and source.startswith("hf://") else None,
        "pipeline_tag": _pipeline(family, config),
        "tags": ["keras", "keras-clip", family],
    }
    # JSON is YAML, and quotes what would mean something else.
    front = [f"{key}: {json.dumps(value)}" for key, value in matter.items() if value]
    origin = f" Its weights come from `{source}`." if source else ""
    lines = [
        "---", *front, "---", "",
        f"# {repository.partition('/')[2]}", "",
        f"A model of the family `{family}` with {num_params:,} parameters, for Keras 3 on JAX, "
        f"TensorFlow or PyTorch.{origin}", "",
        "```sh", "pip install keras-clip", "```", "",
        "```python", "import keras_clip", "", _usage(repository, family, config, has_tokenizer),
        "```", "",
        "## Configuration", "",
        "| field | value |", "|---|---|",
        *(f"| `{name}` | `{_cell(value)}` |" for name, value in _flat(config)),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _pipeline(family, config):
    head = "image-classification" if config.get("num_classes") else "image-feature-extraction"
    return _PIPELINES.get(family, head)


def _usage(repository, family, config, has_tokenizer):
    source = f"hf://{repository}"
    if family.startswith("clip_"):
        return _TOWER.format(source=source)
    if "vision" in config:
        vision = config["vision"]
        dim = vision.get("projection_dim") or vision.get("hidden_dim")
        return (
            _CLIP.format(source=source, dim=dim) + "\n" + (_TEXTS if has_tokenizer else _NO_TEXTS)
        )
    classes = config.get("num_classes")
    what = f"{classes} classes" if classes else "tokens, for heads of your own"
    return _VIT.format(source=source, what=what)


def _flat(config, prefix=""):
    """Yield (dotted name, value); what is None or a list of names is left out."""
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None and name != "labels":
            yield prefix + name, value


def _cell(value):
    text = json.dumps(list(value) if isinstance(value, tuple) else value)
    return text.strip('"').replace("|", "\\|").replace("`", "'")
