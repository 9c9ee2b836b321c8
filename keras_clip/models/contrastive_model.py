"""How a CLIP is trained: `compile`, `fit`, `evaluate`, and the step between."""

from contextlib import contextmanager
from contextvars import ContextVar

import keras
import numpy as np
from keras import ops

from keras_clip.models.chunked import map_chunks
from keras_clip.models.contrastive import ContrastiveLoss
from keras_clip.models.pair_checks import (
    check_batches,
    check_counts,
    check_inputs,
    check_loss,
    check_weights,
)
from keras_clip.models.pair_data import as_pairs, as_stream, pairs_of_batch
from keras_clip.models.pair_embedding import embed_pairs, flat_captions
from keras_clip.models.pairing import belong, key_columns, pair_keys
from keras_clip.models.replicas import gather_replicas, host_count, refuse_processes, replica_count
from keras_clip.models.teacher import (
    check_teacher,
    fed_teacher,
    feed_teacher,
    teacher_embeddings,
)
from keras_clip.models.text_lengths import cut_texts

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
        check_teacher(loss.teacher, self)
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

        Of an array of token ids, columns that no text reaches are left out, which saves a quarter
        to a third of a ViT-B/32's time with captions of twenty tokens; gradients are the same.

        Args:
            x: {"images": n of them, "token_ids": (n, T), or (n, K, T) for K captions an image},
                or a list of both, or a dataset of either.
            y: (n,) int or None. Pairs of equal y belong together.
            batch_size: int. Pairs a step, for arrays.

        Raises:
            ValueError: no data, data that is none or cannot teach anything, or a batch of fewer
                than two pairs. The weights are those of the last whole step.
        """
        check_weights(kwargs)
        x, y = as_pairs(x, y)
        check_batches(self, x, y, batch_size or 32)
        x, steps = as_stream(x, repeat=True)
        kwargs["steps_per_epoch"] = kwargs.get("steps_per_epoch") or steps
        held_out, steps = as_stream(self._cut(kwargs.get("validation_data")), repeat=True)
        kwargs["validation_steps"] = kwargs.get("validation_steps") or steps
        kwargs["validation_data"] = held_out
        return super().fit(self._cut(x), y, batch_size=batch_size, **kwargs)

    def evaluate(self, x=None, y=None, batch_size=None, **kwargs):
        """Return the contrastive loss of {"images", "token_ids"}; otherwise as Keras's `evaluate`.

        Raises:
            ValueError: as `fit`.
        """
        check_weights(kwargs)
        x, y = as_pairs(x, y)
        check_batches(self, x, y, batch_size or 32)
        return super().evaluate(self._cut(as_stream(x)[0]), y, batch_size=batch_size, **kwargs)

    def train_on_batch(self, x, y=None, **kwargs):
        """Train on one batch, as `fit`; otherwise as Keras's `train_on_batch`."""
        x, y = as_pairs(x, y)
        return super().train_on_batch(self._cut(x), y, **kwargs)

    def test_on_batch(self, x, y=None, **kwargs):
        """Return the loss of one batch, as `evaluate`; otherwise as Keras's `test_on_batch`."""
        x, y = as_pairs(x, y)
        return super().test_on_batch(self._cut(x), y, **kwargs)

    def _cut(self, x):
        """Leave padding that no text of an array reaches out of it."""
        if isinstance(x, (list, tuple)):  # of validation
            x, *more = as_pairs(*x[:2]), *x[2:]
            return (self._cut(x[0]), *x[1:], *more)
        token_ids = x.get("token_ids") if isinstance(x, dict) else None
        if not isinstance(token_ids, np.ndarray) or token_ids.dtype.kind not in "iu":
            return x
        if host_count() > 1:  # whose rows of one batch must be of one length
            return x
        models = [self, getattr(self.contrastive_loss, "teacher", None)]
        configs = [model.config.text for model in models if hasattr(model, "config")]
        return {**x, "token_ids": cut_texts(token_ids, *configs)}

    def make_train_function(self, force=False):
        made = self.train_function
        super().make_train_function(force)
        if self.train_function is not made:
            self.train_function = feed_teacher(self.train_function, self.contrastive_loss.teacher)

    def make_test_function(self, force=False):
        made = self.test_function
        super().make_test_function(force)
        if self.test_function is not made:
            self.test_function = feed_teacher(self.test_function, self.contrastive_loss.teacher)

    def train_step(self, *args):
        with _step(), fed_teacher(args) as args:
            return super().train_step(*args[:-1], pairs_of_batch(args[-1]))

    def test_step(self, *args):
        with _step(), fed_teacher(args) as args:
            return super().test_step(*args[:-1], pairs_of_batch(args[-1]))

    def call(self, inputs, training=None, mask=None):
        """As the graph; token ids (n, K, T) are n * K texts."""
        if isinstance(inputs, dict):
            check_inputs(inputs)  # Keras before 3.15 says less
        inputs = flat_captions(inputs)
        if _IN_STEP.get() and self.chunk_size:  # without logits, which may be too many to hold
            return embed_pairs(self, inputs, self.chunk_size, bool(training))
        return super().call(inputs, training=training, mask=mask)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Contrastive loss of a batch of pairs, in float32."""
        check_weights({"sample_weight": sample_weight})
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


def _loss_of(clip, x, y, outputs):
    """Loss of the outputs of a batch; under `tf.distribute`, of the batches of all replicas."""
    loss, token_ids, batch = clip.contrastive_loss, x["token_ids"], dict(outputs)
    captions = token_ids.shape[1] if len(token_ids.shape) == 3 else 1
    logits = batch.pop("logits", None)
    check_counts(batch, y, captions)
    batch["keys"] = pair_keys(x["images"], token_ids, y, loss.match_duplicates)
    if loss.teacher is not None:
        batch["teacher"] = teacher_embeddings(loss.teacher, x, clip.chunk_size)
    if replica_count() > 1:
        batch, logits = gather_replicas(batch), None
    keys = batch["keys"]
    columns = key_columns(keys, ops.shape(batch["image_embeddings"])[0], captions)
    if clip.config.is_sigmoid and clip.chunk_size:
        return ops.mean(_sigmoid_rows(clip, batch, columns))
    if logits is None:
        logits = _logits(clip, batch)
    soft = _logits(loss.teacher, batch["teacher"]) if loss.teacher is not None else None
    if clip.config.is_sigmoid:
        return ops.mean(loss.sigmoid(logits, belong(*columns), soft))
    return loss.softmax(logits, belong(*columns) if keys or captions > 1 else None, soft)


def _logits(clip, batch):
    return clip.get_layer("logit_scale")(batch["image_embeddings"], batch["text_embeddings"])


def _sigmoid_rows(clip, batch, columns):
    """Loss of each image, some images at a time: all their logits are never held."""
    loss, scale = clip.contrastive_loss, clip.get_layer("logit_scale")
    of_images, of_texts = columns

    def rows_of(values, state, chunk):
        images, texts, *weights = values
        some = {
            "image_embeddings": ops.take(images, chunk["places"], axis=0),
            "text_embeddings": texts,
        }
        with keras.StatelessScope(list(zip(scale.weights, weights, strict=True))):
            logits = _logits(clip, some)
        soft = None
        if loss.teacher is not None:
            texts = batch["teacher"]["text_embeddings"]
            known = {"image_embeddings": chunk["teacher"], "text_embeddings": texts}
            soft = _logits(loss.teacher, known)
        return loss.sigmoid(logits, belong(chunk["keys"], of_texts), soft), state

    images = batch["image_embeddings"]
    rows = {"places": ops.arange(ops.shape(images)[0], dtype="int32"), "keys": of_images}
    if loss.teacher is not None:
        rows["teacher"] = batch["teacher"]["image_embeddings"]
    values = [images, batch["text_embeddings"], *(weight.value for weight in scale.weights)]
    return map_chunks(rows_of, values, [], rows, clip.chunk_size)[0]
