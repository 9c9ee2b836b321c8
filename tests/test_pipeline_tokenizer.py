"""SigLIP's tokenizers give the ids that transformers and OpenCLIP give."""

import json
import string

import numpy as np
import pytest
import tokenizer_makers as files

from keras_clip.models.config import TextConfig
from keras_clip.models.preset_directory import load_tokenizer
from keras_clip.models.preset_tokenizer import pick_tokenizer
from keras_clip.preprocessing import CLIPTokenizer, PipelineTokenizer
from keras_clip.preprocessing.pipeline_cleaning import canonicalize, clean_as_transformers

TEXTS = [
    "a photo of a cat.",
    "A  Photo, of TWO   Dogs!",
    "keras_clip: images & texts",
    "",
    "it's raining \u2014 caf\u00e9 \u03a3\u039f\u03a3",
    "the red car " * 30,
]
KINDS = {
    "unigram": (files.unigram, {"tokenizer_class": "SiglipTokenizer", "pad_token": "</s>"}),
    "gemma": (files.gemma, {"tokenizer_class": "GemmaTokenizer", "pad_token": "<pad>"}),
}
END = {"unigram": "</s>", "gemma": "<eos>"}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def folder(kind, tmp_path):
    make, settings = KINDS[kind]
    return files.write(tmp_path / "repository", make(), eos_token=END[kind], **settings)


def wanted_rows(tokenizer, texts, length, end, pad):
    """Rows by the `tokenizers` library alone, of clean texts."""
    rows = np.full((len(texts), length), pad, "int32")
    for row, text in zip(rows, texts, strict=True):
        ids = tokenizer.encode(text, add_special_tokens=False).ids[: length - 1] + [end]
        row[: len(ids)] = ids
    return rows


def test_rows_are_text_end_padding(kind, folder):
    tokenizer = PipelineTokenizer.from_file(folder, context_length=16)
    clean = [" ".join(t.lower().split()) for t in ("a photo of a cat", "the red car " * 9)]
    pad = 1 if kind == "unigram" else 0
    assert (tokenizer.end_token_id, tokenizer.pad_token_id) == (1, pad)
    assert tokenizer.cleaning == ("huggingface" if kind == "unigram" else "lower")
    found = tokenizer(clean)
    assert found.dtype == "int32"
    np.testing.assert_array_equal(found, wanted_rows(KINDS[kind][0](), clean, 16, 1, pad))
    assert found[1, -1] == 1  # cut, with the end kept


def test_the_size_is_the_vocabularys(kind, folder):
    size = files.UNIGRAM_SIZE if kind == "unigram" else files.GEMMA_SIZE
    assert PipelineTokenizer.from_file(folder).vocabulary_size <= size


def test_siglip_2_as_in_transformers(tmp_path):
    transformers = pytest.importorskip("transformers", minversion="5")
    settings = {"tokenizer_class": "Siglip2Tokenizer", "pad_token": "<pad>", "eos_token": "<eos>"}
    folder = files.write(tmp_path / "repository", files.gemma(), **settings)
    theirs = transformers.Siglip2Tokenizer.from_pretrained(folder, add_bos_token=False)
    ours = PipelineTokenizer.from_file(folder, context_length=64)
    for text in TEXTS:
        wanted = theirs(text, add_special_tokens=False).input_ids
        assert ours.encode(text) == wanted, text


@pytest.mark.parametrize("cleaning", ["huggingface", "lower"])
def test_transformers_reads_what_is_saved(kind, folder, cleaning, tmp_path):
    transformers = pytest.importorskip("transformers")
    ours = PipelineTokenizer.from_file(folder, cleaning=cleaning, context_length=20)
    ours.save(tmp_path / "saved")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert theirs.padding_side == "right"
    rows = theirs(TEXTS, padding="max_length", truncation=True, max_length=20).input_ids
    np.testing.assert_array_equal(ours(TEXTS), rows)


@pytest.mark.parametrize("cleaning", ["canonicalize", "huggingface", "lower"])
def test_saved_is_read_back(kind, folder, cleaning, tmp_path):
    settings = {"cleaning": cleaning, "context_length": 9}
    ours = PipelineTokenizer.from_file(folder, **settings)
    ours.save(tmp_path / "one")
    again = load_tokenizer(tmp_path / "one")
    assert isinstance(again, PipelineTokenizer) and again.get_config() == ours.get_config()
    np.testing.assert_array_equal(again(TEXTS), ours(TEXTS))
    again.save(tmp_path / "two")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    other = PipelineTokenizer.from_file(tmp_path / "one", cleaning="lower")
    plain = PipelineTokenizer.from_file(folder, cleaning="lower")
    assert [other.encode(text) for text in TEXTS] == [plain.encode(text) for text in TEXTS]


