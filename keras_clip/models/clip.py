"""CLIP: an image tower and a text tower that share a space."""

import keras
import numpy as np

from keras_clip.layers import LogitScale, UnitNorm
from keras_clip.models import embedding, zero_shot
from keras_clip.models.base import Base
from keras_clip.models.config import CLIPConfig
from keras_clip.models.contrastive_model import Contrastive
from keras_clip.models.pair_checks import INPUTS, check_inputs
from keras_clip.models.policy import policy_scope
from keras_clip.models.preset_model import PresetModel, Tokenized
from keras_clip.models.prompts import TEMPLATE, Prompts
from keras_clip.models.towers import TextTower, VisionTower


@keras.saving.register_keras_serializable(package="keras_clip")
class CLIP(PresetModel, Tokenized, Contrastive, Base, keras.Model):
    """A CLIP model, built from its configuration.

    Inputs: `images` (n, H, W, 3) float, normalised, and `token_ids` (m, T) int32. The images of a
    NaFlex model are a dictionary of `patches` and `grid_sizes` (see `naflex_graph`).
    Outputs: `image_embeddings` (n, dim) and `text_embeddings` (m, dim), float32 of unit length,
    and `logits` (n, m), the scaled cosines. n and m need not be equal except in training.

    Args:
        config: CLIPConfig, or its dictionary.
        tokenizer: CLIPTokenizer or None; without it, raw strings cannot be embedded.
        dtype: dtype policy, such as `mixed_bfloat16`; None: Keras's global one.
        name: str.

    Reference: "Learning Transferable Visual Models From Natural Language Supervision"
    (arXiv 2103.00020).
    """

    FAMILY = "clip"

    def __init__(self, config, tokenizer=None, dtype=None, name="clip", **kwargs):
        config = CLIPConfig.from_dict(config) if isinstance(config, dict) else config
        with policy_scope(dtype):
            vision, text = VisionTower(config.vision), TextTower(config.text)
            images = _inputs_like(vision)
            token_ids = keras.Input((None,), dtype="int32", name="token_ids")
            image_embeddings = UnitNorm(name="image_embeddings")(vision(images))
            text_embeddings = UnitNorm(name="text_embeddings")(text(token_ids))
            scale = LogitScale(
                config.initial_scale, config.max_scale, config.initial_bias, name="logit_scale"
            )
            outputs = {
                "image_embeddings": image_embeddings,
                "text_embeddings": text_embeddings,
                "logits": scale(image_embeddings, text_embeddings),
            }
            inputs = {"images": images, "token_ids": token_ids}
            with keras.RematScope(mode=None):  # its layers are rematerialised, not the whole
                super().__init__(inputs, outputs, name=name, **kwargs)
        self._accept_captions()
        self.config = config
        self._tokenizer = tokenizer

    @property
    def image_processor(self):
        """Raw pictures -> the input `images`, as this model was trained with."""
        return self.get_layer("vision").image_processor

    @property
    def scale(self):
        """What cosines are multiplied with, a float."""
        return float(np.exp(keras.ops.convert_to_numpy(self.get_layer("logit_scale").log_scale)))

    @property
    def bias(self):
        """What is added to scaled cosines, a float; 0 where the model has no bias."""
        bias = self.get_layer("logit_scale").bias
        return 0.0 if bias is None else float(keras.ops.convert_to_numpy(bias))

    def encode_image(self, images):
        """What `image_processor` gives -> (n, dim) tensor, NOT of unit length, differentiable."""
        return self.get_layer("vision")(images)

    def encode_text(self, token_ids):
        """Token ids (m, T) -> (m, dim) tensor, NOT of unit length, differentiable."""
        return self.get_layer("text")(token_ids)

    def embed_images(self, images, batch_size=32, progress=None):
        """Embed raw pictures: n of them -> (n, dim) float32 NumPy, unit length.

        Args:
            images: list of paths, bytes, file objects, PIL pictures or uint8 arrays; or one of
                them; or a uint8 array (n, H, W, 3).
            batch_size: int. Pictures a step.
            progress: bool or None. None: a bar for long work on a terminal.

        Raises:
            ImageError: a picture cannot be read; the message names it.
        """
        return self.get_layer("vision").embed_images(images, batch_size, progress)

    def embed_texts(self, texts, batch_size=64, progress=None):
        """Embed strings: n of them -> (n, dim) float32 NumPy, unit length.

        Args:
            texts: str or list of str; too long ones are truncated with their end kept.
            batch_size: int. Texts a step.
            progress: bool or None. None: a bar for long work on a terminal.
        """
        token_ids = self.tokenizer(texts)
        return self.get_layer("text").embed_token_ids(token_ids, batch_size, progress)

    def class_embeddings(self, labels, templates=TEMPLATE, use_cache=True):
        """Embed classes by their names: K of them -> (K, dim) float32 NumPy, unit length.

        Args:
            labels: list of K str; or of lists of str, names for the same class; or a dictionary
                {name: list of whole sentences}, to which no template applies; or Prompts.
            templates: str or list of str with `{}`; several are averaged as in the paper.
            use_cache: bool. Whether the vectors of 256 sentences or more are kept on disk (in
                KERAS_CLIP_CACHE, else `~/.cache/keras_clip`) for these weights and sentences.

        Raises:
            ValueError: no labels, empty ones or ones that are the same, or a template without `{}`.
        """
        prompts = Prompts.from_labels(labels, templates)
        return zero_shot.class_embeddings(
            self.tokenizer, self.get_layer("text"), prompts, use_cache
        )

    def zero_shot_classifier(self, labels, templates=TEMPLATE, activation="auto"):
        """Make a Keras classifier from class names: pixels (B, H, W, 3) -> (B, classes).

        The image tower is shared with this model, so fine-tuning the classifier moves both. Its
        last layer, `predictions`, has `class_names`, which a saved classifier keeps.

        Args:
            labels: as for `class_embeddings`.
            templates: likewise.
            activation: `softmax`, `sigmoid`, None for logits, or `auto`: what the model was
                trained with. After a softmax, a sigmoid says little until it is calibrated
                (`keras_clip.evaluate.calibrate`).

        Raises:
            ValueError: as `class_embeddings`.
        """
        prompts = Prompts.from_labels(labels, templates)
        if activation == "auto":
            activation = "sigmoid" if self.config.is_sigmoid else "softmax"
        return zero_shot.zero_shot_classifier(
            self.get_layer("vision"), self.class_embeddings(prompts), prompts.names,
            self.scale, self.bias, activation,
        )  # fmt: skip

    def extend_classifier(self, classifier, labels, templates=TEMPLATE):
        """Give a zero-shot classifier of this model more classes, without embedding the old ones.

        Args:
            classifier: what `zero_shot_classifier` made.
            labels: the new classes, as for `class_embeddings`.
            templates: likewise.

        Returns:
            A new classifier, which shares the image tower. New classes get the mean scale and bias
            of the old.

        Raises:
            ValueError: as `class_embeddings`; a label it has already; or it is quantised.
        """
        prompts = Prompts.from_labels(labels, templates)
        return zero_shot.extended(classifier, self.class_embeddings(prompts), prompts.names)

    def predict(self, x, batch_size=32, verbose="auto", **kwargs):
        """Run on n images and m texts, in batches: the outputs of the call, as NumPy.

        Args:
            x: {"images": n of them, "token_ids": (m, T)}; n and m may differ.
            batch_size: int. Rows a step.
            verbose: `auto`, 0 or 1, as in Keras.
        """
        check_inputs(x)
        towers = {"images": self.get_layer("vision"), "token_ids": self.get_layer("text")}
        progress = None if verbose == "auto" else bool(verbose)
        images, texts = (
            embedding.embed_rows(towers[key], x[key], batch_size, progress) for key in INPUTS
        )
        logits = np.float32(self.scale) * images @ texts.T + np.float32(self.bias)
        return {"image_embeddings": images, "text_embeddings": texts, "logits": logits}


def require_clip(model, name):
    """Return the model itself, if it is a CLIP.

    Args:
        model: keras.Model.
        name: str, what messages call it.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(model, CLIP):
        raise ValueError(f"{name} is no CLIP and has no space that pictures and texts share.")
    return model


def _inputs_like(vision):
    """Inputs of the shapes that an image tower takes."""
    if isinstance(vision.input, dict):
        return {
            name: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=name)
            for name, x in vision.input.items()
        }
    return keras.Input(vision.input.shape[1:], name="images")
