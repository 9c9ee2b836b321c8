"""Which images and texts of a batch belong together."""

from keras import ops


def pair_keys(pixels, token_ids, groups, match_duplicates):
    """Keys of n images and of their texts, of which equal ones mean that they belong together.

    Args:
        pixels: input `images` of n.
        token_ids: (n, T) or (n, K, T) int.
        groups: (n,) int or None. Pairs of one group belong together.
        match_duplicates: bool. Whether equal texts and equal images do.

    Returns:
        {name: (n, w, ...) int32}, `images` of each an image's and `texts` of each its texts' keys,
        or {} where only pairs belong together.
    """
    captions = token_ids if len(token_ids.shape) == 3 else token_ids[:, None]
    keys = {}
    if groups is not None:
        keys["groups"] = ops.reshape(ops.cast(groups, "int32"), (-1, 1, 1))
    if match_duplicates:
        parts = list(pixels.values()) if isinstance(pixels, dict) else [pixels]
        keys["images"] = sum(_fingerprints(x, 1, i) for i, x in enumerate(parts))[:, None]
        keys["texts"] = _fingerprints(captions, 2)
    return keys


def belong(image_keys, text_keys):
    """Whether an image and a text have a key in common: (c, a, w)s, (m, w)s -> (c, m) bool."""
    found = None
    for ours, theirs in zip(image_keys, text_keys, strict=True):
        for one in range(ours.shape[1]):
            same = ops.equal(ours[:, one, 0, None], theirs[:, 0])
            for word in range(1, ours.shape[2]):
                same = ops.logical_and(same, ops.equal(ours[:, one, word, None], theirs[:, word]))
            found = same if found is None else ops.logical_or(found, same)
    return found


def key_columns(keys, count, captions):
    """Sort keys of a batch of n pairs into those of images and those of texts, for `belong`.

    Args:
        keys: what `pair_keys` returned.
        count: n.
        captions: int. Texts an image.
    """
    keys = {"pairs": ops.reshape(ops.arange(count, dtype="int32"), (-1, 1, 1)), **keys}
    of_images, of_texts = [], []
    for name, value in keys.items():
        width = value.shape[-1]
        each = value if name == "texts" else ops.repeat(value, captions, axis=0)
        of_images.append(value)
        of_texts.append(ops.reshape(each, (-1, width)))
    return of_images, of_texts


def _fingerprints(rows, axes, salt=0):
    """64 bits of each row: its values, times numbers that look random, summed with overflow.

    (..., rest) -> (..., 2) int32, where all behind the first `axes` axes is a row.
    """
    shape = ops.shape(rows)
    if "float" in str(rows.dtype):
        bits = ops.view(ops.cast(rows, "float32"), "int32")
    else:
        bits = ops.cast(rows, "int32")
    bits = ops.reshape(bits, (*shape[:axes], -1))
    place = ops.arange(ops.shape(bits)[-1], dtype="int32")
    words = [ops.sum(bits * _mixed(place, 2 * salt + word), axis=-1) for word in range(2)]
    return ops.stack(words, axis=-1)


def _mixed(x, salt):
    """A number that looks random for each integer: a multiplicative hash, all in int32."""
    x = (x + 1) * -1640531527 + salt * 374761393
    for factor in (-2048144789, -1028477387):
        x = ops.bitwise_xor(x, ops.right_shift(x, 15)) * factor
    return ops.bitwise_xor(x, ops.right_shift(x, 13))
