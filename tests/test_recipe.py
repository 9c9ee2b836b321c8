"""The recipe of the bundled model: deterministic, without leaks, and what its model can do."""

import gzip
import importlib
import pathlib
import re

import numpy as np
import pytest

RECIPE = pathlib.Path(__file__).resolve().parent.parent / "zoo" / "recipes" / "shapes"
PRESET = RECIPE.parents[1] / "clip_resnet_tiny_shapes"
pytest.importorskip("sklearn")


@pytest.fixture
def recipe(monkeypatch):
    """Imports a module of the recipe, which is a folder of scripts and no package."""
    monkeypatch.syspath_prepend(RECIPE)
    return importlib.import_module


def test_rendering_is_the_same_for_a_seed(recipe):
    draw_batch = recipe("dataset").draw_batch
    pictures, captions = draw_batch(24, (5, 1))
    again, repeated = draw_batch(24, (5, 1))
    other, _ = draw_batch(24, (5, 2))
    assert pictures.shape == (24, 64, 64, 3) and pictures.dtype == np.uint8
    assert np.array_equal(pictures, again) and captions == repeated
    assert not np.array_equal(pictures, other)


def test_a_batch_is_the_same_whoever_asks_for_it(recipe):
    dataset = recipe("dataset").ShapesDataset(
        lambda captions: np.array([len(c) for c in captions]), np.asarray, 8, 3, seed=1
    )
    first = dataset[2]
    dataset[0]
    assert np.array_equal(first["images"], dataset[2]["images"])
    assert len(dataset) == 3


def test_held_out_combinations_are_in_no_scene_and_no_caption(recipe):
    scenes_of, grammar = recipe("scenes"), recipe("grammar")
    draw_captions = recipe("dataset").draw_captions
    assert {colour for colour, _ in scenes_of.HELD_OUT} == set(scenes_of.COLOURS)
    assert {shape for _, shape in scenes_of.HELD_OUT} == set(scenes_of.SHAPES)
    plain = {word: name for name, word in grammar.SYNONYMS.items()}
    rng = np.random.default_rng(3)
    for _ in range(25):
        scenes, captions = draw_captions(128, rng)
        shown = {(thing.colour, thing.shape) for scene in scenes for thing in scene.things}
        assert not shown & scenes_of.HELD_OUT
        for caption in captions:
            words = [plain.get(word, word) for word in re.findall("[a-z]+", caption)]
            for colour, shape in scenes_of.HELD_OUT:
                for name in (shape, f"{shape}s", f"{shape}es"):
                    assert f"{colour} {name}" not in " ".join(words)


def test_twins_keep_to_seen_combinations_and_differ(recipe):
    scenes_of = recipe("scenes")
    rng = np.random.default_rng(0)
    for kind in scenes_of.KINDS:
        for _ in range(50):
            scene = scenes_of.draw_scene(rng, kind)
            twin = scenes_of.twin(scene, rng)
            assert twin != scene and twin.facts() != scene.facts()
            if kind != "digit":
                assert all((t.colour, t.shape) in scenes_of.SEEN for t in twin.things)


def test_captions_state_only_what_is_true(recipe):
    scenes_of, describe = recipe("scenes"), recipe("grammar").describe
    rng = np.random.default_rng(1)
    for kind in scenes_of.KINDS:
        for _ in range(200):
            scene = scenes_of.draw_scene(rng, kind)
            caption, facts = describe(scene, rng)
            assert facts <= scene.facts()
            assert re.fullmatch(r"[a-z0-9][a-z0-9 ]*\.?", caption), caption
            assert "  " not in caption and not re.search(r"\ba [aei]", caption)


