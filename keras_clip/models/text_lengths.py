"""How much of its tokens a text tower reads."""

import numpy as np

# Lengths that texts are cut to; each is compiled once.
_BUCKETS = (8, 12, 16, 24, 32, 48, 64)


def used_lengths(token_ids, config):
    """Count the tokens that reach the embedding of each text: (..., T) int -> (...) int.

    Under a causal mask nothing behind the end of a text does.

    Args:
        token_ids: array.
        config: TextConfig.
    """
    if not config.causal or config.pooling == "last":
        return np.full(token_ids.shape[:-1], token_ids.shape[-1])
    if config.pooling == "highest_id":
        return np.argmax(token_ids, axis=-1) + 1
    return np.argmax(token_ids == config.end_token_id, axis=-1) + 1


def cut_texts(token_ids, *configs):
    """Leave out what no text tower reads of any text: (..., T) -> (..., at most T).

    Embeddings and gradients stay as they are, to rounding.

    Args:
        token_ids: array.
        configs: TextConfig of each model that is given them.
    """
    used = max(used_lengths(token_ids, config).max(initial=1) for config in configs)
    longest = token_ids.shape[-1]
    return token_ids[..., : next((b for b in _BUCKETS if used <= b < longest), longest)]
