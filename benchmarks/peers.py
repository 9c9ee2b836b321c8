"""One library in one process, ready to run jobs of ViT-B/32 as they are asked for on stdin.

`python benchmarks/peers.py keras_clip` (backend from KERAS_BACKEND) or `open_clip`,
`open_clip_compiled`, `transformers`, `keras_hub`. Each line of stdin is a job of `JOBS`; the answer
is one line, its seconds. `speed.py` drives it.
"""

import importlib.util
import os
import pathlib
import re
import sys
import time

import numpy as np
from captions import captions

THREADS = os.cpu_count()
IMAGES, SIZE, TEXTS, CONTEXT, SHORT_RUNS = 32, 224, 512, 77, 5


def keras_clip():
    """Return {job: function} of this package, on Keras's backend."""
    import keras

    from keras_clip import CLIPTokenizer
    from keras_clip.models.clip import CLIP
    from keras_clip.models.config import CLIPConfig, TextConfig, ViTConfig

    vision = ViTConfig(
        768, 12, 12, 3072, 32, activation="quick_gelu", epsilon=1e-5, use_patch_bias=False,
        use_norm_pre=True, projection_dim=512,
    )  # fmt: skip
    clip = CLIP(CLIPConfig(vision, TextConfig()), CLIPTokenizer.from_file(vocabulary()))
    tower, direct = clip.get_layer("vision"), _direct(keras, clip.get_layer("vision"))
    pictures = np.random.randint(0, 256, (2 * IMAGES, SIZE, SIZE, 3), "uint8")
    rows = np.random.rand(2 * IMAGES, SIZE, SIZE, 3).astype("float32")
    texts = captions(TEXTS)
    return {
        "image32": lambda: tower.predict_on_batch(rows[:IMAGES]),
        "image1": lambda: tower.predict_on_batch(rows[:1]),
        "text512": lambda: clip.embed_texts(texts),
        "direct64": lambda: [direct(rows[:IMAGES]), direct(rows[IMAGES:])],
        "predict64": lambda: tower.predict(rows, batch_size=IMAGES, verbose=0),
        "embed64": lambda: clip.embed_images(pictures, batch_size=IMAGES),
        "gemm": _gemm(keras),
    }


def _direct(keras, model):
    """Return the tower compiled by the backend's own means, NumPy in and out."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        compiled = jax.jit(
            lambda weights, x: model.stateless_call(weights, [], x, training=False)[0]
        )
        return lambda x: np.asarray(compiled([v.value for v in model.trainable_variables], x))
    if backend == "tensorflow":
        import tensorflow as tf

        compiled = tf.function(lambda x: model(x, training=False), reduce_retracing=True)
        return lambda x: compiled(tf.constant(x)).numpy()
    import torch

    def run(x):
        with torch.no_grad():
            return model(torch.from_numpy(x), training=False).numpy()

    return run


def _gemm(keras):
    """Return a 2048^3 product in float32, in the backend's own library."""
    left = keras.ops.convert_to_tensor(np.random.rand(2048, 2048).astype("float32"))
    if keras.backend.backend() != "jax":
        return lambda: keras.ops.matmul(left, left)
    import jax

    compiled = jax.jit(lambda x: x @ x)
    return lambda: compiled(left).block_until_ready()


def open_clip(compiled=False):
    """Return {job: function} of open_clip, eager or with torch.compile."""
    torch = _torch()
    import open_clip as library

    model = library.create_model("ViT-B-32-quickgelu").eval()
    tokenizer = library.get_tokenizer("ViT-B-32-quickgelu")
    if compiled:
        model.visual = torch.compile(model.visual)
    x = torch.rand(IMAGES, 3, SIZE, SIZE)
    texts = captions(TEXTS)

    def text():
        for i in range(0, TEXTS, 64):
            model.encode_text(tokenizer(texts[i : i + 64]), normalize=True)

    return _no_grad(
        torch,
        {
            "image32": lambda: model.encode_image(x),
            "image1": lambda: model.encode_image(x[:1]),
            "text512": text,
            "gemm": _torch_gemm(torch),
        },
    )


