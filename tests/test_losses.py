"""The contrastive losses against torch's and OpenCLIP's, and what belongs together in a batch."""

import keras
import numpy as np
import pytest
from tiny_models import tiny_clip, tiny_images, tiny_pairs, tiny_token_ids

from keras_clip.models.clip import CLIP
from keras_clip.train import ContrastiveLoss

COUNT = 6


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def open_clip(torch):
    pytest.importorskip("open_clip")
    import open_clip.loss

    return open_clip.loss


@pytest.fixture(scope="module")
def students():
    """A model for each kind of loss."""
    return {
        "softmax": tiny_clip(pooling="mean"),
        "sigmoid": by_sigmoid(pooling="mean"),
    }


def by_sigmoid(**changes):
    """A CLIP whose pairs are judged alone."""
    config = tiny_clip(**changes).config
    return CLIP(config.replace(initial_scale=10.0, initial_bias=-2.0))


def unit(count, seed=0):
    rows = np.random.default_rng(seed).normal(size=(count, 5))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def assert_close(ours, theirs, tolerance=1e-6):
    np.testing.assert_allclose(keras.ops.convert_to_numpy(ours), theirs, rtol=tolerance, atol=1e-6)


def logits_of(scale=10.0, bias=0.0, count=COUNT, texts=COUNT, seed=0):
    return scale * unit(count, seed) @ unit(texts, seed + 1).T + bias


def as_tensor(x):
    return keras.ops.convert_to_tensor(np.asarray(x, "float32"))


def soft_cross_entropy(torch, logits, targets, smoothing=0.0):
    """torch's own, of probabilities, both ways."""
    logits, targets = torch.from_numpy(logits), torch.from_numpy(np.asarray(targets, "float64"))
    both = [
        torch.nn.functional.cross_entropy(x, t / t.sum(1, keepdim=True), label_smoothing=smoothing)
        for x, t in ((logits, targets), (logits.T, targets.T))
    ]
    return float(sum(both) / 2)


