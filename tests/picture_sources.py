"""The same pictures, labels and captions in every kind of source, and each read by its own peer."""

import csv
import io
import json
import tarfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

CLASSES = ["owl", "ant", "bee"]  # in no order of their own


class Item(NamedTuple):
    """A picture as it is kept."""

    name: str
    data: bytes
    label: str
    caption: str


def png(seed):
    """The bytes of a picture, another one for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 10 + seed % 3, 3), "uint8")
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def items(count=11):
    """Pictures in an order that is not that of their names; one caption has every delimiter."""
    order = np.random.default_rng(5).permutation(count)
    texts = {1: 'a "b", c;\td', 2: "über", 3: "two\nlines"}
    return [Item(f"{k:02}.png", png(k), CLASSES[k % 3], texts.get(k, f"number {k}")) for k in order]


def tar(path, members, mode="w"):
    """Write (name, bytes) into a tar file."""
    with tarfile.open(path, mode) as file:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return path


def _pictures(folder, found):
    for one in found:
        (folder / one.name).write_bytes(one.data)


def _folder(folder, found):
    for one in found:
        place = folder / "photos" / one.label / one.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(one.data)
        place.with_suffix(".txt").write_text(one.caption.replace("\n", " "), "utf-8")
    return folder / "photos", None


def _read_folder(source, _):
    from torchvision.datasets import ImageFolder

    known = ImageFolder(source)
    for path, label in known.samples:
        text = Path(path).with_suffix(".txt").read_text("utf-8")
        yield Path(path).read_bytes(), known.classes[label], text


def _delimited(delimiter, suffix):
    def write(folder, found):
        _pictures(folder, found)
        with open(folder / f"t{suffix}", "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter=delimiter)
            writer.writerow(["id", "path", "label", "caption"])
            writer.writerows([k, one.name, *one[2:]] for k, one in enumerate(found))
        return folder / f"t{suffix}", None

    def read(source, _):
        pandas = pytest.importorskip("pandas")
        table = pandas.read_csv(source, sep=delimiter)
        for row in table.itertuples():
            yield (source.parent / row.path).read_bytes(), row.label, row.caption

    return write, read


def _json_lines(folder, found):
    _pictures(folder, found)
    rows = [{"file_name": one.name, "what": one.label, "text": one.caption} for one in found]
    text = "\n".join(map(json.dumps, rows))
    (folder / "metadata.jsonl").write_text(text)
    return folder / "metadata.jsonl", {"label": "what"}


def _read_json_lines(source, _):
    pandas = pytest.importorskip("pandas")
    for row in pandas.read_json(source, lines=True).itertuples():
        yield (source.parent / row.file_name).read_bytes(), row.what, row.text


def _parquet(folder, found):
    import pyarrow
    from pyarrow import parquet

    _pictures(folder, found)
    names, _, labels, captions = map(list, zip(*found, strict=True))
    table = pyarrow.table({"path": names, "label": labels, "caption": captions})
    parquet.write_table(table, folder / "t.parquet")
    return folder / "t.parquet", None


def _read_parquet(source, _):
    from pyarrow import parquet

    for row in parquet.read_table(source).to_pylist():
        yield (source.parent / row["path"]).read_bytes(), row["label"], row["caption"]


def _hub(folder, found):
    """As Hugging Face's datasets write it: pictures inside, several files, small row groups."""
    import pyarrow
    from pyarrow import parquet

    columns = {
        "img": [{"bytes": one.data, "path": one.name} for one in found],
        "fine": [CLASSES.index(one.label) for one in found],
        "caption": [one.caption for one in found],
    }
    features = {
        "img": {"_type": "Image"},
        "fine": {"names": CLASSES, "_type": "ClassLabel"},
        "caption": {"dtype": "string", "_type": "Value"},
    }
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pyarrow.table(columns).replace_schema_metadata(about)
    for number, first in enumerate((0, 7)):
        part = table.slice(first, 7 if first == 0 else None)
        parquet.write_table(part, folder / f"train-{number}-of-2.parquet", row_group_size=3)
    return folder / "train-*-of-2.parquet", {"label": "fine"}


def _read_hub(source, _):
    from pyarrow import parquet

    for path in sorted(source.parent.glob(source.name)):
        table = parquet.read_table(path)
        features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
        for row in table.to_pylist():
            label = features["fine"]["names"][row["fine"]]
            yield row["img"]["bytes"], label, row["caption"]


def _bytes(folder, found):
    import pyarrow
    from pyarrow import parquet

    _, data, labels, captions = map(list, zip(*found, strict=True))
    table = pyarrow.table({"image": data, "class": labels, "titles": [[c] for c in captions]})
    parquet.write_table(table, folder / "t.parquet")
    return folder / "t.parquet", {"caption": "titles"}


def _read_bytes(source, _):
    from pyarrow import parquet

    for row in parquet.read_table(source).to_pylist():
        yield row["image"], row["class"], row["titles"][0]


def _shard(suffix, mode, in_json=False):
    def members(found):
        for one in found:
            key = one.name.removesuffix(".png")
            yield f"{key}.png", one.data
            if in_json:
                about = {"what": one.label, "title": one.caption, "caption": "another"}
                yield f"{key}.json", json.dumps(about).encode()
            else:
                yield f"{key}.txt", one.caption.replace("\n", " ").encode()
                yield f"{key}.cls", one.label.encode()

    def write(folder, found):
        for number, part in enumerate((found[:6], found[6:])):
            tar(folder / f"{number}{suffix}", members(part), mode)
        columns = {"label": "what", "caption": "title"} if in_json else None
        return folder / f"{{0..1}}{suffix}", columns

    def read(source, _):
        iterators = pytest.importorskip("webdataset.tariterators")
        for number in range(2):
            with tarfile.open(source.parent / f"{number}{suffix}") as file:
                found = [(one.name, file.extractfile(one).read()) for one in file]
            files = ({"fname": name, "data": data, "__url__": "x"} for name, data in found)
            for one in iterators.group_by_keys(files):
                about = json.loads(one["json"]) if in_json else {}
                label = about.get("what") or one["cls"].decode()
                yield one["png"], label, about.get("title") or one["txt"].decode()

    return write, read


# {kind: (writes items into a folder and returns (source, columns), reads that independently)}
SOURCES = {
    "folder": (_folder, _read_folder),
    "csv": _delimited(",", ".csv"),
    "csv, semicolons": _delimited(";", ".csv"),
    "csv, tabs": _delimited("\t", ".csv"),
    "tsv": _delimited("\t", ".tsv"),
    "jsonl": (_json_lines, _read_json_lines),
    "parquet of paths": (_parquet, _read_parquet),
    "parquet of the Hub": (_hub, _read_hub),
    "parquet of bytes": (_bytes, _read_bytes),
    "tar": _shard(".tar", "w"),
    "tar, json": _shard(".tar", "w", True),
    "tar.gz": _shard(".tar.gz", "w:gz"),
    "tgz, json": _shard(".tgz", "w:gz", True),
}
