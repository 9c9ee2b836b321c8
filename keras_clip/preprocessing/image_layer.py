"""The image transform as a Keras layer: on the device, in batches, inside a model."""

import keras
import numpy as np
from keras import ops

from keras_clip.preprocessing.image_config import OPENAI_MEAN, OPENAI_STD, ImageConfig


@keras.saving.register_keras_serializable(package="keras_clip")
class ImagePreprocessing(keras.layers.Layer):
    """Resize, crop and normalise raw pixels: (B, H, W, 3), 0 to 255 -> (B, h, w, 3) float.

    It follows `ImageProcessor` on pictures that are RGB already: pixels differ by less than 0.1
    level of 255 on average and single ones by a few, because Pillow computes in fixed point. H and
    W must be known when the layer is built, B need not be. Pixels are uint8, or floats of 0 to 255
    as Keras's own layers and loaders give them.

    Args:
        size: (height, width) of the output in pixels, or one int for both.
        mean: three numbers, subtracted from pixels in 0..1.
        std: three positive numbers, divided by afterwards.
        resize_mode: "shortest" (cover the size, crop the centre) or "squash".
        interpolation: "bicubic" or "bilinear", both with antialiasing.
        crop_fraction: share of the scaled picture's side that the crop keeps.
        crop: "openai" or "huggingface": where an odd margin goes.

    Raises:
        ValueError: an argument out of range, or an input that is not (B, H, W, 3).

    Source: openai/CLIP `clip/clip.py`, `_transform`; Pillow `src/libImaging/Resample.c`.
    """

    def __init__(
        self,
        size=(224, 224),
        mean=OPENAI_MEAN,
        std=OPENAI_STD,
        resize_mode="shortest",
        interpolation="bicubic",
        crop_fraction=1.0,
        crop="openai",
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)  # half precision does not hold 0 to 255
        self.image_config = ImageConfig(
            size, mean, std, resize_mode, interpolation, crop_fraction, crop
        )

    @classmethod
    def from_image_config(cls, config, **kwargs):
        """The layer for an ImageConfig; its `color` has no meaning for pixels that are RGB."""
        return cls(**_arguments(config), **kwargs)

    def build(self, input_shape):
        if len(input_shape) != 4 or input_shape[-1] != 3:
            raise ValueError(
                f"{self.name}: expected images of shape (batch, height, width, 3), got "
                f"{tuple(input_shape)}."
            )
        if None in input_shape[1:3]:
            raise ValueError(
                f"{self.name}: the height and width of the input must be known, got "
                f"{tuple(input_shape)}. Give keras.Input a full shape, or use ImageProcessor for "
                "pictures of many sizes."
            )
        self.built = True

    def __call__(self, images, *args, **kwargs):
        if isinstance(images, np.ndarray) and images.dtype.kind == "f" and images.size:
            least, most = float(images.min()), float(images.max())
            if least < 0 or 0 < most <= 1:
                raise ValueError(
                    f"{self.name}: expected raw pixels of 0 to 255, got {least:.3g} to {most:.3g}. "
                    "Pictures that are normalised already need no preprocessing."
                )
        return super().__call__(images, *args, **kwargs)

    def call(self, images):
        kind = keras.backend.standardize_dtype(images.dtype)
        if kind != "uint8" and "float" not in kind:
            raise ValueError(
                f"{self.name}: expected pixels of uint8 or float, 0 to 255, got {kind}."
            )
        config = self.image_config
        height, width = config.resized(*images.shape[1:3])
        x = ops.cast(images, "float32")
        # One axis after the other and bytes in between, as Pillow does it: columns first, unless
        # only the rows shrink.
        rows_first = height < x.shape[1] and width > x.shape[2]
        x = self._resize(x, *((height, x.shape[2]) if rows_first else (x.shape[1], width)))
        x = self._resize(x, height, width)
        if (height, width) != config.size:
            top, left = config.offsets(height, width)
            x = x[:, top : top + config.size[0], left : left + config.size[1]]
        mean = ops.convert_to_tensor(config.mean, dtype="float32")
        std = ops.convert_to_tensor(config.std, dtype="float32")
        return ops.cast((x / 255.0 - mean) / std, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.image_config.size, 3)

    def compute_output_spec(self, images):
        shape = self.compute_output_shape(images.shape)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), **_arguments(self.image_config)}

    def _resize(self, x, height, width):
        if (height, width) == tuple(x.shape[1:3]):
            return x
        x = ops.image.resize(
            x,
            (height, width),
            interpolation=self.image_config.interpolation,
            antialias=True,
            data_format="channels_last",
        )
        # Halves go up as in Pillow; `ops.round` would take them to the even neighbour.
        return ops.clip(ops.floor(x + 0.5), 0.0, 255.0)


def _arguments(config):
    """The layer's constructor arguments, as plain values."""
    names = ("size", "mean", "std", "resize_mode", "interpolation", "crop_fraction", "crop")
    return {name: getattr(config, name) for name in names}