# --- the numbers


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_softmax_and_label_smoothing_are_those_of_torch(torch, smoothing):
    logits = logits_of()
    expected = soft_cross_entropy(torch, logits, np.eye(COUNT), smoothing)
    assert_close(ContrastiveLoss(smoothing).softmax(as_tensor(logits)), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_targets_are_spread_evenly_over_what_belongs_together(torch, smoothing):
    logits, groups = logits_of(), np.array([0, 1, 0, 2, 1, 0])
    positives = groups[:, None] == groups[None]
    expected = soft_cross_entropy(torch, logits, positives, smoothing)
    loss = ContrastiveLoss(smoothing).softmax(
        as_tensor(logits), keras.ops.convert_to_tensor(positives)
    )
    assert_close(loss, expected)


def test_softmax_is_that_of_open_clip(torch, open_clip):
    images, texts = (torch.from_numpy(unit(COUNT, seed)) for seed in (0, 1))
    expected = open_clip.ClipLoss()(images, texts, 10.0)
    assert_close(ContrastiveLoss().softmax(as_tensor(logits_of())), float(expected))


def test_sigmoid_is_that_of_open_clip(torch, open_clip):
    images, texts = (torch.from_numpy(unit(COUNT, seed)) for seed in (0, 1))
    expected = open_clip.SigLipLoss()(images, texts, torch.tensor(10.0), torch.tensor(-2.0))
    positives = keras.ops.eye(COUNT, dtype="bool")
    rows = ContrastiveLoss().sigmoid(as_tensor(logits_of(bias=-2.0)), positives)
    assert_close(np.mean(keras.ops.convert_to_numpy(rows)), float(expected))


def test_distillation_is_that_of_open_clip(torch, open_clip):
    ours = [torch.from_numpy(unit(COUNT, seed)) for seed in (0, 1)]
    theirs = [torch.from_numpy(unit(COUNT, seed)) for seed in (2, 3)]
    contrastive, distilled = open_clip.DistillClipLoss()(*ours, 10.0, *theirs, 20.0)
    loss = ContrastiveLoss(teacher="named", distillation_weight=0.5)
    found = loss.softmax(as_tensor(logits_of()), None, as_tensor(logits_of(20.0, seed=2)))
    assert_close(found, float(contrastive + 0.5 * distilled))


def test_distillation_by_sigmoid_is_the_cross_entropy_of_each_pair(torch):
    logits, soft = logits_of(bias=-2.0), logits_of(20.0, -3.0, seed=2)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    ours, theirs = torch.from_numpy(logits), torch.from_numpy(soft)
    expected = entropy(ours, torch.eye(COUNT, dtype=torch.float64), reduction="none")
    expected = expected + 0.5 * entropy(ours, torch.sigmoid(theirs), reduction="none")
    loss = ContrastiveLoss(teacher="named", distillation_weight=0.5)
    found = loss.sigmoid(as_tensor(logits), keras.ops.eye(COUNT, dtype="bool"), as_tensor(soft))
    assert_close(found, expected.sum(1).numpy())


# --- through the model


def loss_of(clip, pairs, y=None, **settings):
    """What a step would minimise, and the logits in float64."""
    clip.compile("sgd", **settings)
    pairs = {name: keras.ops.convert_to_tensor(x) for name, x in pairs.items()}
    outputs = clip(pairs)
    loss = clip.compute_loss(pairs, y, outputs)
    logits = keras.ops.convert_to_numpy(outputs["logits"]).astype("float64")
    return float(keras.ops.convert_to_numpy(loss)), logits


def test_several_captions_an_image(torch, students):
    pairs = {"images": tiny_images(4), "token_ids": tiny_token_ids(12).reshape(4, 3, -1)}
    loss, logits = loss_of(students["softmax"], pairs)
    assert logits.shape == (4, 12)
    positives = np.repeat(np.eye(4), 3, axis=1)
    assert_close(loss, soft_cross_entropy(torch, logits, positives), 1e-5)
    flat = {**pairs, "token_ids": pairs["token_ids"].reshape(12, -1)}
    expected = keras.ops.convert_to_numpy(students["softmax"](flat)["logits"])
    np.testing.assert_allclose(logits, expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_groups(torch, students, shape):
    groups = np.array([7, 3, 7, 9], "int32")
    loss, logits = loss_of(students["softmax"], tiny_pairs(4), groups.reshape(shape))
    expected = soft_cross_entropy(torch, logits, groups[:, None] == groups[None])
    assert_close(loss, expected, 1e-5)


def test_duplicates_are_no_negatives(students):
    pairs = tiny_pairs(4)
    pairs["token_ids"][2] = pairs["token_ids"][0]
    loss, logits = loss_of(students["sigmoid"], pairs, loss=ContrastiveLoss(match_duplicates=True))
    signs = 2 * np.eye(4) - 1
    signs[0, 2] = signs[2, 0] = 1
    assert_close(loss, np.log1p(np.exp(-signs * logits)).sum() / 4, 1e-5)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_a_teacher(torch, students, kind):
    teacher = (tiny_clip if kind == "softmax" else by_sigmoid)(hidden_dim=16)
    pairs = tiny_pairs(4)
    plain, logits = loss_of(students[kind], pairs)
    loss, _ = loss_of(students[kind], pairs, loss=ContrastiveLoss(teacher=teacher))
    soft = keras.ops.convert_to_numpy(teacher(pairs)["logits"]).astype("float64")
    if kind == "softmax":
        both = ((logits, soft), (logits.T, soft.T))
        expected = sum(
            torch.nn.functional.cross_entropy(
                torch.from_numpy(x), torch.softmax(torch.from_numpy(t), 1)
            )
            for x, t in both
        )
        assert_close(loss - plain, float(expected) / 2, 1e-5)
    else:
        chance = 1 / (1 + np.exp(-soft))
        expected = chance * np.log1p(np.exp(-logits)) + (1 - chance) * np.log1p(np.exp(logits))
        assert_close(loss - plain, expected.sum() / 4, 1e-5)


# --- what is refused


def test_a_teacher_that_does_not_fit(students):
    for teacher, message in (
        (tiny_clip(image_size=(8, 8)), "kind of input"),
        (tiny_clip(text={"context_length": 12}), "context length"),
        (tiny_clip(text={"vocabulary_size": 700}), "vocabulary size"),
        (students["sigmoid"], "another loss"),
    ):
        with pytest.raises(ValueError, match=message):
            students["softmax"].compile("sgd", ContrastiveLoss(teacher=teacher))
    with pytest.raises(ValueError, match="itself"):
        students["softmax"].compile("sgd", ContrastiveLoss(teacher=students["softmax"]))
    with pytest.raises(ValueError, match="a CLIP or None"):
        students["softmax"].compile("sgd", ContrastiveLoss(teacher=keras.layers.Dense(1)))


def test_losses_and_settings_that_make_no_sense(students):
    for settings in ({"label_smoothing": 1.0}, {"distillation_weight": -1.0}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            ContrastiveLoss(**settings)
    with pytest.raises(ValueError, match="no label smoothing"):
        students["sigmoid"].compile("sgd", ContrastiveLoss(label_smoothing=0.1))
    with pytest.raises(ValueError, match="ContrastiveLoss"):
        students["softmax"].compile("sgd", "mse")
    for size in (0, -4, 2.0, True):
        with pytest.raises(ValueError, match="chunk_size"):
            students["softmax"].compile("sgd", chunk_size=size)


def test_a_saved_model_keeps_its_loss_but_not_the_teacher(students, tmp_path):
    teacher = tiny_clip()
    loss = ContrastiveLoss(0.1, True, teacher, 0.5)
    students["softmax"].compile(keras.optimizers.SGD(0.5), loss, chunk_size=3)
    students["softmax"].save(tmp_path / "student.keras")
    loaded = keras.saving.load_model(tmp_path / "student.keras")
    assert loaded.chunk_size == 3 and float(loaded.optimizer.learning_rate) == 0.5
    assert loaded.contrastive_loss.get_config() == {**loss.get_config(), "teacher": teacher.name}
    assert len(loaded.variables) == len(students["softmax"].variables)
    with pytest.raises(ValueError, match="saved while it learnt from the teacher"):
        pairs = tiny_pairs(4)
        loaded.compute_loss(pairs, None, loaded(pairs))