def test_steps_of_the_file_are_not_done_twice(tmp_path):
    start = [("<unk>", 2)]
    tokenizer = files.unigram(post_processor=files.ends("</s>", 1, start))
    tokenizer.enable_padding(length=30)
    tokenizer.enable_truncation(5)
    plain = PipelineTokenizer(files.unigram().to_str(), context_length=16)
    found = PipelineTokenizer(tokenizer.to_str(), context_length=16)
    np.testing.assert_array_equal(found(TEXTS), plain(TEXTS))
    assert 2 not in found(["a photo of a cat"])


def test_canonicalize_is_open_clips():
    module = pytest.importorskip("open_clip.tokenizer")
    odd = ["Tom &amp; Jerry_s &lt;b&gt;", "sch\u00c3\u00b6n \u201chi\u201d", string.punctuation]
    for text in [*TEXTS, *odd]:
        assert canonicalize(text) == module.get_clean_fn("canonicalize")(text), text


def test_cleanings_differ_in_the_underscore():
    assert canonicalize(" Keras_CLIP,  it's\ta test! ") == "keras clip its a test"
    assert clean_as_transformers(" Keras_CLIP,  it's\ta test! ") == "kerasclip its a test"
    assert canonicalize("caf&#233; &amp; bar") == "caf\u00e9 bar"


def test_special_tokens_in_a_text(folder, kind):
    end = END[kind]
    ours = PipelineTokenizer.from_file(folder, cleaning="lower")
    assert ours.encode(f"cat {end}").count(1) == 1
    assert ours([f"cat {end}"], context_length=8)[0].tolist().count(1) >= 2


def test_detokenize(folder, kind):
    ours = PipelineTokenizer.from_file(folder, context_length=24)
    text = "a photo of two dogs"
    assert ours.detokenize(ours([text, text]), skip_special=True) == [text, text]
    assert ours.detokenize(ours.encode(text)) == text
    assert ours.detokenize(ours(text)[0]).count(END[kind]) >= 1
    with pytest.raises(ValueError, match="9999 is not in the vocabulary"):
        ours.detokenize([9999])


def test_open_clips_configuration_says_how_texts_are_cleaned(tmp_path):
    settings = {"tokenizer_class": "GemmaTokenizer", "pad_token": {"content": "<pad>"}}
    folder = files.write(tmp_path / "repository", files.gemma(), **settings)
    text = {"text_cfg": {"tokenizer_kwargs": {"clean": "canonicalize"}}}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": text}))
    assert PipelineTokenizer.from_file(folder).cleaning == "canonicalize"


@pytest.mark.parametrize("settings", [{}, {"tokenizer_class": "PreTrainedTokenizerFast"}])
def test_the_tokenizer_is_picked_by_its_files(kind, tmp_path, settings):
    folder = files.write(tmp_path / "repository", KINDS[kind][0](), **settings)
    text = TextConfig(vocabulary_size=400, context_length=11, pad_token_id=7)
    found = pick_tokenizer(text, None, [None, folder], lambda place: place)
    assert isinstance(found, PipelineTokenizer) and found.context_length == 11
    assert found.pad_token_id == (1 if kind == "unigram" else 0)
    assert pick_tokenizer(text, found, [], None) is found
    given = pick_tokenizer(text, folder / "tokenizer.json", [], lambda place: place)
    assert given.get_config() == found.get_config()


def test_clips_own_is_still_clips(tmp_path):
    from small_models import tokenizer

    tokenizer().save(tmp_path / "saved")
    assert isinstance(load_tokenizer(tmp_path / "saved"), CLIPTokenizer)


def test_errors_say_what_to_do(tmp_path):
    (tmp_path / "spiece.model").write_bytes(b"\x0a\x0e")
    with pytest.raises(FileNotFoundError, match=r"repository with tokenizer\.json"):
        pick_tokenizer(TextConfig(), tmp_path, [], lambda place: place)
    assert pick_tokenizer(TextConfig(), None, [tmp_path], lambda place: place) is None
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match=r"no tokenizer\.json that can be read"):
        PipelineTokenizer.from_file(tmp_path)
    content = files.unigram().to_str()
    with pytest.raises(ValueError, match="cleaning must be one of"):
        PipelineTokenizer(content, cleaning="no")
    with pytest.raises(ValueError, match="'<x>' is not in the vocabulary"):
        PipelineTokenizer(content, end_token="<x>")
    tokenizer = PipelineTokenizer(content, context_length=4)
    with pytest.raises(ValueError, match="Text 1 is too long"):
        tokenizer(["", "a photo of a cat"], truncate=False)
    with pytest.raises(TypeError, match="one string"):
        tokenizer.encode(["a"])