def test_no_caption_of_a_batch_is_true_of_another_picture(recipe):
    draw_captions = recipe("dataset").draw_captions
    grammar = recipe("grammar")
    scenes, captions = draw_captions(128, np.random.default_rng(4))
    assert len(set(captions)) == len(captions)
    assert not any(grammar.reserved(caption) for caption in captions)
    bare = [re.sub(r"[. ]+$", "", caption) for caption in captions]
    known = {"a red circle": "red circle", "a blue square": "blue square"}
    for caption, fact in known.items():
        if caption in bare:
            true = [s for s in scenes if s.kind == "single" and fact in s.facts()]
            assert len(true) == 1


def test_reserved_captions_are_long_and_a_tenth(recipe):
    grammar, scenes_of = recipe("grammar"), recipe("scenes")
    rng = np.random.default_rng(2)
    captions = [
        grammar.describe(scenes_of.draw_scene(rng, "pair"), rng, 0.9)[0] for _ in range(1000)
    ]
    chosen = [caption for caption in captions if grammar.reserved(caption)]
    assert 50 < len(chosen) < 150
    assert all(len(caption.split()) >= 8 for caption in chosen)
    assert not grammar.reserved("a photo of a red circle")


def test_digits_are_split_without_overlap(recipe):
    digits = recipe("digits")
    train, test = digits.indices("train"), digits.indices("test")
    inks, labels = digits.load()
    for value in range(10):
        assert not set(train[value]) & set(test[value])
        assert len(train[value]) + len(test[value]) == int(np.sum(labels == value))
        assert len(test[value]) == digits.TEST_PER_DIGIT
    assert inks.shape == (1797, 8, 8) and inks.max() == 1.0
    with pytest.raises(ValueError, match="'validation'"):
        digits.indices("validation")


def test_the_vocabulary_is_reproducible(recipe, tmp_path):
    vocabulary = recipe("vocabulary")
    vocabulary.write(tmp_path / "again.txt.gz")
    # The text and not the file: compression libraries differ in their bytes.
    paths = tmp_path / "again.txt.gz", vocabulary.PATH
    texts = [gzip.decompress(path.read_bytes()) for path in paths]
    assert texts[0] == texts[1]


def test_every_word_of_the_grammar_is_one_token(recipe):
    from keras_clip.preprocessing import CLIPTokenizer

    vocabulary = recipe("vocabulary")
    tokenizer = CLIPTokenizer.from_file(vocabulary.PATH, context_length=26)
    for word in (*recipe("scenes").COLOURS, *recipe("scenes").SHAPES, *recipe("scenes").DIGITS):
        assert len(tokenizer.encode(word)) == 1, word


@pytest.mark.parametrize("shape", ["circle", "ring", "cross", "crescent"])
def test_a_shape_is_where_the_scene_says(recipe, shape):
    scenes_of, render = recipe("scenes"), recipe("render").render
    scene = scenes_of.Scene(
        "single", (scenes_of.Thing("black", shape, "small"),), "white", place="top left"
    )
    pixels = render(scene, np.random.default_rng(0)).astype("float32").mean(axis=-1)
    rows, columns = np.nonzero(pixels < 100)
    assert 0.15 < rows.mean() / 64 < 0.4 and 0.15 < columns.mean() / 64 < 0.4


@pytest.fixture(scope="module")
def bundled():
    """The bundled model, loaded once."""
    if not PRESET.is_dir():
        pytest.skip("the bundled weights are not in this checkout: run zoo/recipes/shapes/train.py")
    import keras_clip

    return keras_clip.from_preset(PRESET)


def test_bundled_model_is_small(bundled):
    assert sum(file.stat().st_size for file in PRESET.iterdir()) <= 5_000_000


# What the model card says, less what a small sample of it may differ by.
def test_bundled_model_knows_unseen_combinations(bundled, recipe):
    assert recipe("evaluate").combinations(bundled, recipe("scenes").HELD_OUT, 204) >= 95.0


def test_bundled_model_knows_held_out_digits(bundled, recipe):
    assert recipe("evaluate").handwriting(bundled, per_digit=20) >= 95.0


def test_bundled_model_finds_captions(bundled, recipe):
    assert min(recipe("evaluate").recall(bundled, 200)) >= 95.0
