"""Several processes, each with devices of its own, that train one model together."""

import os

import keras

COORDINATOR = "KERAS_CLIP_COORDINATOR"
NUM_PROCESSES = "KERAS_CLIP_NUM_PROCESSES"
PROCESS_ID = "KERAS_CLIP_PROCESS_ID"
AUTO = "auto"


def initialize():
    """Join the other processes of this run and share every batch among all devices.

    Call it before anything is computed and before a model is built. The processes are those of

    - KERAS_CLIP_COORDINATOR (`host:port` of process 0), KERAS_CLIP_NUM_PROCESSES and
      KERAS_CLIP_PROCESS_ID (from 0), or KERAS_CLIP_COORDINATOR=auto: what JAX finds out by itself,
      as on TPU pods;
    - else SLURM, if `srun` started more than one task: one task a GPU;
    - else this one alone.

    If there is more than one device then and no distribution is set yet, Keras's `DataParallel`
    is: weights on every device, an equal share of every batch on each. Each process gives `fit` its
    own rows, as `Pairs(..., hosts=(index, count))` makes them.

    Returns:
        (index, count): which process this is, and of how many.

    Raises:
        RuntimeError: several processes on a backend other than JAX, whose negatives would be those
            of one process only; or something was computed already.
        ValueError: the variables contradict each other.
    """
    processes = _processes()
    if keras.backend.backend() != "jax":
        if processes is not None:
            raise RuntimeError(
                "Several processes train together on JAX only, since elsewhere each would see the "
                f"negatives of its own pairs alone: set KERAS_BACKEND=jax, or start one process "
                f"for {keras.backend.backend()}."
            )
        return 0, 1
    import jax

    if processes is not None and not jax.distributed.is_initialized():
        keras.distribution.initialize(*processes)
    if jax.device_count() > 1 and keras.distribution.distribution() is None:
        # Keras itself could shard tf.data alone, by rows and not by batches.
        shared = keras.distribution.DataParallel(auto_shard_dataset=False)
        keras.distribution.set_distribution(shared)
    return jax.process_index(), jax.process_count()


def _processes():
    """(coordinator, count, index) as Keras takes them, all None for JAX to find out; or None."""
    coordinator = os.environ.get(COORDINATOR)
    if coordinator == AUTO:
        return None, None, None
    if coordinator is None and not {NUM_PROCESSES, PROCESS_ID} & set(os.environ):
        slurm = int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1
        return (None, None, None) if slurm else None
    numbers = [os.environ.get(name, "") for name in (NUM_PROCESSES, PROCESS_ID)]
    if not coordinator or not all(number.isdecimal() for number in numbers):
        raise ValueError(
            f"{COORDINATOR}={coordinator!r}, {NUM_PROCESSES}={numbers[0]!r} and "
            f"{PROCESS_ID}={numbers[1]!r} go together: host:port of process 0 and two whole "
            f"numbers; or {COORDINATOR}={AUTO} alone."
        )
    count, index = map(int, numbers)
    if index >= count:
        raise ValueError(f"{PROCESS_ID}={index} is not below {NUM_PROCESSES}={count}.")
    return (coordinator, count, index) if count > 1 else None
