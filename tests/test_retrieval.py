"""Recall at k: counted by hand, against open_clip's own function, in bounded memory."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from tiny_models import tiny_clip, tiny_tokenizer

from keras_clip.evaluate import caption_retrieval, retrieval


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def random_pairs(count, dim=16, seed=0):
    """Pictures and captions that have something to do with each other."""
    random = np.random.default_rng(seed)
    images = unit(random.normal(size=(count, dim)).astype("float32"))
    return images, unit(images + 0.35 * random.normal(size=(count, dim)).astype("float32"))


def test_counted_by_hand():
    images = np.eye(3, dtype="float32")
    texts = unit(
        np.array([[3, 2, 1], [1, 2, 3], [0, 1, 2], [2, 1, 0], [2, 0, 1]], "float32")
    )  # captions of pictures 0, 0, 1, 2, 2
    # Cosines with picture 0 fall as captions 3, 4, 0, 1, 2; picture 1: 1, 0, 2, 3, 4 (0.53, 0.53,
    # 0.45, 0.45, 0); picture 2: 2, 1, 4, 0, 3.
    found = retrieval(images, texts, [0, 0, 1, 2, 2], ks=(1, 2, 3))
    # Best own captions come third (0), third (2, behind two with 0.53), and third (4).
    assert found.image_to_text == {1: 0.0, 2: 0.0, 3: 1.0}
    # The pictures of captions: first (0), third (1), second (2), third (3), second (4).
    assert found.text_to_image == {1: 0.2, 2: 0.6, 3: 1.0}
    assert (found.image_to_text_rank, found.text_to_image_rank) == (3, 2)
    assert (found.images, found.texts) == (3, 5)


@pytest.mark.parametrize("block", [7, 64, 2048])
def test_agrees_with_open_clip(block):
    import torch

    open_clip_train = pytest.importorskip("open_clip_train.train")
    images, texts = random_pairs(300)
    expected = open_clip_train.get_clip_metrics(
        torch.tensor(images), torch.tensor(texts), torch.tensor(100.0)
    )
    found = retrieval(images, texts, block=block)
    for name, ours in (
        ("image_to_text", found.image_to_text),
        ("text_to_image", found.text_to_image),
    ):
        assert 0.2 < ours[1] < 0.9  # neither all right nor all wrong
        for k in (1, 5, 10):
            assert ours[k] == pytest.approx(float(expected[f"{name}_R@{k}"]), abs=1e-9)
    assert np.floor(found.image_to_text_rank) == expected["image_to_text_median_rank"]
    assert np.floor(found.text_to_image_rank) == expected["text_to_image_median_rank"]


def test_several_captions_by_brute_force():
    images, _ = random_pairs(40)
    random = np.random.default_rng(1)
    owner = np.concatenate([np.arange(40), random.integers(0, 40, 83)])
    random.shuffle(owner)
    texts = unit(images[owner] + 0.4 * random.normal(size=(123, 16)).astype("float32"))
    cosines = images @ texts.T
    by_image = [min(np.flatnonzero(owner[np.argsort(-row)] == i)) for i, row in enumerate(cosines)]
    by_text = [list(np.argsort(-column)).index(owner[j]) for j, column in enumerate(cosines.T)]
    found = retrieval(images, texts, owner, ks=(1, 5, 10), block=16)
    for k in (1, 5, 10):
        assert found.image_to_text[k] == pytest.approx(np.mean(np.array(by_image) < k))
        assert found.text_to_image[k] == pytest.approx(np.mean(np.array(by_text) < k))


def test_of_equal_cosines_the_first_row_is_better():
    same = np.tile(unit(np.ones((1, 4), "float32")), (4, 1))
    found = retrieval(same, same, ks=(1, 2, 4), block=3)
    assert found.image_to_text == found.text_to_image == {1: 0.25, 2: 0.5, 4: 1.0}


MEASURE = """
import numpy as np
from high_water import peak_bytes
from keras_clip.evaluate import retrieval
count, dim = 30000, 8
x = np.random.default_rng(0).standard_normal((count, dim)).astype("float32")
x /= np.linalg.norm(x, axis=1, keepdims=True)
retrieval(x[:50], x[:50])
before = peak_bytes()
assert retrieval(x, x).image_to_text[1] == 1.0
print(peak_bytes() - before)
"""


def test_memory_does_not_grow_with_the_square_of_the_rows(backend, repository):
    if backend != "jax":
        pytest.skip("NumPy alone, whatever the backend")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MEASURE],
        env=dict(os.environ, OPENBLAS_NUM_THREADS="1", PYTHONPATH=str(repository / "benchmarks")),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    # All cosines at once would be 3.6 GB; blocks and their masks are some tens of megabytes.
    assert int(done.stdout) < 300e6


@pytest.mark.parametrize(
    "images, texts, owner, message",
    [
        ((3, 4), (4, 4), None, "3 pictures and 4 captions"),
        ((3, 4), (3, 5), None, "4 numbers a row and text_vectors 5"),
        ((3, 4), (4, 4), [0, 1, 1, 1], "Picture 2 has no caption"),
        ((3, 4), (4, 4), [0, 1, 2, 3], "0 to 2 only"),
        ((3, 4), (4, 4), [0, 1, 2], "one int a caption"),
        ((0, 4), (0, 4), None, "at least one row"),
    ],
)
def test_what_does_not_fit_is_refused(images, texts, owner, message):
    with pytest.raises(ValueError, match=message):
        retrieval(np.ones(images, "float32"), np.ones(texts, "float32"), owner)


def test_values_that_are_not_finite_are_refused():
    rows = np.ones((2, 3), "float32")
    broken = rows.copy()
    broken[1, 1] = np.nan
    with pytest.raises(ValueError, match="text_vectors has values that are not finite"):
        retrieval(rows, broken)


# --- pictures with captions


@pytest.fixture(scope="module")
def captioned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("captioned")
    random = np.random.default_rng(0)
    lines = ["path,caption"]
    for name, captions in {"a": ["a cat", "the cat"], "b": ["a dog"], "c": ["two birds"]}.items():
        Image.fromarray(random.integers(0, 256, (20, 30, 3), "uint8")).save(folder / f"{name}.png")
        lines += [f"{name}.png,{caption}" for caption in captions]
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "pairs.csv").write_text("\n".join([*lines, "broken.png,nothing"]) + "\n")
    return folder


def test_pictures_and_their_captions(captioned):
    clip = tiny_clip(tokenizer=tiny_tokenizer())
    found, failures = caption_retrieval(clip, captioned / "pairs.csv", ks=(1, 2))
    texts = clip.embed_texts(["a cat", "the cat", "a dog", "two birds"])
    images = clip.embed_images([captioned / f"{name}.png" for name in "abc"])
    assert found == retrieval(images, texts, [0, 0, 1, 2], ks=(1, 2))
    ((key, reason),) = failures
    assert key == "broken.png" and "not a readable image" in reason


def test_pictures_without_captions_are_refused(captioned):
    clip = tiny_clip(tokenizer=tiny_tokenizer())
    with pytest.raises(ValueError, match="have no captions"):
        caption_retrieval(clip, captioned)
