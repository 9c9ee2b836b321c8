"""How a CLIP is trained: `compile`, `fit`, `evaluate`, and the step between."""

from contextlib import contextmanager
from contextvars import ContextVar

import keras
from keras import ops

from keras_clip.models.chunked import embed_chunks, map_chunks
from keras_clip.models.contrastive import ContrastiveLoss
from keras_clip.models.kept_weights import kept_weights
from keras_clip.models.pair_checks import (
    check_batches,
    check_chunks,
    check_counts,
    check_loss,
)
from keras_clip.models.pairing import belong, key_columns, pair_keys
from keras_clip.models.replicas import gather_replicas, refuse_processes, replica_count

# Whether a step of `fit` or `evaluate` is running; each replica of TensorFlow has its own thread.
_IN_STEP = ContextVar("in_step", default=False)


class Contrastive:
    """Mixin of a keras.Model: trained on pairs of images and texts, in chunks where asked for."""

    contrastive_loss = None
    chunk_size = None

    def _accept_captions(self):
        """Let Keras's check of inputs pass token ids of several captions an image."""
        if self.input_spec is not None:  # sorted by name, as Keras flattens a dictionary
            token_ids = keras.layers.InputSpec(min_ndim=2, max_ndim=3, name="token_ids")
            self.input_spec = [*self.input_spec[:-1], token_ids]

    def compile(self, optimizer="rmsprop", loss=None, chunk_size=None, **kwargs):
        """Configure the training; otherwise as Keras's `compile`.

        Args:
            optimizer: Keras's, or its name.
            loss: ContrastiveLoss; None: one without options.
            chunk_size: int or None. Images and texts that are embedded at a time. The batch can
                then be as large as wished: gradients stay those of the whole batch, memory that of
                a chunk, and the towers run forward twice ("Scaling Deep Contrastive Learning Batch
                Size under Memory Limited Setup", arXiv 2101.06983). None: all at once.

        Raises:
            ValueError: no such loss, or one that does not fit the model; or a chunk_size below 1.
        """
        loss = ContrastiveLoss() if loss is None else loss
        check_loss(loss, self.config)
        if chunk_size is not None and (type(chunk_size) is not int or chunk_size < 1):
            raise ValueError(f"chunk_size is a positive integer or None, not {chunk_size!r}.")
        super().compile(optimizer, **kwargs)
        self.contrastive_loss, self.chunk_size = loss, chunk_size

    def get_compile_config(self):
        """Return what `compile` was given, for a `.keras` file."""
        config = super().get_compile_config()
        if config:
            loss = keras.saving.serialize_keras_object(self.contrastive_loss)
            config = {**config, "loss": loss, "chunk_size": self.chunk_size}
        return config

    def compile_from_config(self, config):
        """Compile as `get_compile_config` says."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(self, x=None, y=None, batch_size=None, **kwargs):
        """Train on {"images", "token_ids"}; otherwise as Keras's `fit`.

        Args:
            x: {"images": n of them, "token_ids": (n, T), or (n, K, T) for K captions an image},
                or a dataset of it.
            y: (n,) int or None. Pairs of equal y belong together.
            batch_size: int. Pairs a step, for arrays.

        Raises:
            ValueError: no data, data that is none or cannot teach anything, or a batch of fewer
                than two pairs. The weights are those of the last whole step.
        """
        check_batches(self, x, y, batch_size or 32)
        with kept_weights(self):
            return super().fit(x, y, batch_size=batch_size, **kwargs)

    def evaluate(self, x=None, y=None, batch_size=None, **kwargs):
        """Return the contrastive loss of {"images", "token_ids"}; otherwise as Keras's `evaluate`.

        Raises:
            ValueError: as `fit`.
        """
        check_batches(self, x, y, batch_size or 32)
        with kept_weights(self):
            return super().evaluate(x, y, batch_size=batch_size, **kwargs)

    def train_step(self, *args):
        with _step():
            return super().train_step(*args)

    def test_step(self, *args):
        with _step():
            return super().test_step(*args)

    def call(self, inputs, training=None, mask=None):
        """As the graph; token ids (n, K, T) are n * K texts."""
        if isinstance(inputs, dict) and len(getattr(inputs.get("token_ids"), "shape", ())) == 3:
            shape = (-1, inputs["token_ids"].shape[-1])
            inputs = {**inputs, "token_ids": ops.reshape(inputs["token_ids"], shape)}
        if _IN_STEP.get() and self.chunk_size:
            return _embed(self, inputs, self.chunk_size, bool(training))
        return super().call(inputs, training=training, mask=mask)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Contrastive loss of a batch of pairs, in float32."""
        if sample_weight is not None:
            raise ValueError("A contrastive loss has no weights of samples: leave them out.")
        refuse_processes()
        loss = _loss_of(self, x, y, y_pred)
        for extra in self.losses:
            loss = loss + ops.cast(extra, "float32")
        return loss / replica_count()


@contextmanager
def _step():
    token = _IN_STEP.set(True)
    try:
        yield
    finally:
        _IN_STEP.reset(token)


def _embed(clip, inputs, chunk_size, training):
    """Embeddings of unit length, of images and texts, chunk by chunk."""
    outputs = {}
    for name, key, output in (
        ("vision", "images", "image_embeddings"),
        ("text", "token_ids", "text_embeddings"),
    ):
        tower = clip.get_layer(name)
        check_chunks(tower, training)
        rows = embed_chunks(tower, inputs[key], chunk_size, training)
        outputs[output] = clip.get_layer(output)(rows)
    return outputs


def _loss_of(clip, x, y, outputs):
    """Loss of the outputs of a batch, of all replicas."""
    loss, scale = clip.contrastive_loss, clip.get_layer("logit_scale")
    token_ids = x["token_ids"]
    captions = token_ids.shape[1] if len(token_ids.shape) == 3 else 1
    images, texts = outputs["image_embeddings"], outputs["text_embeddings"]
    images, texts = check_counts(images, texts, y, captions)
    keys = pair_keys(x["images"], token_ids, y, loss.match_duplicates)
    gathered = gather_replicas({"images": images, "texts": texts, "keys": keys})
    images, texts, keys = (gathered[name] for name in ("images", "texts", "keys"))
    if clip.config.is_sigmoid:
        keys = key_columns(keys, ops.shape(images)[0], captions)
        size = clip.chunk_size
        return ops.mean(_sigmoid_rows(loss, scale, images, texts, keys, size))
    positives = None
    if keys or captions > 1:
        positives = belong(*key_columns(keys, ops.shape(images)[0], captions))
    logits = scale(images, texts)
    return loss.softmax(logits, positives)


def _sigmoid_rows(loss, scale, images, texts, keys, chunk_size):
    """Loss of each image, without ever holding all the logits where there are chunks."""
    of_images, of_texts = keys
    if not chunk_size:
        return loss.sigmoid(scale(images, texts), belong(of_images, of_texts))

    def rows_of(values, state, chunk):
        images, texts, *weights = values
        some = ops.take(images, chunk["places"], axis=0)
        with keras.StatelessScope(list(zip(scale.weights, weights, strict=True))):
            logits = scale(some, texts)
        return loss.sigmoid(logits, belong(chunk["keys"], of_texts)), state

    values = [images, texts, *(weight.value for weight in scale.weights)]
    rows = {"places": ops.arange(ops.shape(images)[0]), "keys": of_images}
    return map_chunks(rows_of, values, [], rows, chunk_size)[0]
