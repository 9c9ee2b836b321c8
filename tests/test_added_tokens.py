"""Tokens added to a finished vocabulary have transformers' ids, or are refused by name."""

import json

import keras
import numpy as np
import pytest
import tokenizer_makers
from tiny_models import CONTEXT, tiny_clip, tiny_tokenizer

from keras_clip import CheckpointError, export_checkpoint, from_preset
from keras_clip.models.preset_directory import load_tokenizer
from keras_clip.preprocessing import CLIPTokenizer, PipelineTokenizer

SIZE = 603  # of the vocabulary without them
# One token for each attribute, and those that textual inversion adds.
TOKENS = (
    {"content": "<cat-toy>"},
    {"content": "<Cat Toy>", "normalized": False},
    {"content": "Red", "single_word": True},
    {"content": "blue", "single_word": True, "normalized": False},
    {"content": "<l>", "lstrip": True},
    {"content": "<r>", "rstrip": True, "normalized": False},
    {"content": "[style]", "special": True},
    {"content": "x<&>y", "normalized": True},
)
TEXTS = [
    *("a <cat-toy> on a table", "a<cat-toy>b", "A <CAT-TOY>!", "<cat-toy><cat-toy>", "<cat toy>"),
    *("the <Cat Toy>s", "a <CAT TOY>", "red car, reddish, Red.", "infrared", "RED", "red_car"),
    *("blue sky", "Blue sky", "bluest", "sky-blue", "a  <l>  b", "a  <r>  b", "<l>", "  <r>"),
    *("in [style] of", "in [STYLE] of", "x<&>y", "X<&>Y z", "plain text", "", "<cat-to", "!red!"),
    *("a <cat-toy> " * 3, "12<cat-toy>34", "it's<r> red's", "<|endoftext|> <cat-toy>"),
]


@pytest.fixture(scope="module")
def library():
    return pytest.importorskip("transformers", minversion="5")


def files(folder, added=TOKENS):
    """A directory of a tokenizer as transformers saves it, tokenizer.json and all."""
    transformers = pytest.importorskip("transformers", minversion="5")
    tiny_tokenizer().save(folder)
    theirs = transformers.CLIPTokenizer.from_pretrained(folder)
    theirs.add_tokens([_of_library(values) for values in added])
    theirs.save_pretrained(folder)
    return folder


def _of_library(values):
    from tokenizers import AddedToken

    return AddedToken(**values)


def older(folder, added=TOKENS, **config):
    """The same as early versions have it: vocab.json, merges.txt, added_tokens.json."""
    folder.mkdir()
    plain = tiny_tokenizer()
    (folder / "vocab.json").write_text(json.dumps(plain.vocabulary))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in plain.merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")
    ids = {token["content"]: SIZE + number for number, token in enumerate(added)}
    if not config:
        (folder / "added_tokens.json").write_text(json.dumps(ids))
        special = [token["content"] for token in added if token.get("special")]
        (folder / "special_tokens_map.json").write_text(
            json.dumps({"additional_special_tokens": special})
        )
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", **config})
    )
    return folder


def listed(folder):
    """As versions between have it: all in tokenizer_config.json."""
    around = [{"content": token, "special": True} for token in ("<|startoftext|>", "<|endoftext|>")]
    entries = {SIZE - 2 + n: token for n, token in enumerate((*around, *TOKENS))}
    return older(folder, added_tokens_decoder=entries)


LAYOUTS = {"tokenizer.json": files, "added_tokens.json": older, "tokenizer_config.json": listed}


def rows(tokenizer, texts=TEXTS):
    """transformers' ids: cut, and padded as a CLIP is."""
    out = tokenizer(texts, padding="max_length", truncation=True, max_length=CONTEXT)
    return np.asarray(out.input_ids)


def ours(path, **settings):
    return CLIPTokenizer.from_file(path, context_length=CONTEXT, pad_token_id=SIZE - 1, **settings)


