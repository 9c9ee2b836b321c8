"""Sets of prompts: the package's own, files, data sets' folders, open_clip's."""

import pytest
from tiny_models import tiny_clip, tiny_tokenizer

import keras_clip
from keras_clip.prompt_sets import list_prompts, load_prompts


def test_the_packages_own():
    names = list_prompts()
    assert {"general", "photos", "textures", "satellite", "digits"} <= set(names)
    for name, about in names.items():
        found = load_prompts(name)
        assert about and found.about == about
        assert len(set(found.templates)) == len(found.templates) >= 4
        assert len(found.prompts(found.labels or ["cat", "dog"])) >= 2


def test_digits_have_labels_of_their_own():
    prompts = keras_clip.load_prompts("digits").prompts()
    assert prompts.names[3] == "three" and "a photo of the digit 3." in prompts.sentences[3]
    assert len(prompts) == 10


def test_templates_only_ask_for_labels():
    with pytest.raises(ValueError, match="templates only"):
        load_prompts("photos").prompts()


def test_a_toml_file(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text('templates = ["my {}"]\nlabels = [["cat", "kitten"], "dog"]\n')
    prompts = load_prompts(path).prompts()
    assert prompts.sentences == (("my cat", "my kitten"), ("my dog",))


def test_a_text_file(tmp_path):
    path = tmp_path / "own.txt"
    path.write_text("a photo of {c}\n\nthe {}\n")
    assert load_prompts(path).templates == ("a photo of {}", "the {}")


def test_the_folder_of_a_data_set(tmp_path):
    (tmp_path / "classnames.txt").write_text("cat\ndog\n")
    (tmp_path / "zeroshot_classification_templates.txt").write_text("a photo of a {c}.\n")
    found = load_prompts(tmp_path)
    assert found.prompts().sentences == (("a photo of a cat.",), ("a photo of a dog.",))


def test_open_clips_imagenet_has_its_published_names_twice():
    pytest.importorskip("open_clip")
    found = load_prompts("open_clip:imagenet")
    assert (len(found.templates), len(found.labels)) == (80, 1000)
    assert found.templates[0] == "a bad photo of a {}." and found.labels.count("missile") == 2
    prompts = found.prompts()
    assert prompts.sentences[0][0] == "a bad photo of a tench."
    assert len(load_prompts("open_clip:imagenet_simple").templates) == 7
    simple = load_prompts("open_clip:imagenet_simple").prompts()
    vectors = tiny_clip(tokenizer=tiny_tokenizer()).class_embeddings(simple, use_cache=False)
    assert vectors.shape == (1000, 6)
    both = [k for k, name in enumerate(simple.names) if name == "missile"]
    assert (vectors[both[0]] == vectors[both[1]]).all()


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("a.toml", "templates = [", "not a TOML file"),
        ("a.toml", 'labels = ["cat"]', "has `templates`"),
        ("a.toml", 'templates = ["{}"]\ntemplate = "{}"', r"not \['template'\]"),
        ("a.toml", "templates = 5", r"a.toml: templates is a string, or a list"),
        ("a.toml", 'templates = ["cat"]', r"a.toml: .*'cat' has no \{\}"),
        ("a.txt", "a photo\n", r"a.txt: .*'a photo' has no \{\}"),
        ("a.txt", "\n \n", "is empty"),
    ],
)
def test_files_that_are_no_prompts(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        load_prompts(tmp_path / name)


def test_what_is_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"no set of prompts 'fotos'.*photos"):
        load_prompts("fotos")
    with pytest.raises(ValueError, match="imagenet_simple"):
        load_prompts("open_clip:cifar")
    with pytest.raises(FileNotFoundError):
        load_prompts(tmp_path)
