"""A function of many rows computed chunk by chunk, whose gradient needs the memory of one chunk."""

import keras
from keras import ops

from keras_clip.models.chunked_tensorflow import tensorflow_chunks


def embed_chunks(tower, rows, chunk_size, training):
    """Run a tower chunk by chunk, and in the backward pass once more: rows -> (n, dim).

    Both passes draw the same random numbers, since the states of the generators go in and out as
    values; between them only the embeddings are kept.

    Args:
        tower: keras.Model of one output.
        rows: tensor (n, ...), or a dictionary of them.
        chunk_size: int. Rows at a time, at most.
        training: bool.

    Reference: "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup"
    (arXiv 2101.06983), section 3.2.
    """
    weights, seeds, fixed = _sorted_variables(tower)

    def embed(values, state, chunk):
        known = [*fixed, *zip(weights, values, strict=True), *zip(seeds, state, strict=True)]
        with keras.StatelessScope(state_mapping=known) as scope:
            outputs = ops.cast(tower(chunk, training=training), "float32")
        return outputs, [scope.get_current_value(seed) for seed in seeds]

    values = [weight.value for weight in weights]
    state = [ops.copy(seed.value) for seed in seeds]  # torch assigns in place, before pass two
    embeddings, state = map_chunks(embed, values, state, rows, chunk_size)
    for seed, value in zip(seeds, state, strict=True):
        seed.assign(value)
    return ops.reshape(embeddings, (-1, tower.output.shape[-1]))


def map_chunks(function, values, state, rows, chunk_size):
    """Apply a function to rows chunk by chunk; it is differentiable, and recomputed for that.

    Args:
        function: function(values, state, chunk) -> (outputs (c, ...) float32, state).
        values: list of tensors, differentiated.
        state: list of tensors that each chunk hands on to the next; not differentiated.
        rows: tensor (n, ...), or a dictionary of them; not differentiated.
        chunk_size: int. Rows at a time, at most; the chunks are as equal as can be.

    Returns:
        (outputs (n, ...), state).
    """
    run = {"jax": jax_chunks, "torch": torch_chunks, "tensorflow": tensorflow_chunks}
    return run[keras.backend.backend()](function, values, state, rows, chunk_size)


def jax_chunks(function, values, state, rows, chunk_size):
    """`map_chunks` as a scan.

    Chunk j takes every k-th row from j on: where the rows are split over devices, each device then
    has its share of every chunk.
    """
    import jax

    count = len(keras.tree.flatten(rows)[0])
    chunks = -(-count // chunk_size)
    size = -(-count // chunks)

    def split(x):
        if size * chunks > count:
            x = ops.concatenate([x, ops.repeat(x[-1:], size * chunks - count, axis=0)])
        return ops.reshape(x, (size, chunks, *x.shape[1:]))

    def chunk_of(x, index):
        return jax.lax.dynamic_index_in_dim(x, index, axis=1, keepdims=False)

    def step(state, index):
        chunk = keras.tree.map_structure(lambda x: chunk_of(x, index), parts)
        outputs, state = function(values, state, chunk)
        return state, outputs

    parts = keras.tree.map_structure(split, rows)
    step = jax.checkpoint(step, prevent_cse=False)
    state, outputs = jax.lax.scan(step, state, ops.arange(chunks))
    outputs = ops.swapaxes(outputs, 0, 1)
    return ops.reshape(outputs, (-1, *outputs.shape[2:]))[:count], state


def torch_chunks(function, values, state, rows, chunk_size):
    """`map_chunks` by torch's own checkpoints."""
    from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

    count = len(keras.tree.flatten(rows)[0])
    size = -(-count // -(-count // chunk_size))
    outputs = []
    for start in range(0, count, size):
        chunk = keras.tree.map_structure(lambda x, i=start: x[i : i + size], rows)
        # torch's own state is kept too, since Keras's dropout draws from it on torch.
        # An early stop is an exception, whose cycle of references would hold a chunk for long.
        with set_checkpoint_early_stop(False):
            output, state = checkpoint(function, values, state, chunk, use_reentrant=False)
        outputs.append(output)
    return ops.concatenate(outputs), state


def _sorted_variables(tower):
    """(trained ones, states of random generators, [(other, its value)])."""
    kept = {id(variable) for variable in tower.weights}
    weights = [variable for variable in tower.weights if variable.trainable]
    fixed = [(v, ops.stop_gradient(v.value)) for v in tower.weights if not v.trainable]
    return weights, [v for v in tower.variables if id(v) not in kept], fixed
