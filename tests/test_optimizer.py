"""AdamW against arithmetic by hand, and steps that are left out."""

import keras
import numpy as np
import pytest
from tiny_models import tiny_images, tiny_vit

from keras_clip.train.optimizer import AdamW, adamw

RATE, DECAY, BETAS, EPSILON = 0.01, 0.3, (0.9, 0.98), 1e-6
SHAPES = {"kernel": (3, 2), "bias": (2,), "embeddings": (4, 2)}


def as_numpy(x):
    return keras.ops.convert_to_numpy(x).astype("float64")


def variables():
    random = np.random.default_rng(0)
    values = {name: random.normal(size=shape) for name, shape in SHAPES.items()}
    return [keras.Variable(v.astype("float32"), name=name) for name, v in values.items()]


def gradients(count, seed=1):
    random = np.random.default_rng(seed)
    return [
        [random.normal(size=shape).astype("float32") for shape in SHAPES.values()]
        for _ in range(count)
    ]


def broken(grads):
    """The same gradients, with one number that is none."""
    grads = [grad.copy() for grad in grads]
    grads[1][0] = np.nan
    return grads


def take_steps(optimizer, moved, steps):
    """Let an optimizer move variables along gradients, compiled as Keras's `fit` would."""
    optimizer.build(moved)
    if keras.backend.backend() == "jax":
        import jax

        def step(state, grads):
            return optimizer.stateless_apply(state[1], grads, state[0])

        step, every = jax.jit(step), (moved, optimizer.variables)
        state = tuple([v.value for v in part] for part in every)
        for grads in steps:
            state = step(state, grads)
        for part, values in zip(every, state, strict=True):
            for variable, value in zip(part, values, strict=True):
                variable.assign(value)
        return
    apply = optimizer.apply
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        apply = tf.function(lambda grads: optimizer.apply(grads, moved))
    for grads in steps:
        apply(list(map(keras.ops.convert_to_tensor, grads)))


def by_hand(values, steps, rates=(1, 1, 1), counts=None):
    """Decoupled weight decay and Adam in float64; `counts` are the numbers of the steps."""
    values, moments = [as_numpy(v) for v in values], [(0.0, 0.0)] * len(values)
    for count, grads in zip(counts or range(1, len(steps) + 1), steps, strict=True):
        for i, (grad, rate) in enumerate(zip(grads, rates, strict=True)):
            grad = grad.astype("float64")
            if i == 0:  # the kernel
                values[i] = values[i] * (1 - RATE * rate * DECAY)
            first, second = moments[i]
            first = BETAS[0] * first + (1 - BETAS[0]) * grad
            second = BETAS[1] * second + (1 - BETAS[1]) * grad**2
            moments[i] = first, second
            corrected = RATE * rate * np.sqrt(1 - BETAS[1] ** count) / (1 - BETAS[0] ** count)
            values[i] = values[i] - corrected * first / (np.sqrt(second) + EPSILON)
    return values


def make(**options):
    return AdamW(RATE, DECAY, *BETAS, EPSILON, **options)


def assert_all_close(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(as_numpy(one), other, rtol=1e-5, atol=1e-6)


def test_steps_by_hand():
    moved, steps, rates = variables(), gradients(3), (0.5, 1.0, 0.25)
    expected = by_hand(moved, steps, rates)
    optimizer = make(rate_multipliers=rates)
    take_steps(optimizer, moved, steps)
    assert_all_close(moved, expected)
    assert (int(optimizer.iterations), int(optimizer.skipped_steps)) == (3, 0)


def test_clipped_to_a_norm():
    moved, steps = variables(), gradients(2)
    norms = [np.sqrt(sum((g.astype("float64") ** 2).sum() for g in grads)) for grads in steps]
    assert min(norms) > 1.5
    clipped = [[1.5 / n * g for g in grads] for n, grads in zip(norms, steps, strict=True)]
    expected = by_hand(moved, clipped)
    take_steps(make(global_clipnorm=1.5), moved, steps)
    assert_all_close(moved, expected)


def test_amsgrad_is_that_of_keras():
    ours, theirs, steps = variables(), variables(), gradients(3)
    take_steps(make(amsgrad=True), ours, steps)
    reference = keras.optimizers.AdamW(RATE, DECAY, *BETAS, EPSILON, amsgrad=True)
    reference.exclude_from_weight_decay(var_names=["bias", "embeddings"])
    take_steps(reference, theirs, steps)
    assert_all_close(ours, [as_numpy(v) for v in theirs])


# --- steps that are left out


def test_a_broken_step_changes_nothing():
    moved, steps = variables(), gradients(3)
    optimizer = make(use_ema=True, ema_momentum=0.5)
    take_steps(optimizer, moved, steps[:1])
    counts = "iteration", "skipped_steps"
    state = [v for v in [*moved, *optimizer.variables] if v.name not in counts]
    before = [as_numpy(v) for v in state]
    take_steps(optimizer, moved, [broken(steps[1]), [np.inf * g for g in steps[1]]])
    for variable, value in zip(state, before, strict=True):
        np.testing.assert_array_equal(as_numpy(variable), value, err_msg=variable.path)
    assert (int(optimizer.iterations), int(optimizer.skipped_steps)) == (3, 2)
    expected = by_hand(variables(), [steps[0], steps[2]], counts=(1, 4))
    take_steps(optimizer, moved, steps[2:])
    assert_all_close(moved, expected)


def test_a_moving_average_starts_with_the_first_step_taken():
    moved, steps = variables(), gradients(3)
    optimizer = make(use_ema=True, ema_momentum=0.75)
    first, second = (by_hand(moved, steps[1:n], counts=range(2, n + 1)) for n in (2, 3))
    take_steps(optimizer, moved, [broken(steps[0]), *steps[1:]])
    optimizer.finalize_variable_values(moved)
    assert_all_close(moved, [0.75 * a + 0.25 * b for a, b in zip(first, second, strict=True)])


def test_accumulated_gradients_of_a_broken_batch_are_left_out_together():
    moved, steps = variables(), gradients(6)
    expected = by_hand(
        moved, [[(a + b) / 2 for a, b in zip(*steps[i : i + 2], strict=True)] for i in (0, 4)],
        counts=(1, 3),
    )  # fmt: skip
    optimizer = make(gradient_accumulation_steps=2)
    take_steps(optimizer, moved, [*steps[:2], broken(steps[2]), *steps[3:]])
    assert_all_close(moved, expected)
    assert (int(optimizer.iterations), int(optimizer.skipped_steps)) == (3, 1)


def test_the_guard_holds_no_second_copy(backend):
    if backend != "jax":
        pytest.skip("about XLA's buffers")
    jax = pytest.importorskip("jax", minversion="0.10")  # older releases of XLA hold one

    weights = [keras.Variable(np.zeros((256, 256), "float32"), name="kernel") for _ in range(4)]
    optimizer = make()
    optimizer.build(weights)
    state = [v.value for v in weights], [v.value for v in optimizer.variables]
    step = jax.jit(lambda s, g: optimizer.stateless_apply(s[1], g, s[0]), donate_argnums=0)
    compiled = step.lower(state, [np.ones((256, 256), "float32")] * 4).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 4 * 256 * 256


# --- with the rest of Keras


def test_a_token_that_a_batch_holds_twice():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Embedding(5, 3)])
    ids = np.array([[0, 0, 1, 2], [2, 2, 2, 3]])
    targets = np.random.default_rng(2).normal(size=(2, 4, 3)).astype("float32")
    before, gradient = model.get_weights()[0].astype("float64"), np.zeros((5, 3))
    np.add.at(gradient, ids.ravel(), targets.reshape(8, 3) / 24)
    model.compile(make(), lambda y, x: keras.ops.mean(x * y, axis=-1))
    model.fit(ids, targets, batch_size=2, verbose=0)
    first = gradient * (1 - BETAS[0])
    second = np.sqrt(gradient**2 * (1 - BETAS[1]))
    expected = before - RATE * np.sqrt(1 - BETAS[1]) / (1 - BETAS[0]) * first / (second + EPSILON)
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-5, atol=1e-6)


def test_saved_and_loaded(tmp_path):
    model = tiny_vit(num_classes=3, num_layers=1)
    model.compile(
        adamw(model, 0.01, 10, layer_decay=0.5, clip_norm=1.0, ema_momentum=0.9),
        "sparse_categorical_crossentropy",
    )
    images, labels = tiny_images(4), np.arange(4) % 3
    model.train_on_batch(images, labels)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.optimizer, AdamW)
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for one in (model, loaded):
        one.train_on_batch(images, labels)
    both = zip(model.optimizer.variables, loaded.optimizer.variables, strict=True)
    for ours, theirs in [*both, *zip(model.weights, loaded.weights, strict=True)]:
        np.testing.assert_allclose(as_numpy(theirs), as_numpy(ours), atol=1e-7, err_msg=ours.path)


def test_float16_is_scaled_and_its_overflow_left_out():
    model = tiny_vit("mixed_float16", num_classes=3, num_layers=1)
    model.compile(adamw(model, 0.01, 10, layer_decay=0.5), "sparse_categorical_crossentropy")
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    images, labels = tiny_images(4), np.arange(4) % 3
    before = model.get_weights()
    model.train_on_batch(np.full_like(images, np.nan), labels)
    assert all(map(np.array_equal, model.get_weights(), before))
    for _ in range(8):  # until the scale has come down far enough
        model.train_on_batch(images, labels)
    assert all(np.isfinite(new).all() for new in model.get_weights())
    assert (model.get_weights()[0] != before[0]).any()


def test_errors():
    model = tiny_vit()
    for arguments, message in (
        ({"steps": 0}, "steps is at least 1"),
        ({"steps": 5, "warmup_steps": 5}, "below steps=5, not 5"),
        ({"steps": 5, "layer_decay": 0}, "above 0 and at most 1, not 0"),
    ):
        with pytest.raises(ValueError, match=message):
            adamw(model, 0.1, **arguments)
    with pytest.raises(ValueError, match="has none: leave it out"):
        adamw(keras.Sequential([keras.layers.Dense(2)]), 0.1, 5, layer_decay=0.5)
    optimizer = adamw(model, 0.1, 5, layer_decay=0.5)
    model.get_layer("block_0").trainable = False
    with pytest.raises(ValueError, match="after freezing layers or adding LoRA"):
        optimizer.build(model.trainable_variables)


def test_replicas_cannot_leave_a_step_out(backend, monkeypatch):
    if backend != "tensorflow":
        pytest.skip("about tf.distribute")
    import tensorflow as tf

    class Two:
        num_replicas_in_sync = 2

    monkeypatch.setattr(tf.distribute, "get_strategy", Two)
    with pytest.raises(ValueError, match="give skip_nonfinite=False"):
        make().build(variables())
