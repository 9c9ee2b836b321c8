"""The manifest of a directory of vectors, and the records of the parts that are done."""

import json
from pathlib import Path

from keras_clip.bulk import files
from keras_clip.bulk.parts import RECORD
from keras_clip.bulk.settings import differences

NAME = "manifest.json"


def read(directory):
    """The manifest of a directory, a dictionary; None where there is none.

    Raises:
        ValueError: it is no manifest.
    """
    path = Path(directory) / NAME
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: not a readable manifest: {error}.") from error
    if not isinstance(found, dict) or not {"layout", "parts", "part_rows"} <= set(found):
        raise ValueError(f"{path}: not a manifest of embedded pictures.")
    return found


def agree(directory, header):
    """Whether a job of this header may go on in a directory: its manifest, or None for a new one.

    Raises:
        ValueError: it holds something else, or was made with another model, source or settings.
    """
    found = read(directory)
    if found is None:
        others = [path.name for path in directory.glob("*") if not path.name.startswith(".")]
        if others:
            raise ValueError(
                f"{directory}: the directory holds other files ({others[0]}) and no manifest; "
                "give one of its own."
            )
        return None
    if wrong := differences(found, header):
        raise ValueError(
            f"{directory}: was made with {'; '.join(wrong)}. Give another directory, or delete "
            "this one."
        )
    return found


def done_parts(directory, manifest, parts):
    """{part number: record} of the parts whose files are all there."""
    if manifest is None:
        return {}
    known = dict(enumerate(manifest["parts"]))
    for part in parts:
        path = directory / f"{part.name}{RECORD}"
        if path.is_file():
            known[part.number] = json.loads(path.read_text(encoding="utf-8"))
    return {number: record for number, record in known.items() if is_there(directory, record)}


def is_there(directory, record):
    """Whether the files of a part are there, in their length."""
    paths = {directory / name: told["bytes"] for name, told in record["files"].items()}
    return all(path.is_file() and path.stat().st_size == size for path, size in paths.items())


def begin(directory, header):
    """Write the manifest of a job that has no part yet."""
    _write(directory, {**header, "finished": False, "rows": 0, "failed": 0, "parts": []})


def finish(directory, header, records):
    """Write the manifest of a job that is done, and remove the records that are now in it.

    Args:
        directory: path.
        header: dictionary.
        records: list of the parts' records, in their order.
    """
    counts = {
        "rows": sum(record["rows"] for record in records),
        "failed": sum(len(record["failures"]) for record in records),
    }
    _write(directory, {**header, "finished": True, **counts, "parts": records})
    remove_records(directory)


def remove_records(directory):
    """Remove the parts' own records, which a finished manifest holds."""
    for path in directory.glob(f"part-*{RECORD}"):
        path.unlink(missing_ok=True)


def _write(directory, manifest):
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    files.write(directory / NAME, text.encode())