def open_clip_compiled():
    """Return the jobs of open_clip under torch.compile."""
    return open_clip(compiled=True)


def transformers():
    """Return {job: function} of transformers; texts are padded to 77 as its pipelines do."""
    torch = _torch()
    from transformers import CLIPConfig, CLIPModel

    model = CLIPModel(CLIPConfig(vision_config={"patch_size": 32}, projection_dim=512)).eval()
    x = torch.rand(IMAGES, 3, SIZE, SIZE)
    ids = torch.randint(1, 40000, (TEXTS, CONTEXT))

    def text():
        for i in range(0, TEXTS, 64):
            model.get_text_features(input_ids=ids[i : i + 64])

    return _no_grad(
        torch,
        {
            "image32": lambda: model.get_image_features(pixel_values=x),
            "image1": lambda: model.get_image_features(pixel_values=x[:1]),
            "text512": text,
        },
    )


def keras_hub():
    """Return {job: function} of KerasHub's CLIP on Keras's backend."""
    import keras
    from keras_hub import models

    vision = models.CLIPVisionEncoder(32, 768, 12, 12, 3072, image_shape=(SIZE, SIZE, 3))
    text = models.CLIPTextEncoder(49408, 512, 512, 12, 8, 2048)
    backbone = models.CLIPBackbone(vision, text, projection_dim=512)
    images = keras.Input((SIZE, SIZE, 3))
    ids = keras.Input((CONTEXT,), dtype="int32")
    image_model = keras.Model(images, backbone.get_vision_embeddings(images))
    text_model = keras.Model(ids, backbone.get_text_embeddings(ids))
    x = np.random.rand(IMAGES, SIZE, SIZE, 3).astype("float32")
    rows = np.random.randint(1, 40000, (TEXTS, CONTEXT)).astype("int32")
    return {
        "image32": lambda: image_model.predict_on_batch(x),
        "image1": lambda: image_model.predict_on_batch(x[:1]),
        "text512": lambda: [
            text_model.predict_on_batch(rows[i : i + 64]) for i in range(0, TEXTS, 64)
        ],
    }


def vocabulary():
    """Return the path of CLIP's vocabulary, which open_clip carries."""
    folder = pathlib.Path(importlib.util.find_spec("open_clip").origin).parent
    return folder / "bpe_simple_vocab_16e6.txt.gz"


def _torch():
    """Import torch, and define the operators that a stock torchvision misses beside a CPU build."""
    import torch

    torch.set_num_threads(THREADS)
    folder = pathlib.Path(importlib.util.find_spec("torchvision").origin).parent
    text = "".join(file.read_text() for file in folder.glob("_*_registrations.py"))
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in sorted(set(re.findall(r"torchvision::(\w+)", text))):
        library.define(f"{name}(Tensor x) -> Tensor")
    torch.keep_torchvision_operators = library
    return torch


def _torch_gemm(torch):
    left = torch.rand(2048, 2048)
    return lambda: left @ left


def _no_grad(torch, jobs):
    return {name: torch.no_grad()(job) for name, job in jobs.items()}


def serve(make_jobs, short):
    """Answer each job that stdin names with its seconds, the median of five where it is short."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print must not mix with the answers
    jobs = make_jobs()
    print(" ".join(jobs), file=answers, flush=True)
    for line in sys.stdin:
        job, seconds = line.strip(), []
        for _ in range(SHORT_RUNS if job in short else 1):
            begun = time.perf_counter()
            jobs[job]()
            seconds.append(time.perf_counter() - begun)
        print(sorted(seconds)[len(seconds) // 2], file=answers, flush=True)


if __name__ == "__main__":
    serve(globals()[sys.argv[1]], ("image1", "gemm"))