@pytest.mark.parametrize("cleaning", ["openai", "huggingface"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_ids_are_those_of_transformers(library, layout, cleaning, tmp_path):
    path = LAYOUTS[layout](tmp_path / "words")
    theirs = rows(library.CLIPTokenizer.from_pretrained(path))
    found = ours(path, cleaning=cleaning)
    assert found.vocabulary_size == SIZE + len(TOKENS)
    for text, wanted, row in zip(TEXTS, theirs, found(TEXTS), strict=True):
        assert row.tolist() == wanted.tolist(), text


@pytest.mark.parametrize("layout", LAYOUTS)
def test_saved_is_read_back_here_and_by_transformers(library, layout, tmp_path):
    found = ours(LAYOUTS[layout](tmp_path / "words"))
    clip = tiny_clip(tokenizer=found, text={"vocabulary_size": found.vocabulary_size})
    clip.save_to_preset(tmp_path / "preset")
    clip.save(tmp_path / "clip.keras")
    loaded = keras.saving.load_model(tmp_path / "clip.keras")
    for again in (from_preset(tmp_path / "preset").tokenizer, loaded.tokenizer):
        assert again.get_config() == found.get_config()
        np.testing.assert_array_equal(again(TEXTS), found(TEXTS))
    theirs = library.CLIPTokenizer.from_pretrained(tmp_path / "preset")
    np.testing.assert_array_equal(rows(theirs), found(TEXTS))


@pytest.mark.parametrize("form", ["huggingface", "open_clip"])
def test_an_exported_model_keeps_them(library, form, tmp_path):
    found = ours(files(tmp_path / "words"))
    text = {"vocabulary_size": found.vocabulary_size, "pooling": "end_token", "epsilon": 1e-5}
    square = {"image_size": 8, "use_patch_bias": False, "activation": "gelu"}
    text |= {"end_token_id": SIZE - 1, "pad_token_id": SIZE - 1, "activation": "gelu"}
    export_checkpoint(tiny_clip(tokenizer=found, text=text, **square), tmp_path / "out", form)
    again = from_preset(tmp_path / "out")
    np.testing.assert_array_equal(again.tokenizer(TEXTS), found(TEXTS))
    assert again.tokenizer.added_tokens == found.added_tokens
    if form == "huggingface":
        theirs = library.AutoTokenizer.from_pretrained(tmp_path / "out")
        np.testing.assert_array_equal(rows(theirs), found(TEXTS))
    else:
        open_clip = pytest.importorskip("open_clip")
        theirs = open_clip.get_tokenizer(f"local-dir:{tmp_path / 'out'}")
        np.testing.assert_array_equal(theirs(TEXTS).numpy(), found(TEXTS))


@pytest.mark.parametrize("end", [SIZE - 1, 2])
def test_the_end_of_text_is_where_transformers_finds_it(library, end, tmp_path):
    """With the id 2 of older configurations, the highest id counts: an added token, if any."""
    import torch

    path = files(tmp_path / "clip", TOKENS[:2])
    sizes = {"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1}
    sizes |= {"num_attention_heads": 2}
    text = {**sizes, "vocab_size": SIZE + 2, "max_position_embeddings": CONTEXT}
    text |= {"eos_token_id": end, "bos_token_id": SIZE - 2, "pad_token_id": SIZE - 1}
    vision = {**sizes, "image_size": 8, "patch_size": 4}
    config = library.CLIPConfig(text_config=text, vision_config=vision, projection_dim=6)
    model = library.CLIPModel(config).eval()
    model.save_pretrained(path)
    clip = from_preset(path)
    assert clip.config.text.pooling == ("highest_id" if end == 2 else "end_token")
    texts = ["a <cat-toy> on a table", "a <Cat Toy>", "a table"]
    ids = clip.tokenizer(texts)
    np.testing.assert_array_equal(ids, rows(library.AutoTokenizer.from_pretrained(path), texts))
    with torch.no_grad():
        out = model.text_model(torch.from_numpy(ids).long())
        wanted = model.text_projection(out.pooler_output).numpy()
    found = keras.ops.convert_to_numpy(clip.encode_text(ids))
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def test_padding_that_is_text_is_special_everywhere(library, tmp_path):
    """As in some Stable Diffusion's directories, whose padding is an exclamation mark."""
    path = older(tmp_path / "words", (), pad_token="!")
    theirs = library.CLIPTokenizer.from_pretrained(path)
    found = CLIPTokenizer.from_file(path, context_length=CONTEXT)
    assert found.pad_token_id == theirs.pad_token_id == 0
    np.testing.assert_array_equal(found(["a! b", "!!", "a"]), rows(theirs, ["a! b", "!!", "a"]))


def test_texts_of_strangers_hold_no_special_ones(library, tmp_path):
    path = files(tmp_path / "words")
    ids = ours(path, allow_special=False)(["in [style] of <cat-toy>"])[0].tolist()
    plain = ours(path)(["in [style] of <cat-toy>"])[0].tolist()
    special, toy = (
        SIZE + [t["content"] for t in TOKENS].index(n) for n in ("[style]", "<cat-toy>")
    )
    assert special in plain and special not in ids and toy in ids and toy in plain


def test_what_the_files_name_and_do_not_use_is_refused(library, tmp_path):
    path = files(tmp_path / "words")
    config = json.loads((path / "tokenizer_config.json").read_text())
    config["added_tokens_decoder"] = {
        str(SIZE - 1): {"content": "<|endoftext|>", "special": True},
    }
    (path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"lists the added tokens without .*<Cat Toy>"):
        ours(path)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ({"<cat-toy>": SIZE + 1}, f"has the id {SIZE + 1}, but .* it is {SIZE}"),
        ({"<cat-toy>": "many"}, "'many', not a whole number"),
        ({"": SIZE}, "content ''"),
    ],
)
def test_damaged_files_are_named(ids, message, tmp_path):
    path = older(tmp_path / "words", ())
    (path / "added_tokens.json").write_text(json.dumps(ids))
    with pytest.raises(ValueError, match=message):
        ours(path)


def test_more_tokens_than_the_model_knows_are_an_error(library, tmp_path):
    clip = tiny_clip(image_size=8, use_patch_bias=False)
    export_checkpoint(clip, tmp_path / "clip")
    files(tmp_path / "clip")
    with pytest.raises(
        CheckpointError, match="the vocabulary has 611 ids, but the model knows 603"
    ):
        from_preset(tmp_path / "clip")


@pytest.mark.parametrize("cleaning", ["canonicalize", "huggingface", "whitespace", "none"])
def test_other_tokenizers_find_them_or_refuse(library, cleaning, tmp_path):
    from tokenizers import AddedToken

    backend = tokenizer_makers.gemma()
    backend.add_tokens([AddedToken("<cat-toy>", normalized=False)])
    path = tokenizer_makers.write(tmp_path / "words", backend, eos_token="<eos>", pad_token="<pad>")
    if cleaning in ("canonicalize", "huggingface"):
        with pytest.raises(ValueError, match=r"'<cat-toy>' is not left whole by cleaning="):
            PipelineTokenizer.from_file(path, cleaning=cleaning)
        return
    found = PipelineTokenizer.from_file(path, cleaning=cleaning, context_length=12)
    theirs = library.PreTrainedTokenizerFast(tokenizer_file=str(path / "tokenizer.json"))
    for text in ("a <cat-toy> on", "the<cat-toy>dog"):
        assert found.encode(text) == theirs(text, add_special_tokens=False).input_ids
    found.save(tmp_path / "saved")
    assert load_tokenizer(tmp_path / "saved").encode("a <cat-toy>") == found.encode("a <cat-toy>")
    (path / "added_tokens.json").write_text(json.dumps({"<dog-toy>": found.vocabulary_size}))
    with pytest.raises(ValueError, match="the token '<dog-toy>', which a file beside it adds"):
        PipelineTokenizer.from_file(path, cleaning=cleaning)
