"""KerasHub's CLIP presets: config.json of a CLIPBackbone and its .weights.h5."""

from keras_clip.convert.defaults.pictures import CLIP
from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.huggingface_config import Fields
from keras_clip.convert.naming import check_image_tower
from keras_clip.convert.table import Row, Table, under
from keras_clip.convert.transforms import UNBATCHED, merge_heads, part, split_heads

FAMILY = "clip"

NAME = "keras_hub>CLIPBackbone"
NORM = (("0", "gamma"), ("1", "beta"))
DENSE = (("0", "kernel"), ("1", "bias"))
VISION = (
    Row("clip_vision_embedding/patch_embedding/vars/0", "patch_embedding/kernel"),
    Row("clip_vision_embedding/vars/0", "class_token/tokens", UNBATCHED),
    Row("clip_vision_embedding/position_embedding/vars/0", "position_embedding/embeddings"),
    Row("layer_normalization/vars/0", "norm_pre/gamma"),
    Row("layer_normalization/vars/1", "norm_pre/beta"),
    Row("layer_normalization_1/vars/0", "norm/gamma"),
    Row("layer_normalization_1/vars/1", "norm/beta"),
)
EMBEDDING = "token_and_position_embedding/"
TEXT = (
    Row(f"{EMBEDDING}token_embedding/vars/0", "token_embedding/embeddings"),
    Row(f"{EMBEDDING}position_embedding/vars/0", "position_embedding/embeddings"),
    Row("layer_normalization/vars/0", "norm/gamma"),
    Row("layer_normalization/vars/1", "norm/beta"),
)
TOP = (
    Row("layers/dense/vars/0", "vision/projection/kernel"),
    Row("layers/dense_1/vars/0", "text/projection/kernel"),
    Row("layers/clip_head/vars/0", "logit_scale/log_scale"),
)
# Position ids, and the version of Keras, are no weights.
IGNORE = ("*/clip_vision_embedding/vars/1",)
# KerasHub's text tower ends with a norm of epsilon 1e-6, but its weights are others', who have 1e-5
# there: so has the text tower here. The embeddings differ by less than 1e-5.
EPSILON = 1e-5
ACTIVATIONS = {"quick_gelu": "quick_gelu", "gelu": "gelu"}  # by KerasHub's names


def table(config, names=()):
    """Return the Table of a CLIP; `config` as of `config_from`, `names` of no influence.

    Raises:
        CheckpointError: the image tower is of another kind.
    """
    check_image_tower(config, "vit")
    rows = TOP
    for tower, outside in (("vision", VISION), ("text", TEXT)):
        source = f"layers/clip_{tower}_encoder/layers/"
        rows += under(outside, source, f"{tower}/")
        block = _block(config[tower]["num_heads"])
        for i in range(config[tower]["num_layers"]):
            name = f"clip_encoder_layer_{i}/" if i else "clip_encoder_layer/"
            rows += under(block, source + name, f"{tower}/block_{i}/")
    return Table(rows, IGNORE)


def _block(num_heads):
    """A block's rows; Keras's attention keeps heads on an axis of their own."""
    heads = split_heads(num_heads)
    qkv = (
        Row(f"attention/{name}_dense/vars/{i}", f"attention/qkv/{kind}", part(k, 3, heads))
        for k, name in enumerate(("query", "key", "value"))
        for i, kind in DENSE
    )
    return (
        *qkv,
        Row("attention/output_dense/vars/0", "attention/out/kernel", merge_heads(num_heads)),
        Row("attention/output_dense/vars/1", "attention/out/bias"),
        *(
            Row(f"{source}/vars/{i}", f"{target}/{kind}")
            for source, target, kinds in (
                ("layer_norm_1", "norm1", NORM),
                ("layer_norm_2", "norm2", NORM),
                ("dense_1", "mlp/fc1", DENSE),
                ("dense_2", "mlp/fc2", DENSE),
            )
            for i, kind in kinds
        ),
    )


def matches(names, config=None):
    """Tell whether this is a CLIPBackbone, by its configuration."""
    return (config or {}).get("registered_name") == NAME


def config_from(checkpoint, config, preprocessor=None, image_size=None):
    """Translate config.json: a dictionary for `CLIPConfig.from_dict`.

    Args:
        checkpoint: mapping of names to tensors; only its path is asked for.
        config: dictionary of the file.
        preprocessor: dictionary of image_converter.json, or None.

    Raises:
        CheckpointError: a value is of no use; the message names it.
    """
    where = f"{getattr(checkpoint, 'path', 'the checkpoint')}: config.json"
    top = Fields(_inside(config, where), {}, where)
    vision, text = (_tower(top, f"{tower}_encoder", where) for tower in ("vision", "text"))
    dim = top.integer("projection_dim")
    return {
        "vision": {
            **_encoder(vision),
            "patch_size": vision.pair("patch_size"),
            "image_size": vision.pair("image_shape"),
            "use_patch_bias": False,
            "use_norm_pre": True,
            "projection_dim": dim,
            "image": _image(preprocessor),
        },
        "text": {
            **_encoder(text),
            "vocabulary_size": text.integer("vocabulary_size"),
            "context_length": text.integer("max_sequence_length"),
            "projection_dim": dim,
        },
    }


def _inside(described, where):
    """The arguments of an object as Keras describes it; its class is known from elsewhere."""
    inside = described.get("config") if isinstance(described, dict) else None
    if not isinstance(inside, dict):
        raise CheckpointError(f"{where}: there is no 'config' in it; is the file complete?")
    return inside


def _tower(top, name, where):
    """The Fields of one encoder; the channels of its image_shape are left out."""
    values = _inside(top.get(name), f"{where}: {name}")
    shape = values.get("image_shape")
    size = {"image_shape": shape[:2]} if isinstance(shape, list) and len(shape) == 3 else {}
    return Fields({**values, **size}, {}, f"{where}: {name}")


def _encoder(fields):
    return {
        "hidden_dim": fields.integer("hidden_dim"),
        "num_layers": fields.integer("num_layers"),
        "num_heads": fields.integer("num_heads"),
        "mlp_dim": fields.integer("intermediate_dim"),
        "activation": fields.choice("intermediate_activation", ACTIVATIONS),
        "epsilon": EPSILON,
    }


def _image(converter):
    """OpenAI's transform, by which these models were trained, with the stored mean and std."""
    image, values = dict(CLIP), (converter or {}).get("config") or {}
    scale, offset = values.get("scale"), values.get("offset")
    if isinstance(scale, list) and isinstance(offset, list):
        image["std"] = tuple(1 / 255 / s for s in scale)
        image["mean"] = tuple(-o / 255 / s for o, s in zip(offset, scale, strict=True))
    return image
