"""Training pairs a second, decoded, augmented and tokenized, beside open_clip's own loader.

`python benchmarks/pairs.py` makes 640x480 JPEGs with captions, in a CSV file and in tar shards, and
goes through them in turn: `keras_clip.train.Pairs` with a thread a core, and what `open_clip_train`
builds with a worker a core. Each library lives in a process of its own; rounds alternate.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from functools import partial
from types import SimpleNamespace

from bulk import make_photos
from captions import captions

BATCH, SHARDS = 64, 8
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
SOURCES = {"csv": "pairs.csv", "tar shards": f"{{0..{SHARDS - 1}}}.tar"}
LIBRARIES = ("keras_clip", "open_clip")


def make_pairs(folder, count):
    """Write photos and captions as a CSV file and as tar shards; return the mean kB of a photo."""
    photos = folder / "photos"
    photos.mkdir()
    size = make_photos(photos, count)
    paths, texts = sorted(photos.iterdir()), captions(count)
    lines = [f"{path},{text}\n" for path, text in zip(paths, texts, strict=True)]
    (folder / SOURCES["csv"]).write_text("".join(["filepath,title\n", *lines]))
    for shard in range(SHARDS):
        with tarfile.open(folder / f"{shard}.tar", "w") as tar:
            for number in range(shard, count, SHARDS):
                tar.add(paths[number], paths[number].name)
                text = folder / f"{paths[number].stem}.txt"
                text.write_text(texts[number])
                tar.add(text, text.name)
    return size


def keras_clip(folder):
    """{source: function that goes through an epoch and returns its pairs}."""
    from peers import vocabulary

    from keras_clip import CLIPTokenizer, ImageProcessor
    from keras_clip.preprocessing import Augmentation
    from keras_clip.train import Pairs

    model = SimpleNamespace(
        image_processor=ImageProcessor(), tokenizer=CLIPTokenizer.from_file(vocabulary())
    )

    def epoch(pairs):
        return sum(len(batch["images"]) for batch in pairs.batches(0, len(pairs)))

    jobs = {}
    for name, file in SOURCES.items():
        pairs = Pairs(str(folder / file), model, BATCH, Augmentation())
        jobs[name] = lambda pairs=pairs: epoch(pairs)
    return jobs


def open_clip(folder):
    """The same of open_clip's training script."""
    from peers import _torch

    _torch()
    import open_clip as library
    from open_clip_train import data

    # It was written before webdataset marked the end of a shard in its stream.
    data.tar_file_expander = partial(data.tar_file_expander, eof_value=None)
    transform = library.image_transform(224, is_train=True)
    tokenizer = library.get_tokenizer("ViT-B-32-quickgelu")
    count = len(list((folder / "photos").iterdir()))
    makers = {"csv": data.get_csv_dataset, "tar shards": data.get_wds_dataset}
    jobs = {}
    for name, file in SOURCES.items():
        options = SimpleNamespace(
            train_data=str(folder / file), train_num_samples=count, batch_size=BATCH, seed=0,
            workers=CORES, world_size=1, distributed=False, train_data_upsampling_factors=None,
            csv_img_key="filepath", csv_caption_key="title", csv_separator=",",
        )  # fmt: skip
        loader = makers[name](options, transform, is_train=True, tokenizer=tokenizer).dataloader
        jobs[name] = lambda loader=loader: sum(len(images) for images, _ in loader)
    return jobs


def serve(library, folder):
    """Answer each line of stdin, a source, with the pairs and the seconds of an epoch."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print must not mix with the answers
    jobs = globals()[library](pathlib.Path(folder))
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        begun = time.perf_counter()
        count = jobs[line.strip()]()
        print(count, time.perf_counter() - begun, file=answers, flush=True)


class Library:
    """A process that goes through an epoch when told to."""

    def __init__(self, name, folder):
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__, "--serve", name, str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        if not self.process.stdout.readline():
            raise RuntimeError(f"{name} cannot run; try --serve {name} FOLDER by hand.")

    def rate(self, source):
        """Pairs a second of one epoch."""
        print(source, file=self.process.stdin, flush=True)
        count, seconds = self.process.stdout.readline().split()
        return int(count) / float(seconds)


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(*options.serve)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        size = make_pairs(folder, options.photos)
        print(f"{options.photos} photos of {size:.0f} kB, batches of {BATCH}, {CORES} cores\n")
        libraries = {name: Library(name, folder) for name in LIBRARIES}
        rates = {(name, source): [] for source in SOURCES for name in libraries}
        for turn in range(options.rounds + 1):
            for (name, source), found in rates.items():
                rate = libraries[name].rate(source)
                if turn:  # the first fills the caches
                    found.append(rate)
        print("| source | library | pairs/s | of open_clip's |\n|---|---|--:|--:|")
        for (name, source), found in rates.items():
            peer = rates["open_clip", source]
            ratio = statistics.median(a / b for a, b in zip(found, peer, strict=True))
            print(f"| {source} | {name} | {statistics.median(found):.0f} | {ratio:.2f} |")
    for library in libraries.values():
        library.process.stdin.close()
        library.process.wait()


if __name__ == "__main__":
    main()
