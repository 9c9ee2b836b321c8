"""A batch that is spread over devices: its negatives are those of all of them, or none."""

import keras


def replica_count():
    """How many copies of the model `tf.distribute` trains; 1 elsewhere."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def host_count():
    """How many processes give a step on JAX their own rows of a batch; 1 elsewhere."""
    if keras.backend.backend() != "jax":
        return 1
    import jax

    return jax.process_count()


def gather_replicas(batch):
    """Put the rows of all replicas together, in nested dictionaries of tensors; differentiable.

    On JAX a step sees the whole batch anyway.
    """
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    return keras.tree.map_structure(lambda x: replica.all_gather(x, axis=0), batch)


def refuse_processes():
    """Raise where torch trains in several processes, whose negatives would be local ones.

    Raises:
        ValueError: torch.distributed has more than one process.
    """
    if keras.backend.backend() != "torch":
        return
    from torch import distributed

    if not distributed.is_available() or not distributed.is_initialized():
        return
    if distributed.get_world_size() > 1:
        raise ValueError(
            f"torch.distributed runs {distributed.get_world_size()} processes, but Keras does not "
            "bring their gradients together on torch, and a pair would only be told from those of "
            "its own process. Use KERAS_BACKEND=jax with keras.distribution.DataParallel, or one "
            "process with compile(chunk_size=...) for large batches."
        )
