"""preprocessor_config.json of transformers, both ways: how pictures become pixels."""

import math

from keras_clip.convert.defaults.huggingface import PROCESSORS
from keras_clip.convert.errors import CheckpointError

# PIL's numbers of resampling filters.
INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}
_SCALE = 1 / 255


def image_config(preprocessor, kind, own, path="the checkpoint"):
    """Translate preprocessor_config.json: a dictionary for `ImageConfig`.

    The size is the model's, not this file's.

    Args:
        preprocessor: dictionary of the file, or None where there is none.
        kind: str. Class that reads the file where it names none, a key of PROCESSORS.
        own: the model's own treatment. It holds where there is no file; its crop and colours
            always do.
        path: of the checkpoint, for messages.

    Raises:
        CheckpointError: the class is not known, or the file asks for what is not done here.
    """
    if preprocessor is None:
        return dict(own)
    where = f"{path}: preprocessor_config.json"
    values = filled(preprocessor, kind, where)
    return {**own, **colors(values, where), **_geometry(values, where)}


def filled(preprocessor, kind, where):
    """Return the fields of the file, with what its class assumes where it is silent.

    Raises:
        CheckpointError: the class is not known, or pixels would not be resized and rescaled.
    """
    named = preprocessor.get("image_processor_type") or preprocessor.get("feature_extractor_type")
    if named is not None:
        name = str(named).removesuffix("Fast").removesuffix("Pil")
        kind = name.replace("FeatureExtractor", "ImageProcessor")
    if kind not in PROCESSORS:
        raise CheckpointError(f"{where}: {named!r} is not known; known are {list(PROCESSORS)}.")
    stated = {name: value for name, value in preprocessor.items() if value is not None}
    values = {**PROCESSORS[kind], **stated}
    wrong = {
        "do_resize": not values["do_resize"],
        "do_rescale": not values["do_rescale"],
        "rescale_factor": not math.isclose(float(values["rescale_factor"]), _SCALE, rel_tol=1e-4),
        "do_pad": bool(values.get("do_pad")),
    }
    if any(wrong.values()):
        stated = ", ".join(f"{name}={values[name]!r}" for name, found in wrong.items() if found)
        raise CheckpointError(f"{where}: {stated}: pictures are not treated like that here.")
    return values


def colors(values, where):
    """Return mean, std and interpolation."""
    found = {}
    for ours, theirs in (("mean", "image_mean"), ("std", "image_std")):
        numbers = values[theirs]
        numbers = [numbers] * 3 if isinstance(numbers, int | float) else numbers
        if len(numbers) != 3:
            raise CheckpointError(
                f"{where}: {theirs} has {len(numbers)} values, expected 3 (red, green, blue)."
            )
        found[ours] = tuple(float(number) for number in numbers)
    if not values["do_normalize"]:
        found = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    if values["resample"] not in INTERPOLATIONS:
        raise CheckpointError(
            f"{where}: resample is {values['resample']!r}, expected 2 (bilinear) or 3 (bicubic)."
        )
    return {**found, "interpolation": INTERPOLATIONS[values["resample"]]}


def preprocessor_config(config, kind):
    """Return preprocessor_config.json of a vision configuration.

    Args:
        config: dictionary of a ViTConfig.
        kind: str. Class that the model usually has, a key of PROCESSORS.

    Raises:
        CheckpointError: no class of transformers makes the same pixels.
    """
    image = config["image"]
    height, width = config["image_size"]
    scaled = [math.floor(side / image["crop_fraction"] + 1e-6) for side in (height, width)]
    shortest = image["resize_mode"] == "shortest"
    crops = shortest or image["crop_fraction"] < 1
    if shortest and height != width:
        raise CheckpointError(
            f"transformers scales the shorter side, whatever the crop, and fills up with black "
            f"what is missing of {height} x {width} pixels: image.resize_mode='shortest' is for "
            "square pictures there, 'squash' for all."
        )
    if crops and "crop_size" not in PROCESSORS[kind]:
        kind = "BitImageProcessor" if shortest else "DeiTImageProcessor"
    values = {
        "image_processor_type": kind,
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": scaled[0]}
        if shortest
        else {"height": scaled[0], "width": scaled[1]},
        **color_fields(image),
    }
    if "crop_size" in PROCESSORS[kind]:
        values["do_center_crop"] = crops
        values["crop_size"] = {"height": height, "width": width}
    return values


def color_fields(image):
    """Return the fields that say interpolation, mean and std."""
    numbers = {name: number for number, name in INTERPOLATIONS.items()}
    return {
        "resample": numbers[image["interpolation"]],
        "do_rescale": True,
        "rescale_factor": _SCALE,
        "do_normalize": True,
        "image_mean": list(image["mean"]),
        "image_std": list(image["std"]),
    }


def _geometry(values, where):
    """Return the resize mode and how much of the scaled picture the crop keeps."""
    size = _sides(values["size"], values.get("default_to_square", True))
    shortest = "shortest_edge" in size
    names = ("shortest_edge", "shortest_edge") if shortest else ("height", "width")
    scaled = [size.get(name) for name in names]
    crop = scaled
    if values.get("do_center_crop") and "crop_size" in values:
        crop = [_sides(values["crop_size"], True).get(name) for name in ("height", "width")]
    stated = f"size={values['size']!r}, crop_size={values.get('crop_size')!r}"
    if (
        any(type(side) is not int or side < 1 for side in (*scaled, *crop))
        or "longest_edge" in size
    ):
        raise CheckpointError(f"{where}: {stated} is not read.")
    fraction = min(kept / side for kept, side in zip(crop, scaled, strict=True))
    if fraction > 1 or [math.floor(kept / fraction + 1e-6) for kept in crop] != scaled:
        raise CheckpointError(
            f"{where}: {stated}: pictures are not filled up, nor scaled differently along both "
            "sides, before they are cropped here."
        )
    return {"resize_mode": "shortest" if shortest else "squash", "crop_fraction": fraction}


def _sides(size, square):
    """A size as transformers writes it today; the older files have numbers."""
    if isinstance(size, int):
        return {"height": size, "width": size} if square else {"shortest_edge": size}
    if isinstance(size, list) and len(size) == 2:
        return {"height": size[0], "width": size[1]}
    return size if isinstance(size, dict) else {}
