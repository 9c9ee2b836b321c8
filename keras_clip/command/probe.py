"""`keras-clip probe`: how well a model's features tell classes apart."""

from pathlib import Path

from keras_clip import evaluate
from keras_clip.command import terminal
from keras_clip.command.terminal import escape
from keras_clip.data import open_pictures
from keras_clip.preprocessing.atomic_file import whole_file
from keras_clip.presets import from_preset


def probe(train, test, preset, neighbors=None, shots=None, save=None, columns=None):
    """Measure features by a linear probe, by their neighbours, or from few examples a class.

    Args:
        train: source of labelled pictures, as `open_pictures` takes it.
        test: source of pictures of the same classes.
        preset: whatever `from_preset` takes.
        neighbors: int, for k-NN with as many; or None.
        shots: list of int, examples a class; or None.
        save: path of the .keras classifier to write, of a linear probe; or None.
        columns: as of `open_pictures`.

    Returns:
        Dictionary: `method`, `images` (training, test), `classes`, `failures`, and the results.

    Raises:
        ValueError: pictures without labels, or a class of the test that is not in training.
    """
    train, test = open_pictures(train, columns), open_pictures(test, columns)
    names = train.class_names
    if train.labels is not None and test.labels is not None:
        test = test.with_classes(names, "classes of the training", by_value=True)
    model = from_preset(preset)
    fitted = evaluate.features(model, train)
    tested = evaluate.features(model, test)
    arrays = (*fitted[:2], *tested[:2])
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
