"""Draw what the model trains on, as tar shards: `python zoo/recipes/shapes/pairs.py`."""

import argparse
import io
import tarfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from dataset import draw_batch
from evaluate import combination_pictures, combination_prompts, digit_pictures, digit_prompts
from grammar import reserved
from PIL import Image
from scenes import HELD_OUT

from keras_clip.preprocessing.atomic_file import whole_file

FOLDER = Path(__file__).parents[3] / "build" / "shapes"
SEED = 17
STEPS, BATCH_SIZE = 2200, 128
SHARD = 20  # batches in one; 19 MB
VALIDATION_SEED = 2000  # not that of evaluate.py, whose figures stay for the end


def png(pixels):
    """A picture (H, W, 3) uint8 as the bytes of a PNG, which loses nothing."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def write_shard(path, pictures, extension, texts):
    """Write samples `KEY.png` and `KEY.extension`; the same bytes every time."""
    with whole_file(path) as part, tarfile.open(part, "w") as tar:
        for number, (pixels, text) in enumerate(zip(pictures, texts, strict=True)):
            for suffix, data in (("png", png(pixels)), (extension, str(text).encode())):
                member = tarfile.TarInfo(f"{path.stem}_{number:04d}.{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def write_batches(batch_size, path, numbers):
    """Write one shard of training batches, each without false negatives, in their order."""
    pictures, captions = [], []
    for number in numbers:
        drawn, described = draw_batch(batch_size, (SEED, number))
        pictures += list(drawn)
        captions += described
    write_shard(path, pictures, "txt", captions)


def write_training(folder, steps=STEPS, batch_size=BATCH_SIZE, workers=2):
    """Write `steps` batches into shards, read in the order of their names."""
    folder.mkdir(parents=True, exist_ok=True)
    groups = [range(i, min(i + SHARD, steps)) for i in range(0, steps, SHARD)]
    # Not by a fork, which would take along the threads of a backend.
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        paths = [folder / f"pairs_{number:03d}.tar" for number in range(len(groups))]
        done = pool.map(partial(write_batches, batch_size), paths, groups)
        for number, _ in enumerate(done, 1):
            print(f"\r{number} of {len(groups)} shards", end="", flush=True)
    print()


def write_labelled(folder, pictures, labels, prompts):
    """Write labelled pictures as CLIP_benchmark lays them out, names and templates beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    names, templates = prompts
    (folder / "classnames.txt").write_text("\n".join(names) + "\n")
    lines = [template.replace("{}", "{c}") for template in templates]
    (folder / "zeroshot_classification_templates.txt").write_text("\n".join(lines) + "\n")
    write_shard(folder / "test.tar", pictures, "cls", labels)


def write_validation(folder):
    """Write what the run is measured on while it trains: three small sets that it never sees."""
    unseen = combination_pictures(HELD_OUT, 240, VALIDATION_SEED)
    write_labelled(folder / "combinations", *unseen, combination_prompts())
    write_labelled(folder / "digits", *digit_pictures(seed=VALIDATION_SEED), digit_prompts())
    (folder / "captions").mkdir(parents=True, exist_ok=True)
    pictures, captions = draw_batch(500, VALIDATION_SEED, "test", keep=reserved)
    write_shard(folder / "captions" / "test.tar", pictures, "txt", captions)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--steps", type=int, default=STEPS, help="batches to draw")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    write_validation(options.folder / "validation")
    write_training(options.folder / "pairs", options.steps, workers=options.workers)


if __name__ == "__main__":
    main()
