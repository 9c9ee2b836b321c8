"""PatchEmbedding as one matrix product beside the convolution with the same weights."""

import os
import statistics
import subprocess
import sys
import time

import numpy as np

BACKENDS = ("jax", "tensorflow", "torch")


def compare(batch, patch):
    """Return (milliseconds as a product, as a convolution) on Keras's backend."""
    import keras

    from keras_clip.layers import PatchEmbedding

    images = keras.Input((224, 224, 3))
    product = keras.Model(images, PatchEmbedding(768, patch)(images))
    x = keras.layers.Conv2D(768, patch, patch)(images)
    convolution = keras.Model(images, keras.layers.Reshape((-1, 768))(x))
    for target, source in zip(convolution.weights, product.weights, strict=True):
        target.assign(source)
    pixels = np.random.rand(batch, 224, 224, 3).astype("float32")
    models, times = (product, convolution), ([], [])
    outputs = [model.predict_on_batch(pixels) for model in models]
    np.testing.assert_allclose(*outputs, rtol=1e-4, atol=1e-4)
    for _ in range(20):
        for model, seconds in zip(models, times, strict=True):
            begun = time.perf_counter()
            model.predict_on_batch(pixels)
            seconds.append(time.perf_counter() - begun)
    return [1e3 * statistics.median(seconds) for seconds in times]


def main():
    if len(sys.argv) > 1:
        for batch, patch in ((32, 32), (32, 16), (1, 32), (1, 16)):
            product, convolution = compare(batch, patch)
            print(
                f"| {sys.argv[1]} | {batch} | {patch} | {product:.1f} | {convolution:.1f} "
                f"| {convolution / product:.2f}x |",
                flush=True,
            )
        return
    print("| backend | batch | patch | product, ms | convolution, ms | product is |")
    print("|" + " --- |" * 6, flush=True)
    for backend in BACKENDS:
        environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        subprocess.check_call([sys.executable, __file__, backend], env=environment)


if __name__ == "__main__":
    main()
