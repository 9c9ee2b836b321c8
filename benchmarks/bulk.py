"""Embedding a folder of 640x480 JPEGs beside the model alone, decoding alone, and open_clip.

`python benchmarks/bulk.py` (backend from KERAS_BACKEND). open_clip works as clip-retrieval drives
it: its own transform in a torch DataLoader with a worker a core. It lives in a process of its own;
rounds go through all jobs in turn, so that a change in the machine's speed meets all alike.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

BATCH, SIZE = 32, 224
WIDTH, HEIGHT, OCTAVES, QUALITY = 640, 480, 9, 90


def make_photos(folder, count):
    """Write JPEGs whose detail falls with its frequency as a photo's does; return their mean kB."""
    from PIL import Image

    random = np.random.default_rng(0)
    for number in range(count):
        pixels = np.zeros((HEIGHT, WIDTH, 3), "float32")
        for octave in range(OCTAVES):
            sides = (-(-side >> (OCTAVES - 1 - octave)) for side in (HEIGHT, WIDTH))
            noise = random.normal(size=(3, *sides)).astype("float32")
            for channel in range(3):
                image = Image.fromarray(noise[channel])
                image = image.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
                pixels[..., channel] += 38 * 0.8**octave * np.asarray(image)
        image = Image.fromarray((128 + pixels).clip(0, 255).astype("uint8"))
        image.save(folder / f"{number:05}.jpg", quality=QUALITY)
    return sum(path.stat().st_size for path in folder.iterdir()) / count / 1e3


def own_jobs(folder):
    """{job: function} of this package; each goes through all pictures."""
    from peers import vocabulary

    from keras_clip import bulk
    from keras_clip.data import decoded, open_pictures
    from keras_clip.models.batching import run_batch, unit_rows
    from keras_clip.models.clip import CLIP
    from keras_clip.models.config import CLIPConfig, TextConfig, ViTConfig
    from keras_clip.preprocessing.tokenizer import CLIPTokenizer

    vision = ViTConfig(
        768, 12, 12, 3072, 32, activation="quick_gelu", epsilon=1e-5, use_patch_bias=False,
        use_norm_pre=True, projection_dim=512,
    )  # fmt: skip
    clip = CLIP(CLIPConfig(vision, TextConfig()), CLIPTokenizer.from_file(vocabulary()))
    tower, processor, pictures = (
        clip.get_layer("vision"), clip.image_processor, open_pictures(folder),
    )  # fmt: skip
    rows = np.random.default_rng(0).normal(size=(BATCH, SIZE, SIZE, 3)).astype("float32")
    settings = bulk.Settings("ViT-B/32", "0" * 16, 512, "any", "photos", batch_size=BATCH)

    def embed_pixels(pixels):
        return unit_rows(run_batch(tower, pixels, BATCH))

    def job():
        with tempfile.TemporaryDirectory() as output:
            bulk.embed(embed_pixels, processor, pictures, output, settings)

    return {
        "model": lambda: [embed_pixels(rows) for _ in range(len(pictures) // BATCH)],
        "decoding": lambda: sum(len(batch.rows) for batch in decoded(pictures, processor, BATCH)),
        "job": job,
    }


def open_clip_job(folder):
    """The same of open_clip: a function that goes through all pictures."""
    from peers import _torch

    torch = _torch()
    import open_clip
    from PIL import Image

    model, _, transform = open_clip.create_model_and_transforms("ViT-B-32-quickgelu")
    model.eval()
    paths = sorted(pathlib.Path(folder).iterdir())

    class Photos(torch.utils.data.Dataset):
        def __len__(self):
            return len(paths)

        def __getitem__(self, row):
            return transform(Image.open(paths[row]))

    def job():
        loader = torch.utils.data.DataLoader(Photos(), BATCH, num_workers=os.cpu_count())
        with torch.no_grad():
            found = [model.encode_image(batch, normalize=True).numpy() for batch in loader]
        return np.concatenate(found)

    return job


def seconds(job):
    """Seconds of one call."""
    begun = time.perf_counter()
    job()
    return time.perf_counter() - begun


class OpenClip:
    """A process that goes through the pictures when told to."""

    def __init__(self, folder):
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--peer", str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.works = self.process.stdout.readline() == "ready\n"

    def seconds(self):
        """Seconds of one call."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def serve(folder):
    """Be that process."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print must not mix with the answers
    job = open_clip_job(folder)
    print("ready", file=answers, flush=True)
    for _ in sys.stdin:
        print(seconds(job), file=answers, flush=True)


def measure(folder, rounds):
    """{job: seconds of each round}, after one round of warming up."""
    jobs, peer = own_jobs(folder), OpenClip(folder)
    calls = {name: lambda job=job: seconds(job) for name, job in jobs.items()}
    if peer.works:
        calls["open_clip"] = peer.seconds
    else:
        print("open_clip: not available", file=sys.stderr)
    times = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            taken = call()
            if number:
                times[name].append(taken)
            time.sleep(0.3)  # until idle threads stop spinning
    peer.close()
    return times


def ratio(times, name, other):
    """The median over the rounds of the rate of one job by that of another."""
    return statistics.median(b / a for a, b in zip(times[name], times[other], strict=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        return serve(options.peer)
    import keras

    count = -(-options.pictures // BATCH) * BATCH
    with tempfile.TemporaryDirectory() as folder:
        size = make_photos(pathlib.Path(folder), count)
        times = measure(folder, options.rounds)
    print(f"ViT-B/32, {keras.backend.backend()}, float32, {os.cpu_count()} cores, {count} JPEGs")
    print(f"of {WIDTH} x {HEIGHT} and {size:.0f} kB; medians of {options.rounds} rounds\n")
    print("| | pictures/s | of the model alone |\n| --- | --: | --: |")
    names = {
        "model": "the model alone", "decoding": "decoding alone", "job": "**the whole job**",
        "open_clip": "open_clip, its transform, a DataLoader",
    }  # fmt: skip
    for name, taken in times.items():
        rate = count / statistics.median(taken)
        print(f"| {names[name]} | {rate:.1f} | {100 * ratio(times, name, 'model'):.0f} % |")
    if "open_clip" in times:
        print(f"\nThe job is {ratio(times, 'job', 'open_clip'):.2f} times as fast as open_clip's.")


if __name__ == "__main__":
    main()
