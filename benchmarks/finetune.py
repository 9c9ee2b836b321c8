"""Fine-tune the bundled CLIP on sketches by every recipe: `python benchmarks/finetune.py`.

It has seen filled shapes alone. Prints what each recipe learns and forgets: accuracy among sketches
of its ten shapes, zero-shot accuracy among the 120 combinations of colours and filled shapes and
among ten digits, seconds, trained weights, and the size of the file that keeps what is new.
`--plot wise.png` draws WiSE-FT of full fine-tuning.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "zoo" / "recipes" / "shapes"))

import evaluate as known
import keras
from outlines import outline
from PIL import Image, ImageDraw
from scenes import SEEN, SHAPES

import keras_clip
from keras_clip import finetune, plot

NAME = "clip_resnet_tiny_shapes"
LABELS = [f"{'an' if shape == 'arrow' else 'a'} {shape}" for shape in SHAPES]
TEMPLATES = ("{}", "a photo of {}", "a picture of {}", "a drawing of {}")
CONVOLUTIONS = "attention|mlp|conv"


def pictures(count, seed):
    """`count` sketches of each shape, (n, 64, 64, 3) uint8, and their classes.

    A sketch is the outline of a shape in thin strokes that miss each other, and parts of which are
    left out, on ruled or squared paper.
    """
    random, classes = np.random.default_rng(seed), np.repeat(np.arange(len(SHAPES)), count)
    return np.stack([sketch(SHAPES[k], random) for k in classes]), classes


def sketch(shape, random, side=192):
    """One sketch, drawn three times as large."""
    paper = random.integers(200, 256, 3)
    page = Image.new("RGB", (side, side), tuple(paper.tolist()))
    pen, step = ImageDraw.Draw(page), int(random.integers(14, 30))
    squared = random.random() < 0.5
    lines = tuple((paper - random.integers(30, 70)).tolist())
    for k in range(int(random.integers(step)), side, step):
        pen.line([(0, k), (side, k)], fill=lines, width=2)
        if squared:
            pen.line([(k, 0), (k, side)], fill=lines, width=2)
    ink = tuple(random.integers(0, 140, 3).tolist())
    radius = random.uniform(0.2, 0.36) * side
    centre = random.uniform(radius, side - radius, 2)
    for points in outline(shape, radius, random):
        if points is not None:
            strokes(pen, points + centre, ink, random)
    return np.asarray(page.resize((64, 64), Image.Resampling.BOX))


def strokes(pen, points, ink, random):
    """The sides of a polygon as strokes of their own."""
    for first, last in zip(points, np.roll(points, -1, axis=0), strict=True):
        if random.random() < 0.12:
            continue
        ends = np.stack([first, last]) + random.normal(0, 2, (2, 2))
        pen.line([tuple(end) for end in ends], fill=ink, width=int(random.integers(3, 6)))


class Bench:
    """One base model and one task; each recipe gets a copy of the first."""

    def __init__(self, train, test, epochs, folder):
        self.clip, self.epochs, self.folder = keras_clip.from_preset(NAME), epochs, folder
        process = self.clip.image_processor
        (images, self.classes), (tests, self.truths) = train, test
        self.pixels, self.tests = process(images), process(tests)
        self.scratch = finetune.copied(self.clip)

    def start(self):
        """A classifier of the base on weights of its own."""
        return finetune.copied(self.clip).zero_shot_classifier(LABELS, TEMPLATES)

    def tuned(self, model):
        """The model after the run that all classifiers get."""
        finetune.tune(model, (self.pixels, self.classes), epochs=self.epochs, verbose=0)
        return model

    def contrasted(self, clip):
        """The CLIP after the run that all CLIPs get."""
        data = (self.pixels, self.classes)
        finetune.flyp(clip, data, LABELS, TEMPLATES, epochs=self.epochs, verbose=0)
        return clip

    def measured(self, model):
        """Accuracy of a CLIP or classifier on sketches, filled shapes and digits, in %."""
        clip = model if isinstance(model, keras_clip.CLIP) else None
        classifier = clip.zero_shot_classifier(LABELS, TEMPLATES) if clip else model
        answers = classifier.predict(self.tests, verbose=0).argmax(axis=1)
        clip = clip or finetune.adopt_tower(self.scratch, model)
        right = 100 * float(np.mean(answers == self.truths))
        return right, known.combinations(clip, SEEN, 324), known.handwriting(clip, 18)

    def kept(self, model):
        """Bytes of a file of the adapters, if there are any, else of the model's weights."""
        if any(weight.name.startswith("lora_") for weight in model.weights):
            return finetune.save_adapters(model, self.folder / "adapters.safetensors")
        bare = finetune.copied(model)  # without the optimizer
        bare.save(self.folder / "model.keras")
        return (self.folder / "model.keras").stat().st_size

    def row(self, name, make):
        """Run a recipe and print its line; the model."""
        keras.utils.set_random_seed(0)
        begun = time.perf_counter()
        model = make()
        seconds = time.perf_counter() - begun
        trained = sum(int(np.prod(weight.shape)) for weight in model.trainable_variables)
        task, shapes, digits = self.measured(model)
        size = self.kept(model) / 1e6
        print(
            f"| {name} | {task:.1f} | {shapes:.1f} | {digits:.1f} | {seconds:.0f} | {trained:,} "
            f"| {size:.2f} |",
            flush=True,
        )
        return model

    def recipes(self):
        """{name: function that makes a model}, in the order of the table."""
        new, data = lambda: finetune.copied(self.clip), (self.pixels, self.classes)
        return {
            "linear probe": lambda: finetune.linear_probe(new(), data),
            "LP-FT": lambda: finetune.lp_ft(new(), data, epochs=self.epochs, verbose=0),
            "full": lambda: self.tuned(finetune.full(self.start())),
            "partial, 2 blocks": lambda: self.tuned(finetune.partial(self.start(), 2)),
            "LoRA": lambda: self.tuned(finetune.lora(self.start())),
            "LoRA, convolutions too": lambda: self.tuned(
                finetune.lora(self.start(), targets=CONVOLUTIONS)
            ),
            "FLYP": lambda: self.contrasted(new()),
            "FLYP with LoRA": lambda: self.contrasted(finetune.lora(new(), targets=CONVOLUTIONS)),
            "LiT": lambda: self.contrasted(finetune.lit(new())),
        }


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=40, help="pictures a class")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--only", nargs="*", help="names of recipes")
    parser.add_argument("--plot", type=Path, help="draw WiSE-FT of full fine-tuning")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(pictures(options.train, 0), pictures(40, 1), options.epochs, Path(folder))
        print("| recipe | sketches, % | filled shapes, % | digits, % | seconds | trained | MB |")
        print("|---|" + "--:|" * 6)
        bench.row("zero-shot", bench.start)
        made = {}
        for name, make in bench.recipes().items():
            if not options.only or name in options.only:
                made[name] = bench.row(name, make)
        for name, first in (("full", bench.start()), ("FLYP", bench.clip)):
            if name in made:
                half = finetune.interpolate(first, made[name], 0.5)
                bench.row(f"WiSE-FT 0.5 of {name}", lambda half=half: half)
        if options.plot and "full" in made:
            measures = {
                "task": lambda model: bench.measured(model)[0] / 100,
                "elsewhere": lambda model: bench.measured(model)[1] / 100,
            }
            found = finetune.sweep(bench.start(), made["full"], measures)
            plot.save(plot.wise_ft(found), options.plot)


if __name__ == "__main__":
    main()
