"""Tiny tokenizers of every kind that a tokenizer.json holds, trained on the spot."""

import functools
import json

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer, UnigramTrainer, WordPieceTrainer

CORPUS = [
    "a photo of a cat.",
    "a photo of a dog!",
    "two dogs, one cat and the red car",
    "photos of cars in the rain",
    "the cat sat on the mat; the dog ran",
    "keras_clip: images & texts",
] * 4
UNIGRAM_SIZE, GEMMA_SIZE = 60, 380


def unigram(**parts):
    """A tokenizer as of SigLIP: T5's kind, `<pad>` 0, `</s>` 1, `<unk>` 2."""
    return _with(Tokenizer.from_str(_unigram()), parts)


@functools.cache  # its training gives other pieces every time
def _unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = UnigramTrainer(
        vocab_size=UNIGRAM_SIZE,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator([text.lower() for text in CORPUS], trainer)
    return tokenizer.to_str()


def gemma(**parts):
    """A tokenizer as of SigLIP 2: Gemma's kind, `<pad>` 0, `<eos>` 1, `<bos>` 2, `<unk>` 3."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(steps)
    trainer = BpeTrainer(
        vocab_size=GEMMA_SIZE - 256,
        special_tokens=["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "</s>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator([text.lower() for text in CORPUS], trainer)
    content = json.loads(tokenizer.to_str())
    vocabulary = content["model"]["vocab"]
    vocabulary.update({f"<0x{byte:02X}>": len(vocabulary) + byte for byte in range(256)})
    return _with(Tokenizer.from_str(json.dumps(content)), parts)


def roberta():
    """A tokenizer as of XLM-RoBERTa: `<s>` 0, `<pad>` 1, `</s>` 2, `<unk>` 3; letters keep case."""
    content = json.loads(_unigram())
    pieces = [["<s>", 0.0], ["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0]]
    content["model"]["vocab"] = pieces + content["model"]["vocab"][3:]
    content["model"]["unk_id"] = 3
    content["added_tokens"] = [
        {**content["added_tokens"][0], "id": i, "content": name}
        for i, (name, _) in enumerate(pieces)
    ]
    content["post_processor"] = json.loads(ends("</s>", 2, [("<s>", 0)]).__getstate__())
    return Tokenizer.from_str(json.dumps(content))


@functools.cache
def _bert():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = WordPieceTrainer(vocab_size=90, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = ends("[SEP]", 3, [("[CLS]", 2)])
    return tokenizer.to_str()


def bert():
    """A tokenizer as of BERT: `[PAD]` 0, `[UNK]` 1, `[CLS]` 2, `[SEP]` 3."""
    return Tokenizer.from_str(_bert())


def _with(tokenizer, parts):
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    return tokenizer


def ends(token, index, start=()):
    """A post-processor that appends the end token, and puts others in front."""
    names = [name for name, _ in start]
    specials = [(token, index), *start]
    return processors.TemplateProcessing(
        single=[*names, "$A", token], pair=["$A", token, "$B", token], special_tokens=specials
    )


def write(folder, tokenizer, **settings):
    """Write a tokenizer as a repository has it."""
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(tokenizer.to_str(), "utf-8")
    if settings:
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder
