"""Chunk by chunk on TensorFlow, where the batch size may be unknown while a graph is made."""

import keras


def tensorflow_chunks(function, values, state, rows, chunk_size):
    """`keras_clip.models.chunked.map_chunks` as two loops, the second in a gradient of its own.

    A chunk's rows are gathered, and the last row fills the last chunk up, so that all chunks have
    one shape, as XLA needs.
    """
    import tensorflow as tf

    values = [tf.convert_to_tensor(x) for x in values]
    state = [tf.convert_to_tensor(x) for x in state]
    rows = keras.tree.map_structure(tf.convert_to_tensor, rows)
    loops = _Loops(function, state, rows, chunk_size)

    @tf.custom_gradient
    def run(*values):
        # The first loop is never differentiated: the second computes its chunks again.
        outputs = [tf.stop_gradient(x) for x in loops.forward(values)]
        return outputs, lambda upstream, *_, variables=None: loops.backward(values, upstream)

    outputs, *state = run(*values)
    return outputs, state


class _Loops:
    """Both passes over the chunks of some rows."""

    def __init__(self, function, state, rows, chunk_size):
        import tensorflow as tf

        self.function, self.state, self.rows = function, state, rows
        self.count = tf.shape(keras.tree.flatten(rows)[0])[0]
        self.chunks = -(-self.count // chunk_size)
        self.size = -(-self.count // self.chunks)

    def chunk(self, index):
        """Rows of a chunk."""
        import tensorflow as tf

        places = tf.minimum(index * self.size + tf.range(self.size), self.count - 1)
        return keras.tree.map_structure(lambda x: tf.gather(x, places), self.rows)

    def loop(self, body, *start):
        """Run `body(index, ...)` for every chunk, one at a time, or memory would be of ten."""
        import tensorflow as tf

        def step(index, *loop):
            return index + 1, *body(index, *loop)

        start = (tf.constant(0), *start)
        return tf.while_loop(lambda i, *_: i < self.chunks, step, start, parallel_iterations=1)[1:]

    def forward(self, values):
        """All outputs, and the state at the end."""
        import tensorflow as tf

        def body(index, array, *state):
            outputs, state = self.function(values, state, self.chunk(index))
            return array.write(index, outputs), *state

        array = tf.TensorArray("float32", size=self.chunks, element_shape=None, infer_shape=False)
        array, *state = self.loop(body, array, *self.state)
        outputs = array.stack()
        shape = tf.concat([[self.chunks * self.size], tf.shape(outputs)[2:]], axis=0)
        return tf.reshape(outputs, shape)[: self.count], *state

    def backward(self, values, upstream):
        """Gradients of the values, given that of the outputs."""
        import tensorflow as tf

        missing = self.chunks * self.size - self.count
        filling = tf.zeros(tf.concat([[missing], tf.shape(upstream)[1:]], axis=0), upstream.dtype)
        upstream = tf.concat([upstream, filling], axis=0)

        def body(index, sums, state):
            copies = [tf.identity(x) for x in values]  # a tape sees what is made in its own graph
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(copies)
                outputs, state = self.function(copies, state, self.chunk(index))
            part = upstream[index * self.size : (index + 1) * self.size]
            found = tape.gradient(outputs, copies, part, unconnected_gradients="zero")
            return [x + y for x, y in zip(sums, found, strict=True)], list(state)

        return self.loop(body, [tf.zeros_like(x) for x in values], self.state)[0]
