"""The model of a recipe: presets, changed fields, tokenizers, locked towers, recomputed blocks."""

from types import SimpleNamespace

import pytest
from PIL import Image
from tiny_models import VOCABULARY, tiny_clip, tiny_tokenizer

from keras_clip.evaluate import zero_shot
from keras_clip.train.recipe import Recipe
from keras_clip.train.recipe_model import build_clip
from keras_clip.train.recipe_parts import compile_clip, evaluations
from keras_clip.train.recipe_sections import EvaluateSection, ModelSection

ENCODER = {"hidden_dim": 8, "num_layers": 1, "num_heads": 2, "mlp_dim": 12, "projection_dim": 6}
VISION = {**ENCODER, "patch_size": 4, "image_size": [8, 12]}
FRESH = {"vision": VISION, "text": {**ENCODER, "context_length": 16}}


@pytest.fixture(scope="module")
def clip():
    return tiny_clip(tokenizer=tiny_tokenizer())


def test_a_preset_is_asked_for_with_what_is_to_be_different(clip):
    asked = {}

    def from_preset(name, **given):
        asked.update(given, name=name)
        return clip

    section = ModelSection(
        start="some_clip", load_weights=False, vision={"dropout_rate": 0.5}, max_scale=50.0,
        tokenizer=str(VOCABULARY), dtype="mixed_bfloat16", lock_image=True,
    )  # fmt: skip
    built = build_clip(section, from_preset)
    assert asked == {
        "name": "some_clip", "load_weights": False, "vision": {"dropout_rate": 0.5},
        "max_scale": 50.0, "tokenizer": str(VOCABULARY), "dtype": "mixed_bfloat16",
    }  # fmt: skip
    assert not built.get_layer("vision").trainable_variables
    assert built.get_layer("text").trainable_variables
    built.get_layer("vision").trainable = True


def test_a_fresh_model_takes_a_preset_s_tokenizer_for_rows_of_its_own(clip):
    def from_preset(name, tower):
        assert (name, tower) == ("some_clip", "text")
        return SimpleNamespace(tokenizer=tiny_tokenizer())

    text = {**ENCODER, "context_length": 9}
    section = ModelSection(
        vision=VISION, text=text, tokenizer="some_clip", initial_bias=-10.0, initial_scale=10.0,
        remat=True, lock_text=True,
    )  # fmt: skip
    built = build_clip(section, from_preset)
    assert built.tokenizer(["a photo"]).shape == (1, 9)
    assert built.config.text.vocabulary_size == tiny_tokenizer().vocabulary_size
    assert built.config.is_sigmoid and built.bias == -10.0
    assert built.scale == pytest.approx(10.0, rel=1e-6)
    assert built.get_layer("vision").get_layer("block_0")._remat_mode is not None
    assert not built.get_layer("text").trainable_variables


def test_what_cannot_be_built_is_said(clip):
    with pytest.raises(ValueError, match=r"'some_clip': give from_preset"):
        build_clip(ModelSection(start="some_clip"))
    with pytest.raises(ValueError, match=r"needs \[model\] tokenizer"):
        build_clip(ModelSection(**FRESH))
    with pytest.raises(ValueError, match=r"needs \[model\] tokenizer"):
        build_clip(ModelSection(**FRESH, tokenizer="hf://org/repo/tokenizer.json"))
    with pytest.raises(ValueError, match="some_vit is no CLIP"):
        build_clip(ModelSection(start="some_vit"), lambda *_, **__: clip.get_layer("vision"))
    with pytest.raises(ValueError, match=r"rows of 9 tokens, the model takes 16"):
        short = SimpleNamespace(context_length=9)
        build_clip(
            ModelSection(start="some_clip"),
            lambda *_, **__: _with_tokenizer(clip, short),
        )


def _with_tokenizer(clip, tokenizer):
    made = tiny_clip()
    made._tokenizer = tokenizer
    return made


def test_an_evaluation_takes_labels_and_templates_from_a_set_of_prompts(tmp_path, clip):
    for number, name in enumerate(("cat", "dog")):
        (tmp_path / name).mkdir()
        Image.new("RGB", (12, 8), (99 * number, 0, 0)).save(tmp_path / name / "a.png")
    section = EvaluateSection("zero_shot", str(tmp_path), prompts="own")
    recipe = SimpleNamespace(evaluate=(section,))
    with pytest.raises(ValueError, match="give load_prompts"):
        evaluations(recipe)
    prompts = SimpleNamespace(labels=None, templates=("a {}", "the {}"))
    measure = evaluations(recipe, lambda name: {"own": prompts}[name])["zero_shot"]
    own = zero_shot(clip, tmp_path, templates=["a {}", "the {}"])
    assert measure(clip)["top1"] == own.top1


def test_a_teacher_is_loaded_and_reads_what_the_student_reads(clip):
    recipe = Recipe.from_dict(
        {
            "model": {"start": "a_student"},
            "data": {"source": "pairs", "context_length": 8},
            "loss": {"teacher": "a_teacher", "distillation_weight": 0.5},
            "optimizer": {"learning_rate": 0.1},
            "run": {"steps": 4},
        }
    )
    teacher = tiny_clip(tokenizer=tiny_tokenizer())
    compile_clip(clip, recipe, 4, {"a_teacher": teacher}.get)
    assert clip.contrastive_loss.teacher is teacher
    assert clip.contrastive_loss.distillation_weight == 0.5
    with pytest.raises(ValueError, match="give from_preset"):
        compile_clip(clip, recipe, 4)
    reads_padding = tiny_clip(tokenizer=tiny_tokenizer(), text={"causal": False})
    with pytest.raises(ValueError, match="reads what is behind a caption's end"):
        compile_clip(clip, recipe, 4, {"a_teacher": reads_padding}.get)
