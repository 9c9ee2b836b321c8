"""`keras-clip demo`: zero-shot answers on pictures that the bundled model has never seen."""

import json
from pathlib import Path

import numpy as np

from keras_clip.catalogue import BUNDLED, BUNDLED_PRESET, preset_info, zoo_directory
from keras_clip.command import terminal
from keras_clip.command.classify import label_shares, ranked
from keras_clip.models.prompts import Prompts
from keras_clip.presets import from_preset

TOP = 3


def demo(preset=BUNDLED_PRESET):
    """Ask a CLIP what is in the demo's pictures, then which text belongs to which scene.

    Args:
        preset: whatever `from_preset` takes.

    Returns:
        Dictionary: `preset`, `params`, `backend`, `labels` (their number); `answers` by picture
        with `truth`; and `scenes`, each with its `caption`, the text that fits the picture best,
        `best_caption`, and the picture that fits the text best, `best_image`; and `cosines`.
    """
    import keras

    folder = zoo_directory() / "demo"
    described = json.loads((folder / "demo.json").read_text("utf-8"))
    clip = from_preset(preset)
    paths = [str(folder / entry["file"]) for entry in described["pictures"]]
    prompts = Prompts.from_labels(described["labels"], described["templates"], distinct=False)
    shares = label_shares(clip, paths, prompts)
    answers = ranked(paths, described["labels"], shares, TOP)
    for answer, entry in zip(answers, described["pictures"], strict=True):
        answer["truth"] = entry["truth"]
    scenes = [str(folder / entry["file"]) for entry in described["scenes"]]
    captions = [entry["caption"] for entry in described["scenes"]]
    return {
        "preset": str(preset),
        "params": clip.count_params(),
        "backend": keras.backend.backend(),
        "labels": len(described["labels"]),
        "answers": answers,
        **retrieve(clip, scenes, captions),
    }


def retrieve(clip, paths, captions):
    """Match n pictures and their n captions, both ways."""
    cosines = clip.embed_images(paths) @ clip.embed_texts(captions).T
    by_image, by_text = np.argmax(cosines, axis=1), np.argmax(cosines, axis=0)
    scenes = [
        {
            "image": path,
            "caption": captions[k],
            "best_caption": captions[by_image[k]],
            "best_image": paths[by_text[k]],
        }
        for k, path in enumerate(paths)
    ]
    return {"scenes": scenes, "cosines": cosines.tolist()}


def right_answers(result):
    """(right first answers, pictures) of a demo."""
    found = [answer["answers"][0]["label"] == answer["truth"] for answer in result["answers"]]
    return sum(found), len(found)


def show_demo(result):
    """Print the demo's answers as tables, with the pictures where the terminal has colours."""
    console = terminal.console()
    console.print(
        f"\n[bold]{result['preset']}[/bold], {result['params'] / 1e6:.1f} M weights, on "
        f"{result['backend']}. None of these pictures was in its training:\nreal handwriting, "
        "and shapes in colours that it has never seen them in.\n"
    )
    console.print(_answers(console, result))
    right, count = right_answers(result)
    style = "bold green" if right == count else "bold yellow"
    console.print(
        f"  [{style}]{right} of {count} right[/{style}], each among {result['labels']} labels.\n"
    )
    console.print(_scenes(console, result))
    paired = [sum(both) for both in zip(*map(_right, result["scenes"]), strict=True)]
    count = len(result["scenes"])
    console.print(
        f"  picture to text: [bold]{paired[0]} of {count}[/bold], "
        f"text to picture: [bold]{paired[1]} of {count}[/bold]\n"
    )
    if _known_offline(result["preset"]):
        console.print(
            "  The same on your own photos, with a network:\n"
            '  [cyan]keras-clip classify cat.jpg --labels "cat,dog,bird"[/cyan]\n'
        )


def _right(scene):
    """Whether the picture has found its text, and the text its picture."""
    return scene["best_caption"] == scene["caption"], scene["best_image"] == scene["image"]


def _answers(console, result):
    columns = ["picture", "best answers", ">probability", "", ""]
    table = terminal.table(*columns, title="What is in the picture?")
    for answer in result["answers"]:
        best = answer["answers"]
        right = best[0]["label"] == answer["truth"]
        others = [f"[dim]{one['label']}[/dim]" for one in best[1:]]
        table.add_row(
            _picture(console, answer["image"], 6),
            "\n".join([f"[bold]{best[0]['label']}[/bold]", *others]),
            "\n".join(terminal.percent(one["probability"]) for one in best),
            "[green]" + "\n".join(terminal.bar(one["probability"]) for one in best) + "[/green]",
            "[green]right[/green]" if right else f"[red]it is\n{answer['truth']}[/red]",
            end_section=True,
        )
    return table


def _scenes(console, result):
    columns = ["picture", "its caption among all", "", "best picture for this caption", ""]
    table = terminal.table(*columns, title="Which text belongs to which picture?")
    for scene in result["scenes"]:
        ticks = ["[green]right[/green]" if ok else "[red]wrong[/red]" for ok in _right(scene)]
        best = _picture(console, scene["best_image"], 6)
        table.add_row(
            _picture(console, scene["image"], 6), scene["best_caption"], ticks[0], best, ticks[1],
            end_section=True,
        )  # fmt: skip
    return table


def _picture(console, path, columns):
    """A small picture where colours can show it, else its name."""
    if console.color_system in ("truecolor", "256"):
        return terminal.thumbnail(path, columns)
    return Path(path).stem.replace("_", " ")


def _known_offline(preset):
    try:
        return preset_info(preset)["source"].startswith(BUNDLED)
    except ValueError:
        return False
