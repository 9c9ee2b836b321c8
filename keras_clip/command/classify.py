"""`keras-clip classify`: which of some labels fits each picture best."""

import numpy as np

from keras_clip.command import terminal
from keras_clip.command.terminal import escape
from keras_clip.models.clip import CLIP
from keras_clip.models.zero_shot import label_probabilities
from keras_clip.presets import from_preset
from keras_clip.prompt_sets import asked_prompts


def classify(paths, labels, templates=(), prompts=None, preset=None, top=5):
    """Answer for pictures, from label names (a CLIP) or by a trained head (a ViT).

    Args:
        paths: list of paths of pictures.
        labels: list of str; empty: those of `prompts`; or a ViT has its own.
        templates: list of str with `{}`; empty: those of `prompts`, else "a photo of a {}."
        prompts: what `load_prompts` takes, or None.
        preset: whatever `from_preset` takes.
        top: how many answers a picture.

    Returns:
        List, one dictionary a picture: `image`, and `answers`, best first, each with `label` and
        `probability`.

    Raises:
        ValueError: labels for a ViT, or none for a CLIP; or what the model says of them.
    """
    asked = None
    if labels or prompts:  # before minutes of loading
        asked = asked_prompts(labels or None, templates or None, prompts)
    model = from_preset(preset)
    if isinstance(model, CLIP):
        if asked is None:
            raise ValueError(f"{preset} is a CLIP: give it the answers to choose from, --labels.")
        return ranked(paths, asked.names, label_shares(model, paths, asked), top)
    if asked or templates:
        raise ValueError(f"{preset} has a trained head and takes no labels or templates.")
    return ranked(paths, *head_shares(model, paths, preset), top)


def label_shares(clip, paths, prompts):
    """Probability of each label for each picture, (pictures, labels) float32."""
    return label_probabilities(clip, clip.embed_images(list(paths)), clip.class_embeddings(prompts))


def head_shares(vit, paths, name):
    """(class names, shares (pictures, classes)) of a ViT's own head."""
    from keras_clip.models.batching import batches, run_batch, track

    config = vit.config
    if not getattr(config, "num_classes", 0):
        raise ValueError(f"{name} has no head and so no answers: take a preset with classes.")
    labels = config.labels or [f"class {number}" for number in range(config.num_classes)]
    size = min(32, len(paths))
    parts = track(batches(list(paths), size), "Classifying")
    outputs = [run_batch(vit, vit.image_processor(part), size) for part in parts]
    return labels, np.concatenate(outputs)


def ranked(paths, labels, shares, top):
    """The best `top` answers of each picture, as `classify` returns them."""
    results = []
    for path, row in zip(paths, shares, strict=True):
        best = np.argsort(-row, kind="stable")[:top]
        answers = [{"label": labels[k], "probability": float(row[k])} for k in best]
        results.append({"image": str(path), "answers": answers})
    return results


def show_answers(results):
    """Print each picture with its answers and their bars."""
    table = terminal.table("picture", "answer", ">probability", "")
    for result in results:
        for number, answer in enumerate(result["answers"]):
            last = number + 1 == len(result["answers"])
            table.add_row(
                "" if number else escape(result["image"]),
                escape(answer["label"]) if number else f"[bold]{escape(answer['label'])}[/bold]",
                terminal.percent(answer["probability"]),
                f"[green]{terminal.bar(answer['probability'])}[/green]",
                end_section=last,
            )
    terminal.console().print(table)
