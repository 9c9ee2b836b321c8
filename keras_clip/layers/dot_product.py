"""Scaled dot-product attention, by Keras's own kernel or spelt out."""

import keras
from keras import ops


def attend(query, key, value, mask=None, causal=False):
    """Mix values by how well their keys match the query: (B, Q, H, D) -> (B, Q, H, D).

    Args:
        query: floating tensor (B, Q, H, D), of H heads.
        key: (B, K, H, D), of the same dtype.
        value: (B, K, H, D), of the same dtype.
        mask: bool, broadcast to (B, H, Q, K), True where a key may be seen; or None.
        causal: bool. Position i sees positions 0 to i only.
    """
    if _has_no_kernel(query):
        return attend_with_scores(query, key, value, mask, causal)[0]
    if causal and mask is not None:  # Keras before 3.15 on torch leaves `is_causal` out then
        mask, causal = ops.logical_and(mask, _causal_mask(ops.shape(key)[1])), False
    return ops.dot_product_attention(query, key, value, mask=mask, is_causal=causal)


def attend_with_scores(query, key, value, mask=None, causal=False, dropout=None):
    """Do the same spelt out, and also return the weights (B, H, Q, K), before their `dropout`."""
    scores = ops.einsum("bqhd,bkhd->bhqk", query, key)
    scores = ops.cast(scores, "float32") * query.shape[-1] ** -0.5
    if causal:
        seen = _causal_mask(ops.shape(scores)[-1])
        mask = seen if mask is None else ops.logical_and(mask, seen)
    if mask is not None:
        scores = ops.where(mask, scores, -1e30)
    scores = ops.cast(ops.softmax(scores, axis=-1), value.dtype)
    kept = scores if dropout is None else dropout(scores)
    return ops.einsum("bhqk,bkhd->bqhd", kept, value), scores


def _causal_mask(length):
    """(1, 1, Q, K), for as many queries as keys."""
    positions = ops.arange(length)
    return (positions[None, :] <= positions[:, None])[None, None]


def _has_no_kernel(query):
    # jax's kernel asks for float16 products with float32 sums, which XLA has not on a CPU.
    if keras.backend.backend() != "jax" or query.dtype != "float16":
        return False
    import jax

    return jax.default_backend() == "cpu"
