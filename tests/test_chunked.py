"""Training in chunks: the gradients are those of the whole batch, drawn numbers and all."""

import keras
import numpy as np
import pytest
from gradients import step
from tiny_models import tiny_clip, tiny_pairs

from keras_clip.convert.dialects import DIALECTS
from keras_clip.convert.table import write
from keras_clip.models import chunked
from keras_clip.models.clip import CLIP
from keras_clip.models.weights import named_weights
from keras_clip.train import ContrastiveLoss

PAIRS, CHUNK = 8, 3
# What is compiled costs seconds: on JAX, and in part on TensorFlow, these are among the slow tests.
BACKEND = keras.backend.backend()


def unchanged(test):
    """No mark."""
    return test


compiled = pytest.mark.slow if BACKEND == "jax" else unchanged
traced = pytest.mark.slow if BACKEND != "torch" else unchanged
RANDOM = {"dropout_rate": 0.2, "stochastic_depth_rate": 0.3, "patch_dropout_rate": 0.4}


def make(text=None, sigmoid=False, dtype=None, **vision):
    """A small CLIP, always with the same weights."""
    keras.utils.set_random_seed(1)
    config = tiny_clip(text=text, **vision).config.replace(max_scale=None)
    if sigmoid:
        config = config.replace(initial_scale=10.0, initial_bias=-2.0)
    return CLIP(config, dtype=dtype)


def draw_again():
    """Whatever is random starts from the same state in each model."""
    return make(text={"dropout_rate": 0.2}, num_layers=2, **RANDOM)


def assert_same(found, wanted, tolerance=1e-5):
    """The loss, and each weight's gradient by its own largest value."""
    np.testing.assert_allclose(found[0], wanted[0], rtol=tolerance)
    assert set(found[1]) == set(wanted[1])
    for name, gradient in wanted[1].items():
        largest = np.abs(gradient).max()
        assert largest > 0, name
        assert np.abs(found[1][name] - gradient).max() < tolerance * largest, name


def by_hand(logits):
    """The softmax loss, in float64."""
    both = (x.astype("float64") for x in (logits, logits.T))
    return sum((np.log(np.exp(x).sum(1)) - np.diag(x)).mean() for x in both) / 2


def open_clip_gradients(clip, pairs):
    """Loss and gradients in OpenCLIP's own model of these weights, in float64."""
    torch, open_clip = pytest.importorskip("torch"), pytest.importorskip("open_clip")
    sizes = {"width": 8, "layers": 1, "mlp_ratio": 1.5}
    vision = {**sizes, "head_width": 4, "patch_size": 4, "image_size": (8, 12)}
    text = {**sizes, "heads": 2, "context_length": 16, "vocab_size": 603}
    theirs = open_clip.CLIP(6, vision, text).double().train()
    tensors = write_as_theirs(clip)
    theirs.load_state_dict({n: torch.from_numpy(x).double() for n, x in tensors.items()})
    images = torch.from_numpy(pairs["images"]).double().permute(0, 3, 1, 2)
    outputs = theirs(images, torch.from_numpy(pairs["token_ids"]).long())
    from open_clip.loss import ClipLoss

    loss = ClipLoss()(*outputs[:3])
    loss.backward()
    return loss.item(), {n: x.grad.numpy() for n, x in theirs.named_parameters()}


def write_as_theirs(clip):
    arrays = {n: keras.ops.convert_to_numpy(v) for n, v in named_weights(clip).items()}
    made = write(DIALECTS["open_clip"].table(clip.config.to_dict()), arrays)
    return {name: np.array(tensor()) for name, tensor in made.items()}


def test_gradients_are_those_of_open_clip():
    clip = make(text={"activation": "gelu"}, use_patch_bias=False)
    pairs = tiny_pairs(PAIRS)
    wanted = open_clip_gradients(clip, pairs)
    loss, _ = step(clip, pairs, chunk_size=CHUNK)
    assert_same((loss, write_as_theirs(clip)), wanted)


