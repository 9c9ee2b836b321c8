"""Fine-tune the bundled CLIP on new shapes by every recipe: `python benchmarks/finetune.py`.

Prints what each learns and forgets: accuracy among eight new shapes, zero-shot accuracy among the
120 combinations of colour and shape and the ten digits that it knew, seconds, trained weights, and
the size of the file that keeps what is new. `--plot wise.png` draws WiSE-FT for full fine-tuning.
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
import outlines
from render import render
from scenes import COLOURS, PLACES, SEEN, SIZES, Scene, Thing, draw_background, pick

import keras_clip
from keras_clip import finetune, plot

NAME = "clip_resnet_tiny_shapes"
NEW = {
    "house": [(0, -1), (0.9, -0.2), (0.6, -0.2), (0.6, 0.9), (-0.6, 0.9), (-0.6, -0.2),
              (-0.9, -0.2)],
    "hourglass": [(-0.8, -1), (0.8, -1), (0.12, 0), (0.8, 1), (-0.8, 1), (-0.12, 0)],
    "bolt": [(0.3, -1.1), (-0.7, 0.15), (-0.05, 0.15), (-0.3, 1.1), (0.7, -0.2), (0.05, -0.2)],
    "stairs": [(-0.9, 0.9), (-0.9, 0.3), (-0.3, 0.3), (-0.3, -0.3), (0.3, -0.3), (0.3, -0.9),
               (0.9, -0.9), (0.9, 0.9)],
    "slab": [(-1.1, -0.35), (1.1, -0.35), (1.1, 0.35), (-1.1, 0.35)],
    "horseshoe": [(-0.9, -0.9), (-0.4, -0.9), (-0.4, 0.4), (0.4, 0.4), (0.4, -0.9), (0.9, -0.9),
                  (0.9, 0.9), (-0.9, 0.9)],
    "tee": [(-0.9, -0.9), (0.9, -0.9), (0.9, -0.35), (0.28, -0.35), (0.28, 1), (-0.28, 1),
            (-0.28, -0.35), (-0.9, -0.35)],
    "corner": [(-0.9, -0.9), (-0.3, -0.9), (-0.3, 0.4), (0.9, 0.4), (0.9, 0.9), (-0.9, 0.9)],
}  # fmt: skip
LABELS = [f"a {name}" for name in NEW]
TEMPLATES = ("{}", "a photo of {}", "a picture of {}", "a drawing of {}")
CONVOLUTIONS = "attention|mlp|conv"


def pictures(count, seed):
    """`count` pictures of each new shape, (n, 64, 64, 3) uint8, and their classes."""
    random, found = np.random.default_rng(seed), []
    for name, points in NEW.items():
        outlines.OUTLINES[name], outlines.TURN[name] = (np.array(points), None), 15
    classes = np.repeat(np.arange(len(NEW)), count)
    for k in classes:
        colour = pick(random, tuple(COLOURS))
        thing = Thing(colour, list(NEW)[k], pick(random, SIZES))
        place = pick(random, tuple(PLACES))
        scene = Scene("single", (thing,), *draw_background(random, [colour]), place)
        found.append(render(scene, random))
    return np.stack(found), classes


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
        """Accuracy of a CLIP or classifier on the task, the old shapes and the digits, in %."""
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
        print("| recipe | new shapes, % | 108 known, % | digits, % | seconds | trained | MB |")
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
