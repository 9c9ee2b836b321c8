"""The recipe of the bundled model: deterministic, without leaks, and what its model can do."""

import gzip
import importlib
import io
import pathlib
import re

import numpy as np
import pytest
from PIL import Image

from keras_clip.data import open_pictures
from keras_clip.train import Recipe

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


def test_shards_hold_the_batches_in_their_order_to_the_last_pixel(recipe, tmp_path, monkeypatch):
    pairs = recipe("pairs")
    monkeypatch.setattr(pairs, "SHARD", 2)
    pairs.write_training(tmp_path, steps=3, batch_size=6, workers=1)
    pictures = open_pictures(tmp_path)
    assert len(pictures) == 18 and len(list(tmp_path.glob("*.tar"))) == 2
    decoded = np.stack([Image.open(io.BytesIO(picture.read())) for picture in pictures])
    for number in range(3):
        drawn, captions = recipe("dataset").draw_batch(6, (pairs.SEED, number))
        rows = slice(6 * number, 6 * number + 6)
        assert np.array_equal(decoded[rows], drawn)
        assert [picture.captions for picture in pictures[rows]] == [(c,) for c in captions]
    first = (tmp_path / "pairs_000.tar").read_bytes()
    pairs.write_batches(6, tmp_path / "pairs_000.tar", range(2))
    assert (tmp_path / "pairs_000.tar").read_bytes() == first


def test_validation_is_labelled_and_held_out(recipe, tmp_path):
    pairs, scenes_of = recipe("pairs"), recipe("scenes")
    pairs.write_validation(tmp_path)
    unseen = open_pictures(tmp_path / "combinations")
    combinations = scenes_of.COMBINATIONS
    assert len(unseen.class_names) == len(combinations) == 120
    assert {combinations[label] for label in unseen.labels} == set(scenes_of.HELD_OUT)
    assert unseen.templates == list(recipe("evaluate").SHAPE_TEMPLATES)
    handwriting = open_pictures(tmp_path / "digits")
    assert np.bincount(handwriting.labels).tolist() == [recipe("digits").TEST_PER_DIGIT] * 10
    captions = open_pictures(tmp_path / "captions")
    assert all(recipe("grammar").reserved(caption) for p in captions for caption in p.captions)


def test_facts_of_warm_up_are_the_same_for_a_batch_whoever_asks_for_it(recipe):
    warm_up = recipe("warm_up")
    dataset = warm_up.FactsDataset(warm_up.normalize, 8, 3, seed=1)
    pixels, facts = dataset[2]
    dataset[0]
    again, repeated = dataset[2]
    assert np.array_equal(pixels, again) and np.array_equal(facts, repeated)
    assert pixels.shape == (8, 64, 64, 3) and len(dataset) == 3
    assert facts.shape == (8, len(warm_up.FACTS)) and facts.any(axis=1).all()


def test_the_recipe_is_the_command_s(recipe):
    found, warm_up = Recipe.from_toml(RECIPE / "recipe.toml"), recipe("warm_up")
    pairs = recipe("pairs")
    assert found.data.batch_size == pairs.BATCH_SIZE and found.run.steps == pairs.STEPS
    assert found.data.shuffle is False and found.run.seed == pairs.SEED == warm_up.SEED
    assert pathlib.Path(found.data.source) == pairs.FOLDER / "pairs"
    assert pathlib.Path(found.model.start) == pairs.FOLDER / "start"
    kept = {one.name: pathlib.Path(one.source).name for one in found.evaluate}
    assert kept == {name: name for name in ("combinations", "digits", "captions")}


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


def test_handwriting_is_shown_as_it_is(recipe):
    scenes, digits, render = recipe("scenes"), recipe("digits"), recipe("render").render
    scene = scenes.Scene("digit", (scenes.Thing("white", "six"),), "black")
    for seed in range(5):
        random = np.random.default_rng(seed)
        ink = digits.ink(6, random)
        pixels = render(scene, random, ink, enlarged=True).astype("float32").mean(axis=-1)
        squares = pixels.reshape(8, 8, 8, 8).mean(axis=(1, 3))
        assert np.corrcoef(squares.ravel(), ink.ravel())[0, 1] > 0.99


@pytest.fixture(scope="module")
def bundled():
    """The bundled model, loaded once."""
    if not PRESET.is_dir():
        pytest.skip("the bundled weights are not in this checkout: see zoo/recipes/shapes/card.md")
    import keras_clip

    return keras_clip.from_preset(PRESET)


def test_the_recipe_makes_the_bundled_model_s_kind(bundled, recipe):
    warm_up = recipe("warm_up")
    assert warm_up.configuration(bundled.tokenizer.vocabulary_size) == bundled.config
    pictures, _ = recipe("dataset").draw_batch(4, (1, 1))
    np.testing.assert_allclose(
        warm_up.normalize(pictures), bundled.image_processor(list(pictures)), atol=1e-6
    )


def test_bundled_model_is_small(bundled):
    assert sum(file.stat().st_size for file in PRESET.iterdir()) <= 5_000_000


# What the model card says, less rounding, or what a small sample of it may differ by.
def test_bundled_model_knows_unseen_combinations(bundled, recipe):
    assert recipe("evaluate").combinations(bundled, recipe("scenes").HELD_OUT, 204) >= 95.0


def test_bundled_model_knows_held_out_digits(bundled, recipe):
    handwriting = recipe("evaluate").handwriting
    assert handwriting(bundled) >= 96.5 and handwriting(bundled, plain=True) >= 98.0


def test_bundled_model_finds_captions(bundled, recipe):
    assert min(recipe("evaluate").recall(bundled, 200)) >= 95.0
