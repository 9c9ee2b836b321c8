"""What is wrong with the files of a preset is said in one clear error."""

import json

import numpy as np
import pytest
import small_models
from test_parity import OPEN

from keras_clip import CheckpointError, from_preset
from keras_clip.convert import open_checkpoint, write_safetensors


@pytest.fixture
def saved(tmp_path):
    small_models.vit().save_to_preset(tmp_path / "mine")
    return tmp_path / "mine"


def edit(path, change):
    """Change the dictionary in a JSON file."""
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


CHANGES = {
    "an unknown field": (lambda c: c["config"].update(widht=3), r"ViTConfig has no \['widht'\]"),
    "a missing field": (lambda c: c["config"].pop("mlp_dim"), "mlp_dim"),
    "a wrong type": (lambda c: c["config"].update(num_layers="two"), "num_layers"),
    "a wrong value": (lambda c: c["config"].update(num_heads=3), "num_heads=3"),
    "a wrong picture": (lambda c: c["config"]["image"].update(std=[1, 0, 1]), "std"),
    "an unknown picture": (lambda c: c["config"]["image"].update(blur=1), "blur"),
    "a null picture": (
        lambda c: c["config"].update(image=None),
        "image is missing or no JSON object",
    ),
    "another family": (lambda c: c.update(family="os.system"), "family is 'os.system', not one of"),
    "a family that is none": (lambda c: c.update(family=["vit"]), "family is"),
    "no configuration": (lambda c: c.pop("config"), "config is missing"),
    "a later version": (lambda c: c.update(version=2), "version is 2.*update keras-clip"),
    "no version": (lambda c: c.pop("version"), "version is None"),
    "an unknown format": (lambda c: c.update(format="other"), "the layout is not known"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_wrong_configuration(saved, name):
    change, message = CHANGES[name]
    edit(saved / "config.json", change)
    with pytest.raises(CheckpointError, match=message) as caught:
        from_preset(saved)
    assert str(saved) in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[1]", "", "\0", "[" * 100_000])
def test_a_damaged_configuration(saved, text):
    (saved / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json: (is not JSON|holds no JSON object)"):
        from_preset(saved)


def rewrite(path, change):
    """Change the tensors of a safetensors file."""
    with open_checkpoint(path) as checkpoint:
        tensors = {name: tensor.read() for name, tensor in checkpoint.items()}
    change(tensors)
    write_safetensors(path, tensors)


TENSORS = {
    "a missing tensor": (lambda t: t.pop("norm/beta"), r"- norm/beta: no tensor fills it"),
    "an extra tensor": (lambda t: t.update(more=np.zeros(3)), r"\+ more: "),
    "a wrong shape": (
        lambda t: t.update({"head/bias": np.zeros(9, "float32")}),
        r"! head/bias: file \(9,\), model \(7,\)",
    ),
    "a value that is none": (
        lambda t: t.update({"norm/beta": np.full(64, np.nan, "float32")}),
        r"\? norm/beta: holds NaN",
    ),
}


@pytest.mark.parametrize("name", TENSORS)
def test_wrong_weights(saved, name):
    change, message = TENSORS[name]
    rewrite(saved / "model.safetensors", change)
    with pytest.raises(CheckpointError, match=message) as caught:
        from_preset(saved)
    assert "model.safetensors" in str(caught.value)


def test_all_that_is_wrong_is_listed_at_once(saved):
    def change(tensors):
        tensors["more"] = tensors.pop("norm/beta")
        tensors["head/bias"] = np.zeros(9, "float32")

    rewrite(saved / "model.safetensors", change)
    with pytest.raises(CheckpointError, match="3 wrong"):
        from_preset(saved)


def test_no_weights(saved):
    (saved / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="holds no weights"):
        from_preset(saved)


def test_a_tensors_file_without_its_configuration(saved, tmp_path):
    (saved / "model.safetensors").rename(tmp_path / "alone.safetensors")
    with pytest.raises(CheckpointError, match=r"the layout is not known.*give the directory"):
        from_preset(tmp_path / "alone.safetensors")


def test_a_file_of_a_directory_is_as_good_as_the_directory(saved):
    assert small_models.same(from_preset(saved / "model.safetensors"), from_preset(saved))


@pytest.mark.parametrize("name", ["model.safetensors", "open_clip_model.safetensors", "a.b"])
def test_what_a_bare_file_leaves_open_is_asked_for_whatever_its_name(name, tmp_path):
    model = small_models.clip()
    folder = small_models.write(model, "openai", tmp_path / "a")
    path = (folder / "model.safetensors").rename(tmp_path / name)
    with pytest.raises(CheckpointError, match=r"quick_gelu, head_width, eos_id.*open_clip_config"):
        from_preset(path)
    given = {"quick_gelu": True, "head_width": 64, "eos_id": None}
    assert small_models.same(from_preset(path, config=given), model)
    other = from_preset(path, config={**given, "quick_gelu": False, "head_width": 32}).config
    assert (other.vision.activation, other.vision.num_heads) == ("gelu", 2)


def test_a_clip_without_a_vocabulary_says_what_to_do(tmp_path):
    path = small_models.write(small_models.clip(), "openai", tmp_path / "a.pt")
    clip = from_preset(path)
    with pytest.raises(ValueError, match=r"has no tokenizer: .*from_preset\(source, tokenizer="):
        clip.embed_texts(["a"])


def test_a_vocabulary_beside_the_weights_is_taken_with_the_rows_of_the_model(tmp_path):
    path = small_models.write(small_models.clip(), "huggingface_clip", tmp_path / "a")
    small_models.tokenizer(context_length=40, pad_token_id=9).save(path)
    clip = from_preset(path, text={"pad_token_id": 5})
    assert clip.tokenizer(["ab"]).shape == (1, 12)
    assert clip.tokenizer(["ab"])[0, -1] == 5


def test_a_vocabulary_can_be_given(tmp_path):
    path = small_models.write(small_models.clip(), "openai", tmp_path / "a.pt")
    tokenizer = small_models.tokenizer()
    assert from_preset(path, tokenizer=tokenizer).tokenizer is tokenizer
    tokenizer.save(tmp_path / "words")
    ids = from_preset(path, tokenizer=tmp_path / "words").tokenizer(["a cat"])
    np.testing.assert_array_equal(ids[:, :6], tokenizer(["a cat"])[:, :6])
    with pytest.raises(FileNotFoundError, match="absent"):
        from_preset(path, tokenizer=tmp_path / "absent")


def test_another_models_vocabulary_is_an_error(tmp_path):
    path = small_models.write(small_models.clip(), "openai", tmp_path / "a.pt")
    merges = [("a", "b</w>")]
    from keras_clip.preprocessing.byte_alphabet import merged_vocabulary

    larger = type(small_models.tokenizer())(
        merged_vocabulary(merges, "<|startoftext|>", "<|endoftext|>"), merges
    )
    larger.save(tmp_path / "words")
    with pytest.raises(CheckpointError, match="has 515 ids, but the model knows 514"):
        from_preset(path, tokenizer=tmp_path / "words")


def test_the_reference_directories_do_what_their_manifest_says(reference):
    items = json.loads((reference / "broken" / "manifest.json").read_text())["items"]
    directories = [item for item in items if item["kind"] == "transformers directory"]
    assert len(directories) >= 7
    for item in directories:
        with pytest.raises(CheckpointError) as caught:
            from_preset(reference / "broken" / item["file"])
        words = item["error_should_mention"]
        assert any(word in str(caught.value) for word in words), (item["file"], caught.value)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("openai/clip_vit_jit_fp16.pt", "CLIP"),
        ("openai/clip_vit_small_training_checkpoint.pt", "CLIP"),
        ("openai/clip_vit_state_dict_fp16_legacy.pt", "CLIP"),
        ("hf/clip_hub_style", "CLIP"),
        ("hf/clip_sharded_fp16", "CLIP"),
        ("hf/clip_bin", "CLIP"),
        ("hf/vit_classification", "ViT"),
        ("hf/vit_no_pooler", "ViT"),
        ("npz/vit_pre_logits.npz", "ViT"),
    ],
)
def test_the_reference_checkpoints_load(reference, path, kind):
    assert type(from_preset(reference / path, **OPEN.get(path, {}))).__name__ == kind