def test_gradients_of_earlier_steps_are_gone():
    if BACKEND != "torch":
        pytest.skip("only torch keeps gradients in the weights")
    clip, pairs = make(), tiny_pairs(PAIRS)
    clip.compile(keras.optimizers.SGD(0.0))
    for _ in range(2):
        clip.train_on_batch(pairs)
    assert_same(step(clip, pairs), step(make(), pairs))


def plain_chunks(function, values, state, rows, chunk_size):
    """`map_chunks` without a second pass: all is kept for the gradient."""
    count = keras.tree.flatten(rows)[0].shape[0]
    chunks = -(-count // chunk_size)
    size = -(-count // chunks)
    if BACKEND == "jax":  # strided, and filled up
        order = np.minimum(np.arange(chunks * size), count - 1).reshape(size, chunks).T
    elif BACKEND == "torch":
        order = [np.arange(i, min(i + size, count)) for i in range(0, count, size)]
    else:  # filled up
        order = np.minimum(np.arange(chunks * size), count - 1).reshape(chunks, size)
    outputs = []
    for places in order:
        chunk = keras.tree.map_structure(lambda x, i=places: keras.ops.take(x, i, axis=0), rows)
        output, state = function(values, state, chunk)
        outputs.append(output)
    _, where = np.unique(np.concatenate(order), return_index=True)
    return keras.ops.take(keras.ops.concatenate(outputs), where, axis=0), state


@compiled
def test_random_numbers_are_drawn_again(monkeypatch):
    pairs = tiny_pairs(PAIRS)
    found = step(draw_again(), pairs, chunk_size=CHUNK)
    still = by_hand(draw_again().predict(pairs, verbose=0)["logits"])
    assert abs(found[0] - still) > 1e-3  # they are drawn at all
    monkeypatch.setattr(chunked, "map_chunks", plain_chunks)
    assert_same(found, step(draw_again(), pairs, chunk_size=CHUNK))


@traced
def test_other_random_numbers_in_each_step():
    clip = draw_again()
    before = [keras.ops.convert_to_numpy(v).copy() for v in clip.non_trainable_variables]
    clip.compile(keras.optimizers.SGD(0.0), chunk_size=CHUNK)
    losses = {float(clip.train_on_batch(tiny_pairs(PAIRS))) for _ in range(3)}
    assert len(losses) == 3
    after = [keras.ops.convert_to_numpy(v).copy() for v in clip.non_trainable_variables]
    assert any((old != new).any() for old, new in zip(before, after, strict=True))


def test_the_sigmoid_loss_block_by_block():
    pairs = {**tiny_pairs(PAIRS), "token_ids": tiny_pairs(2 * PAIRS)["token_ids"]}
    pairs["token_ids"] = pairs["token_ids"].reshape(PAIRS, 2, -1)
    groups = np.array([0, 1, 2, 3, 4, 5, 6, 0], "int32")
    settings = {"y": groups, "loss": ContrastiveLoss(match_duplicates=True)}
    wanted = step(make(sigmoid=True), pairs, **settings)
    assert "logit_scale/bias" in wanted[1]
    assert_same(step(make(sigmoid=True), pairs, chunk_size=CHUNK, **settings), wanted)


@compiled
def test_fit_and_evaluate_with_batches_of_any_size():
    clip, pairs = make(), tiny_pairs(10)
    clip.compile(keras.optimizers.SGD(0.0), chunk_size=CHUNK)
    history = clip.fit(pairs, batch_size=6, shuffle=False, verbose=0).history["loss"][0]
    evaluated = clip.evaluate(pairs, batch_size=6, verbose=0)
    parts = [{name: x[i : i + 6] for name, x in pairs.items()} for i in (0, 6)]
    wanted = 0
    for part in parts:
        share = len(part["images"]) / len(pairs["images"])
        wanted += share * by_hand(clip.predict(part, verbose=0)["logits"])
    np.testing.assert_allclose([history, evaluated], wanted, rtol=1e-5)


@traced
def test_half_precision_and_the_scaling_of_its_loss():
    keras.config.set_dtype_policy("mixed_float16")
    clip, pairs = make(), tiny_pairs(PAIRS)
    wanted = by_hand(clip.predict(pairs, verbose=0)["logits"])
    clip.compile(keras.optimizers.Adam(0.003), chunk_size=CHUNK)
    assert isinstance(clip.optimizer, keras.optimizers.LossScaleOptimizer)
    loss = clip.fit(pairs, batch_size=PAIRS, epochs=30, verbose=0).history["loss"]
    np.testing.assert_allclose(loss[0], wanted, rtol=0.01)  # of half precision
    assert loss[-1] < 0.9 * loss[0]  # once the scale has come down to what half precision holds


@pytest.mark.slow
def test_keras_own_options_act_on_the_gradient_of_the_whole_batch():
    found, pairs = [], tiny_pairs(2 * PAIRS)
    for size in (None, CHUNK):
        clip = make()
        options = {"clipnorm": 0.1, "use_ema": True, "gradient_accumulation_steps": 2}
        clip.compile(keras.optimizers.SGD(0.1, ema_momentum=0.5, **options), chunk_size=size)
        clip.fit(pairs, batch_size=PAIRS, epochs=2, shuffle=False, verbose=0)
        found.append(clip.get_weights())
    for ours, wanted, start in zip(*reversed(found), make().get_weights(), strict=True):
        assert (wanted != start).any()
        np.testing.assert_allclose(ours, wanted, atol=1e-5)


@pytest.mark.slow
def test_memory_grows_by_what_inputs_and_logits_need(repository, monkeypatch):
    monkeypatch.syspath_prepend(repository / "benchmarks")
    monkeypatch.setenv("PYTHONPATH", str(repository))
    monkeypatch.delenv("XLA_FLAGS", raising=False)  # without optimisation XLA shares no buffers
    from memory import peak

    encoder = {"hidden_dim": 64, "num_layers": 2, "num_heads": 2, "mlp_dim": 256}
    few, many = (peak(BACKEND, pairs, 32, True, encoder) for pairs in (128, 512))
    # MiB: 384 pictures, their copies in Keras and on the device, and a few matrices of logits. The
    # tokens of a layer alone, kept for the gradient, would be 9 in each of 30 places.
    assert many - few < 40


@traced
def test_a_locked_tower_and_a_teacher():
    teacher, pairs = make(hidden_dim=16), tiny_pairs(PAIRS)
    settings = {"loss": ContrastiveLoss(teacher=teacher, distillation_weight=2.0)}
    found = {}
    for size in (None, CHUNK):
        clip = make()
        clip.get_layer("vision").trainable = False
        before = [keras.ops.convert_to_numpy(v).copy() for v in clip.get_layer("vision").weights]
        found[size] = step(clip, pairs, **settings, chunk_size=size)
        for old, new in zip(before, clip.get_layer("vision").weights, strict=True):
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(new), old)
        for name in [n for n in found[size][1] if n.startswith("vision/")]:
            del found[size][1][name]
    assert_same(found[CHUNK], found[None])


def test_batch_norms_are_refused_unless_frozen():
    resnet = {"stage_blocks": (1, 1, 1, 1), "width": 8, "image_size": 32, "num_heads": 2}
    config = {"vision": {**resnet, "projection_dim": 6}, "text": tiny_clip().config.text.to_dict()}
    clip = CLIP(config)
    clip.compile("sgd", chunk_size=2)
    pairs = {**tiny_pairs(4), "images": np.zeros((4, 32, 32, 3), "float32")}
    with pytest.raises(ValueError, match=r"batch norms.*without chunk_size"):
        clip.fit(pairs, verbose=0)
    assert all(np.isfinite(w).all() for w in clip.get_weights())
