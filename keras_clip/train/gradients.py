"""What gradients are, before an optimizer uses them."""

import keras
from keras import ops


def dense(grad):
    """Gradient of an embedding on TensorFlow as a tensor; any other as it is.

    There it is rows with their numbers. Keras squares them one by one, which is wrong for a token
    that a batch holds twice.
    """
    if not hasattr(grad, "dense_shape"):
        return grad
    import tensorflow as tf

    return tf.math.unsorted_segment_sum(grad.values, grad.indices, grad.dense_shape[0])


def is_finite(tensors):
    """Whether the norm of all tensors together is finite."""
    if keras.backend.backend() == "torch":
        from torch.nn.utils import get_total_norm

        return ops.isfinite(get_total_norm(tensors))
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.math.is_finite(tf.linalg.global_norm(tensors))
    return ops.isfinite(sum(ops.sum(ops.square(ops.cast(t, "float32"))) for t in tensors))
