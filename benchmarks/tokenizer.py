"""Tokenizer speed on 10,000 captions against open_clip's copy of OpenAI's code and transformers.

python benchmarks/tokenizer.py [vocabulary] [--captions N]
"""

import argparse
import importlib.util
import json
import random
import tempfile
import time
from pathlib import Path

from keras_clip.preprocessing.tokenizer import CLIPTokenizer

WORDS = """
dog cat bird horse train bicycle umbrella kitchen street mountain river window table person man
woman child snowboard giraffe elephant zebra sandwich pizza keyboard laptop skateboard airport
lighthouse harbour bridge flower garden bench traffic-light parking-meter baseball
""".split()
LINKS = ["on", "with", "under", "in front of", "holding", "riding", "looking at", "next to", "and"]
STYLES = [
    "a photo of a",
    "A blurry picture of the",
    "two",
    "The",
    "an old black-and-white photo of",
]
TAILS = [".", "!", "", " in 1998.", ", it's sunny", " (close-up)", " #travel", " at night..."]
# One caption in ten as people type them: accents, typographic quotes, HTML entities, emoji.
RARE = ["café “Zoë”", "Tom &amp; Jerry’s", "naïve façade", "東京 tower", "🙂 smile", "crème brûlée"]


def make_captions(count, seed=0):
    """Captions of 8 to 25 words, nine in ten plain ASCII."""
    draw = random.Random(seed)
    captions = []
    for number in range(count):
        parts = [draw.choice(STYLES), draw.choice(WORDS)]
        for _ in range(draw.randint(2, 5)):
            parts += [draw.choice(LINKS), "a", draw.choice(WORDS)]
        if number % 10 == 0:
            parts.append(draw.choice(RARE))
        if number % 5 == 1:
            parts.append(f"img{draw.randint(0, 99999)}")  # no cache has seen this one
        captions.append(" ".join(parts) + draw.choice(TAILS))
    return captions


def load_open_clip(vocabulary):
    """open_clip's SimpleTokenizer without the rest of open_clip, which needs torchvision."""
    found = importlib.util.find_spec("open_clip")
    path = Path(found.submodule_search_locations[0]) / "tokenizer.py"
    spec = importlib.util.spec_from_file_location("open_clip_tokenizer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tokenizer = module.SimpleTokenizer(bpe_path=str(vocabulary))
    return lambda texts: tokenizer(texts, context_length=77).numpy()


def load_transformers(vocabulary):
    """The CLIPTokenizer of transformers with the same vocabulary."""
    from transformers import CLIPTokenizer as Peer

    ours = CLIPTokenizer.from_file(vocabulary)
    with tempfile.TemporaryDirectory() as folder:
        ours.save(folder)
        tokenizer = Peer.from_pretrained(folder)
    options = {"padding": "max_length", "truncation": True, "max_length": 77}
    return lambda texts: tokenizer(texts, return_tensors="np", **options)["input_ids"]


def measure(calls, captions, repeats=3):
    """Seconds of each tokenizer's first pass and of its best later one, in turn, and its rows."""
    first, later, rows = {}, {}, {}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            rows[name] = call(captions)
            seconds = time.perf_counter() - start
            if turn == 0:
                first[name] = seconds
            else:
                later[name] = min(seconds, later.get(name, seconds))
    return first, later, rows


def default_vocabulary():
    """The vocabulary that open_clip ships."""
    found = importlib.util.find_spec("open_clip")
    if found is None:
        raise SystemExit("Give a vocabulary file, or install open_clip_torch, which ships one.")
    return Path(found.submodule_search_locations[0]) / "bpe_simple_vocab_16e6.txt.gz"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vocabulary", nargs="?", type=Path, help="bpe_simple_vocab_16e6.txt.gz")
    parser.add_argument("--captions", type=int, default=10_000)
    parser.add_argument("--json", action="store_true", help="one JSON line instead of a table")
    arguments = parser.parse_args()
    vocabulary = arguments.vocabulary or default_vocabulary()
    calls = {"keras-clip": CLIPTokenizer.from_file(vocabulary)}
    end = calls["keras-clip"].end_token_id
    peers = {"open_clip (OpenAI's code)": load_open_clip, "transformers": load_transformers}
    for name, load in peers.items():
        try:
            calls[name] = load(vocabulary)
        except (ImportError, AttributeError, TypeError) as error:
            print(f"{name} is left out: {error}")
    for call in calls.values():
        call(["warm up, café"])
    captions = make_captions(arguments.captions)
    first, later, rows = measure(calls, captions)
    if arguments.json:
        print(json.dumps({"captions": len(captions), "first": first, "later": later}))
        return
    print(f"{len(captions):,} captions; the first pass, and the best of three more\n")
    print("| tokenizer | first, s | later, s | keras-clip faster: first | later | same ids |")
    print("|---|---|---|---|---|---|")
    ours = rows["keras-clip"]
    for name in calls:
        # transformers pads with the end token: compare what stands before the padding.
        inside = (ours == end).cumsum(axis=1) - (ours == end) == 0
        same = ((rows[name] == ours) | ~inside).all(axis=1).mean()
        ratios = [times[name] / times["keras-clip"] for times in (first, later)]
        print(
            f"| {name} | {first[name]:.3f} | {later[name]:.3f} | {ratios[0]:.1f}x | "
            f"{ratios[1]:.1f}x | {same:.1%} |"
        )


if __name__ == "__main__":
    main()
