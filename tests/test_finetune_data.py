"""Fine-tuning's data and settings: pictures meet classes, batches repeat, rates follow sizes."""

import keras
import numpy as np
import pytest
from PIL import Image
from tiny_models import tiny_clip, tiny_images, tiny_tokenizer, tiny_vit

from keras_clip import finetune
from keras_clip.finetune.class_batches import ClassBatches
from keras_clip.finetune.examples import examples
from keras_clip.preprocessing import Augmentation

LABELS = np.arange(12) % 3
NAMES = ["a cat", "a dog", "a bird"]


@pytest.fixture(scope="module")
def clip():
    return tiny_clip(tokenizer=tiny_tokenizer())


@pytest.fixture(scope="module")
def pixels():
    return tiny_images(12)


@pytest.fixture
def folder(tmp_path):
    """Three pictures a class, one of which is broken."""
    random = np.random.default_rng(0)
    for name in ("bird", "cat", "dog"):
        (tmp_path / name).mkdir()
        for k in range(3):
            picture = random.integers(0, 256, (20, 30, 3), "uint8")
            Image.fromarray(picture).save(tmp_path / name / f"{k}.png")
    (tmp_path / "cat" / "1.png").write_bytes(b"\x89PNG")
    return tmp_path


def test_pictures_meet_the_classes_by_name_and_broken_ones_are_told(clip, folder, recwarn):
    names = ["dog", "ant", "cat", "bird"]
    model = finetune.only_head(finetune.copied(clip).zero_shot_classifier(names))
    found = examples(folder, clip.image_processor, names)
    assert [names[label] for label in found.labels] == ["bird"] * 3 + ["cat"] * 3 + ["dog"] * 3
    history = finetune.tune(
        model, folder, processor=clip.image_processor, epochs=2, batch_size=9, verbose=0
    )
    (said,) = [str(one.message) for one in recwarn if one.category is UserWarning]
    assert said.startswith("1 of 9 pictures could not be read") and "cat/1.png" in said
    assert len(history.history["loss"]) == 2
    with pytest.raises(ValueError, match=r"\['bird'\] are not among the classes of the m"):
        examples(folder, clip.image_processor, ["dog", "cat"])
    with pytest.raises(ValueError, match=r"processor=clip\.image_processor"):
        finetune.tune(model, folder, verbose=0)
    with pytest.raises(ValueError, match="have no labels"):
        examples(folder / "dog", clip.image_processor)


def test_batches_are_a_function_of_seed_and_epoch(clip, folder):
    augmentation = Augmentation(scale=(0.3, 1.0), flip_rate=0.5)

    def batches(seed):
        found = examples(folder, clip.image_processor, augmentation=augmentation)
        return ClassBatches(found, 4, seed)

    one, other = batches(0), batches(0)
    np.testing.assert_array_equal(one[1][0], other[1][0])
    one.on_epoch_end()
    assert not np.array_equal(one[1][0], other[1][0])
    assert sorted(np.concatenate([one[k][1] for k in range(3)])) == [0, 0, 0, 1, 1, 2, 2, 2]
    assert list(one.order) != list(batches(1).order)


def test_settings_are_checked_and_half_precision_is_refused(pixels):
    half = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, dtype="float16")])
    with pytest.raises(ValueError, match="mixed_float16"):
        finetune.tune(half, (pixels, LABELS), verbose=0)
    vit = tiny_vit(num_classes=3)
    with pytest.raises(TypeError, match="learning_rat"):
        finetune.tune(vit, (pixels, LABELS), learning_rat=1)
    with pytest.raises(ValueError, match="epochs is a whole number"):
        finetune.tune(vit, (pixels, LABELS), epochs=0)
    with pytest.raises(ValueError, match="Class 3 is not among the model's 3"):
        finetune.tune(vit, (pixels, LABELS + 1))
    with pytest.raises(ValueError, match="12 pictures are as many class numbers"):
        finetune.tune(vit, (pixels, LABELS[:5]))
    vit.trainable = False
    with pytest.raises(ValueError, match="Nothing of 'vit' trains"):
        finetune.tune(vit, (pixels, LABELS))
    inside = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
    with pytest.raises(ValueError, match="by its own softmax"):
        finetune.tune(inside, (np.zeros((2, 4), "float32"), np.array([0, 1])))


def test_rates_follow_what_trains_and_how_large_it_is():
    vit = tiny_vit(num_classes=3)
    assert finetune.default_learning_rate(vit) == 3e-4  # the largest there is
    assert finetune.default_learning_rate(finetune.only_head(vit)) == 1e-3
    assert finetune.default_learning_rate(finetune.lora(finetune.full(vit))) == pytest.approx(3e-3)
    large = keras.Sequential([keras.Input((4300,)), keras.layers.Dense(2000, use_bias=False)])
    assert finetune.default_learning_rate(large) == pytest.approx(1e-4)
