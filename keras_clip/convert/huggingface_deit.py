"""The DeiT directories of transformers: a ViT with a second prefix token, and perhaps two heads."""

from keras_clip.convert import huggingface_vit
from keras_clip.convert.defaults.pictures import DEIT
from keras_clip.convert.huggingface_images import image_config
from keras_clip.convert.table import Row, Table, under
from keras_clip.convert.transforms import BATCHED, LINEAR, part

FAMILY = "vit"

PREFIX = (
    Row("embeddings.cls_token", "class_token/tokens", part(0, 2, BATCHED, axis=0)),
    Row("embeddings.distillation_token", "class_token/tokens", part(1, 2, BATCHED, axis=0)),
)
HEADS = (
    Row("cls_classifier.weight", "head/kernel", LINEAR),
    Row("cls_classifier.bias", "head/bias"),
    Row("distillation_classifier.weight", "head_distillation/kernel", LINEAR),
    Row("distillation_classifier.bias", "head_distillation/bias"),
)


def table(config, names=None):
    """Return the Table of a DeiT.

    Args:
        config: as of `config_from`.
        names: of the file that is read, which has the prefix `deit.` or not; None: to write.
    """
    prefix = "deit." if config["num_classes"] else ""
    if names:
        prefix = "deit." if any(name.startswith("deit.") for name in names) else ""
    vit = huggingface_vit.table({**config, "num_classes": 0})
    rows = PREFIX + tuple(row for row in vit.rows if row.target != PREFIX[0].target)
    rows = under(rows, prefix)
    if config["num_classes"]:
        rows += HEADS if config["use_distillation_head"] else huggingface_vit.HEAD
    return Table(rows, tuple(prefix + name for name in vit.ignore))


def matches(names, config=None):
    """Tell whether this is a DeiT, by its configuration."""
    return (config or {}).get("model_type") == "deit"


def config_from(checkpoint, config, preprocessor=None, image_size=None):
    """Translate config.json: a dictionary for `ViTConfig.from_dict`.

    Raises:
        CheckpointError: a value is of no use; the message names it.
    """
    path = getattr(checkpoint, "path", "the checkpoint")
    distilled = HEADS[0].source in checkpoint
    return {
        **huggingface_vit.config_from(_FirstHead(checkpoint) if distilled else checkpoint, config),
        "num_prefix_tokens": 2,
        "use_distillation_head": distilled,
        "image": image_config(preprocessor, "DeiTImageProcessor", DEIT, path),
    }


def config_to(config):
    """Return {file name: content} of the JSON files that belong to the tensors."""
    files = huggingface_vit.config_to(config)
    kind = "ForImageClassification" if config["num_classes"] else "Model"
    if config["use_distillation_head"]:
        kind += "WithTeacher"
    values = {"architectures": [f"DeiT{kind}"], "model_type": "deit"}
    return {**files, "config.json": {**files["config.json"], **values}}


class _FirstHead(dict):
    """The first of two heads, under the name that a single one has."""

    def __init__(self, checkpoint):
        super().__init__({huggingface_vit.HEAD[0].source: checkpoint[HEADS[0].source]})
        self.path = getattr(checkpoint, "path", "the checkpoint")
