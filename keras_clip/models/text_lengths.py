"""How much of its tokens a text tower reads."""

import numpy as np

# Lengths that texts are cut to; each is compiled once.
_BUCKETS = (8, 12, 16, 24, 32, 48, 64)


def used_lengths(token_ids, config):
    """Count the tokens that reach the embedding of each text: (..., T) int -> (...) int.

    Args:
        token_ids: array.
        config: TextConfig.
    """
    if not _ignores_padding(config):
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


def check_length(length, config):
    """Raise a ValueError where texts cannot be cut and padded to a length.

    Args:
        length: int, or None: the tower's own.
        config: TextConfig.
    """
    longest = config.context_length
    if length in (None, longest):
        return
    if not isinstance(length, int) or not 2 <= length <= longest:
        raise ValueError(
            f"context_length is a whole number from 2 to the model's {longest}, not {length!r}."
        )
    if not _ignores_padding(config):
        raise ValueError(
            f"context_length is the model's {longest}, not {length}: its text tower also reads "
            "what is behind a caption's end."
        )


def _ignores_padding(config):
    return config.causal and config.pooling != "last"
