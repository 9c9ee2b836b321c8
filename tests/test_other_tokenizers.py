"""The tokenizers of CLIPA (BERT's) and MetaCLIP 2 (XLM-RoBERTa's) give their libraries' ids."""

import json

import numpy as np
import pytest
import tokenizer_makers as files
from tiny_models import tiny_clip

from keras_clip import export_checkpoint, from_preset
from keras_clip.models.config import TextConfig
from keras_clip.models.preset_directory import load_tokenizer
from keras_clip.models.preset_tokenizer import pick_tokenizer
from keras_clip.preprocessing import PipelineTokenizer

TEXTS = [
    "a photo of a cat.",
    "A  Photo, of\tTWO   Dogs!",
    "",
    "Tom &amp; Jerry \u2014 caf\u00e9 \u201chi\u201d",
    "the red car " * 30,
]
KINDS = {
    "bert": (
        files.bert,
        {
            "tokenizer_class": "BertTokenizer",
            **{"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"},
        },
    ),
    "roberta": (
        files.roberta,
        {
            "tokenizer_class": "XLMRobertaTokenizerFast",
            **{"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"},
            **{"cls_token": "<s>", "sep_token": "</s>", "unk_token": "<unk>"},
        },
    ),
}


@pytest.fixture(params=KINDS)
def folder(request, tmp_path):
    make, settings = KINDS[request.param]
    return files.write(tmp_path / "repository", make(), **settings)


def by_transformers(folder, texts, length):
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        pad_token=json.loads((folder / "tokenizer_config.json").read_text())["pad_token"],
    )
    return tokenizer(texts, padding="max_length", truncation=True, max_length=length).input_ids


def test_ids_are_those_of_transformers(folder):
    ours = PipelineTokenizer.from_file(folder, context_length=12)
    assert ours.cleaning == "none"
    np.testing.assert_array_equal(ours(TEXTS), by_transformers(folder, TEXTS, 12))


@pytest.mark.parametrize("strip", [False, True])
def test_ids_are_those_of_open_clip(strip, tmp_path):
    module = pytest.importorskip("open_clip.tokenizer")
    make, settings = KINDS["bert"]
    folder = files.write(tmp_path / "repository", make(), **settings)
    arguments = {"strip_sep_token": True} if strip else {}
    text = {"hf_tokenizer_name": "bert-base-uncased", "tokenizer_kwargs": arguments}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": {"text_cfg": text}}))
    theirs = module.HFTokenizer(str(folder), context_length=9, **arguments)
    ours = PipelineTokenizer.from_file(folder, context_length=9)
    assert (ours.cleaning, ours.start_token) == ("whitespace", "[CLS]")
    np.testing.assert_array_equal(ours(TEXTS), theirs(TEXTS).numpy())
    assert (ours(["cat"])[0, -1], 3 in ours(TEXTS)) == (0, not strip)


def test_saved_is_read_back(folder, tmp_path):
    ours = PipelineTokenizer.from_file(folder, context_length=9)
    ours.save(tmp_path / "one")
    again = load_tokenizer(tmp_path / "one")
    assert again.get_config() == ours.get_config()
    np.testing.assert_array_equal(again(TEXTS), ours(TEXTS))
    np.testing.assert_array_equal(by_transformers(tmp_path / "one", TEXTS, 9), ours(TEXTS))


def test_it_is_picked_by_its_files(folder):
    text = TextConfig(vocabulary_size=400, context_length=11, pad_token_id=0)
    found = pick_tokenizer(text, None, [folder], lambda place: place)
    assert isinstance(found, PipelineTokenizer) and found.start_token in ("[CLS]", "<s>")
    place = {"source": folder / "tokenizer.json", "end_token": found.pad_token, "cleaning": "lower"}
    given = pick_tokenizer(text, None, [place], lambda place: place)
    assert (given.end_token, given.cleaning) == (found.pad_token, "lower")
    assert given.context_length == 11


def test_a_text_that_is_too_long_is_named(folder):
    tokenizer = PipelineTokenizer.from_file(folder, context_length=5)
    with pytest.raises(ValueError, match=r"Text 4 is too long: .* at most 5 fit"):
        tokenizer(["", "", "", "", "the red car " * 30], truncate=False)


def test_detokenize(folder):
    ours = PipelineTokenizer.from_file(folder, context_length=24)
    assert ours.detokenize(ours("a photo of two dogs"), skip_special=True) == [
        "a photo of two dogs"
    ]


@pytest.mark.parametrize("folder", ["bert"], indirect=True)
def test_open_clip_finds_it_beside_an_exported_model(folder, tmp_path):
    open_clip = pytest.importorskip("open_clip")
    tokenizer = PipelineTokenizer.from_file(folder, context_length=16, cleaning="whitespace")
    config = {"activation": "gelu", "pooling": "last", "causal": False}
    clip = tiny_clip(tokenizer=tokenizer, text=config, image_size=8, use_patch_bias=False)
    export_checkpoint(clip, tmp_path / "out", "open_clip")
    theirs = open_clip.get_tokenizer(f"local-dir:{tmp_path / 'out'}")
    np.testing.assert_array_equal(theirs(TEXTS).numpy(), tokenizer(TEXTS))
    np.testing.assert_array_equal(from_preset(tmp_path / "out").tokenizer(TEXTS), tokenizer(TEXTS))
