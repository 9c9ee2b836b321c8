"""`keras-clip probe`: how well a model's features tell classes apart."""

from pathlib import Path

import numpy as np

from keras_clip import evaluate
from keras_clip.command import terminal
from keras_clip.command.terminal import escape
from keras_clip.data import open_pictures
from keras_clip.preprocessing.atomic_file import whole_file
from keras_clip.presets import from_preset


def probe(train, test, preset, neighbors=None, shots=None, save=None):
    """Measure features by a linear probe, by their neighbours, or from few examples a class.

    Args:
        train: source of labelled pictures, as `open_pictures` takes it.
        test: source of pictures of the same classes.
        preset: whatever `from_preset` takes.
        neighbors: int, for k-NN with as many; or None.
        shots: list of int, examples a class; or None.
        save: path of the .keras classifier to write, of a linear probe; or None.

    Returns:
        Dictionary: `method`, `images` (training, test), `classes`, `failures`, and the results.

    Raises:
        ValueError: pictures without labels, or a class of the test that is not in training.
    """
    train, test = open_pictures(train), open_pictures(test)
    names = train.class_names
    test_labels = _same_classes(train, test)
    model = from_preset(preset)
    fitted = evaluate.features(model, train)
    tested = evaluate.features(model, test)
    truth = tested.labels if test_labels is None else test_labels[tested.labels]
    arrays = (fitted.features, fitted.labels, tested.features, truth)
    result = {
        "images": [len(fitted.labels), len(tested.labels)],
        "classes": int(fitted.labels.max()) + 1,
        "failures": [list(failure) for failure in fitted.failures + tested.failures],
    }
    if neighbors:
        found = evaluate.knn(*arrays, k=neighbors)
        scores = {"accuracy": found.accuracy, "mean_per_class": found.mean_per_class}
        return {"method": f"{neighbors} nearest neighbours", **result, **scores}
    if shots:
        return {"method": "few-shot", **result, **evaluate.few_shot(*arrays, shots).to_dict()}
    found = evaluate.linear_probe(*arrays)
    if save:
        _save(found.classifier(model, names), Path(save))
    return {"method": "linear probe", **result, **found.to_dict(), "saved": save}


def _same_classes(train, test):
    """Number in training of each class of the test, (K,); None: they have no names."""
    if not train.class_names or not test.class_names:
        return None
    missing = sorted(set(test.class_names) - set(train.class_names))
    if missing:
        raise ValueError(f"Classes of the test are not in training: {', '.join(missing[:5])}.")
    return np.array([train.class_names.index(name) for name in test.class_names])


def _save(classifier, path):
    """Write a .keras file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        classifier.save(part)


def show_probe(result):
    """Print what was measured."""
    console = terminal.console()
    train, test = result["images"]
    about = f"{result['classes']} classes, {train} training and {test} test pictures"
    console.print(f"[bold]{result['method']}[/bold]: {about}")
    if "shots" in result:
        table = terminal.table("examples a class", ">accuracy", ">deviation", "")
        rows = zip(result["shots"], result["mean"], result["deviation"], strict=True)
        for shots, mean, deviation in rows:
            shares = (terminal.percent(mean), terminal.percent(deviation), terminal.bar(mean))
            table.add_row(str(shots), *shares)
    else:
        table = terminal.table("measure", ">value")
        table.add_row("accuracy", terminal.percent(result["accuracy"]))
        table.add_row("mean per class", terminal.percent(result["mean_per_class"]))
        if "C" in result:
            table.add_row("C", f"{result['C']:.3g}")
    console.print(table)
    for key, reason in result["failures"]:
        console.print(f"[red]not read[/red] {escape(key)}: {escape(reason)}")
    if result.get("saved"):
        console.print(f"[bold]{escape(result['saved'])}[/bold]: a Keras classifier")
