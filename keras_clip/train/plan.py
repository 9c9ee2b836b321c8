"""What a training step of a CLIP will cost, before it is run."""

import math
from dataclasses import asdict, dataclass, replace

from keras_clip.models.clip import require_clip
from keras_clip.models.text_lengths import check_length
from keras_clip.train.activations import kept_numbers
from keras_clip.train.flops import forward_flops

_FLOAT32 = 4
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "float64": 8}


@dataclass(frozen=True)
class Plan:
    """The cost of a step: parameters, FLOPs (2 a multiply-add), bytes.

    Args:
        vision_parameters, text_parameters: of the towers; `parameters`: of the model.
        vision_forward_flops, text_forward_flops: of one picture, one text, at inference.
        pair_flops: of one pair in a training step.
        flops: of the whole step.
        weights, gradients, optimizer, inputs, activations: bytes; gradients and optimizer are of
            what is trained, activations of what is kept at a time.
        memory: bytes, all of these together: an estimate of the peak.
    """

    vision_parameters: int
    text_parameters: int
    parameters: int
    vision_forward_flops: float
    text_forward_flops: float
    pair_flops: float
    flops: float
    weights: int
    gradients: int
    optimizer: int
    inputs: int
    activations: int
    memory: int

    def to_dict(self):
        """Return the fields as a dictionary."""
        return asdict(self)


def plan(
    clip,
    batch_size,
    chunk_size=None,
    optimizer_slots=2,
    ema=False,
    rematerialized=False,
    context_length=None,
):
    """Estimate a training step of a CLIP, without running it.

    A training step takes 3 times the FLOPs of the forward pass, a fourth where it is computed
    again, in chunks or block by block; a frozen tower takes 1.

    Args:
        clip: CLIP, frozen as it will be trained.
        batch_size: int. Pairs a step.
        chunk_size: int or None. Pairs of which activations are kept at a time.
        optimizer_slots: int. Numbers that the optimizer keeps a weight; 2 for Adam.
        ema: bool. Whether a moving average of the weights is kept.
        rematerialized: bool. Whether the model was built under `keras.RematScope`.
        context_length: int or None. Tokens of the texts; None: the model's.

    Returns:
        Plan.

    Raises:
        ValueError: it is no CLIP, the batch has fewer than 2 pairs, or its texts cannot be of that
            length.
    """
    config = require_clip(clip, "clip").config
    if batch_size < 2:
        raise ValueError(f"batch_size is at least 2 pairs, not {batch_size}.")
    check_length(context_length, config.text)
    text = replace(config.text, context_length=context_length or config.text.context_length)
    towers = [(clip.get_layer("vision"), config.vision), (clip.get_layer("text"), text)]
    chunked = bool(chunk_size) and chunk_size < batch_size
    again = chunked or rematerialized
    flops = [_step_flops(tower, of, again) for tower, of in towers]
    logits = 3 * 2.0 * batch_size * config.text.projection_dim
    pair_flops = sum(flops) + logits
    trained = _count(clip.trainable_variables) * _FLOAT32
    sizes = {
        "weights": sum(_bytes(v) for v in clip.variables) + sum(map(_cast_weights, towers)),
        "gradients": trained,
        "optimizer": trained * (optimizer_slots + bool(ema)),
        "inputs": batch_size * sum(_input_numbers(tower, of) for tower, of in towers) * _FLOAT32,
        "activations": _activations(towers, batch_size, chunk_size if chunked else None,
                                    rematerialized),
    }  # fmt: skip
    return Plan(
        *(_count(tower.weights) for tower, _ in towers), _count(clip.weights),
        *(forward_flops(of) for _, of in towers), pair_flops, pair_flops * batch_size,
        **sizes, memory=sum(sizes.values()),
    )  # fmt: skip


def _step_flops(tower, config, again):
    times = (4 if again else 3) if tower.trainable_variables else 1
    return times * forward_flops(config, training=True)


def _activations(towers, batch_size, chunk_size, rematerialized):
    kept = [
        kept_numbers(config, rematerialized) * _BYTES[tower.layers[-1].compute_dtype]
        for tower, config in towers
        if tower.trainable_variables
    ]
    # In chunks, one tower has its turn after the other.
    pairs = chunk_size * max(kept, default=0) if chunk_size else batch_size * sum(kept)
    width = towers[1][1].projection_dim
    # Embeddings of both, their gradients; logits, their softmax or sigmoid, their gradient.
    return int(pairs + (4 * batch_size * width + 3 * batch_size**2) * _FLOAT32)


def _cast_weights(tower_and_config):
    """Bytes of the copy in half precision that a mixed policy computes with."""
    tower, _ = tower_and_config
    policy = tower.layers[-1].dtype_policy
    same = policy.compute_dtype == policy.variable_dtype
    return 0 if same else _count(tower.weights) * _BYTES[policy.compute_dtype]


def _input_numbers(tower, config):
    if not isinstance(tower.input, dict):
        shape = tower.input.shape[1:]
        return math.prod(shape) if None not in shape else config.context_length
    return config.image.max_patches * tower.input["patches"].shape[-1]


def _count(variables):
    return sum(math.prod(variable.shape) for variable in variables)


def _bytes(variable):
    return math.prod(variable.shape) * _BYTES.get(variable.dtype, _FLOAT32)
