"""`keras-clip search` and `keras-clip duplicates`: what is in an index of pictures."""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from keras_clip.command import terminal
from keras_clip.command.index import named
from keras_clip.command.terminal import escape
from keras_clip.presets import from_preset
from keras_clip.search import Description, Index, SearchError, combine
from keras_clip.search.page import page


def search(directory, query, k=12, where=None, preset=None):
    """Find the pictures that fit texts and pictures best.

    Args:
        directory: path of the index.
        query: Query.
        k: how many pictures.
        where: filter in SQL, or None.
        preset: whatever `from_preset` takes; None: the model that the index was made with.

    Returns:
        Dictionary: `index`, `query`, `asked` (k), `pictures` (how many the index has) and `hits`,
        best first, each with `path`, `file`, `cosine`, `size`, `width`, `height` and times.

    Raises:
        SearchError: an empty or damaged index, another model's, a wrong filter.
    """
    index = opened(directory)
    index.database.check_filter(where)  # before seconds of loading
    vector = query.vector(index, preset)
    (hits,) = index.search(vector[None], k, where)
    return {
        "index": str(directory),
        "query": str(query),
        "asked": k,
        "pictures": len(index),
        "hits": [entry(index, hit) for hit in hits],
    }


class Query:
    """Texts and pictures that are looked for, and texts that are not wanted.

    Args:
        texts, images, minus: lists of str; `images` are paths.
        weights: list of numbers, one for each of them in this order; None: 1 each.

    Raises:
        SearchError: nothing to look for, or not as many weights.
    """

    def __init__(self, texts=(), images=(), minus=(), weights=None):
        self.texts, self.images, self.minus = list(texts), list(images), list(minus)
        count = len(self.texts) + len(self.images) + len(self.minus)
        self.weights = weights or [1.0] * count
        if not self.texts and not self.images:
            raise SearchError("There is nothing to look for: give a text, or --image.")
        if len(self.weights) != count:
            raise SearchError(f"{len(self.weights)} weights for {count} texts and pictures.")

    def __str__(self):
        return " + ".join(self.texts + self.images) + "".join(f" - {text}" for text in self.minus)

    def vector(self, index, preset=None):
        """The query as a unit vector, (D,), by the towers that it needs and no other."""
        name = named(preset) if preset else index.description.model
        model, towers = _loaded(name, self.texts or self.minus, self.images)
        index.description.check(Description.of(name, **towers), index.directory)
        parts = []
        if self.texts:
            parts.append(model.embed_texts(self.texts))
        if self.images:
            parts.append(model.embed_images(self.images))
        if self.minus:
            parts.append(-model.embed_texts(self.minus))
        return combine(np.concatenate(parts), self.weights)


def _loaded(name, text, vision):
    """A model with the towers that are needed and no other, and those towers by name."""
    if text and vision:
        clip = from_preset(name)
        return clip, {tower: clip.get_layer(tower) for tower in ("vision", "text")}
    tower = "text" if text else "vision"
    model = from_preset(name, tower=tower)
    return model, {tower: model}


def opened(directory):
    """An index that has pictures.

    Raises:
        SearchError: there is no index, or no picture in it.
    """
    index = Index.open(directory)
    if not len(index):
        raise SearchError(f"{directory}: the index has no picture yet: run keras-clip index again.")
    return index


def duplicates(directory, above=0.97, where=None):
    """Find groups of pictures that are nearly the same.

    Args:
        directory: path of the index.
        above: smallest cosine of a pair.
        where: filter in SQL, or None.

    Returns:
        Dictionary: `index`, `above`, `pictures` (how many the index has) and `groups`, the largest
        first, of entries as in `search`; their cosine is that with the first of the group.
    """
    index = opened(directory)
    groups = index.duplicates(above, where)
    return {
        "index": str(directory),
        "above": above,
        "pictures": len(index),
        "groups": [[entry(index, hit) for hit in group] for group in groups],
    }


def entry(index, hit):
    """A found picture as a dictionary for JSON."""
    times = {name: getattr(hit, name).isoformat() for name in ("modified", "added")}
    return {"path": hit.path, "file": index.place(hit), **asdict(hit), **times}


def draw(result, path):
    """Draw the found pictures as a grid into a PNG, PDF or SVG file."""
    from keras_clip import plot

    files, cosines = _columns(result)
    plot.save(plot.search_grid(files, cosines, title=result["query"]), path)


def write_page(result, path):
    """Write the found pictures as one HTML page."""
    from keras_clip.preprocessing.atomic_file import write_bytes

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, page(result["hits"], result["query"]).encode())


def _columns(result):
    if not result["hits"]:
        raise SearchError("No picture was found, so there is nothing to draw.")
    return [hit["file"] for hit in result["hits"]], [hit["cosine"] for hit in result["hits"]]


def show_found(result):
    """Print the found pictures with their cosines, small ones where the terminal has colours."""
    console, hits = terminal.console(), result["hits"]
    table = _table(console, ">cosine", hits)
    console.print(table)
    if len(hits) < result["asked"]:
        console.print(
            f"[dim]{len(hits):,} pictures fit, of {result['pictures']:,} in the index; "
            f"{result['asked']:,} were asked for.[/dim]"
        )


def show_duplicates(result):
    """Print each group of near-duplicates."""
    console, groups = terminal.console(), result["groups"]
    for group in groups:
        console.print(_table(console, ">cosine", group))
    spare = sum(len(group) - 1 for group in groups)
    console.print(
        f"[bold]{len(groups):,} groups[/bold] of {result['pictures']:,} pictures, a cosine of "
        f"{result['above']:g} or more: {spare:,} pictures beside the first of each."
    )


def _table(console, first, hits):
    from rich.filesize import decimal

    coloured = console.color_system in ("truecolor", "256")
    table = terminal.table(*([""] if coloured else []), first, "picture", ">pixels", ">size")
    for hit in hits:
        table.add_row(
            *([_thumbnail(hit["file"])] if coloured else []),
            f"{hit['cosine']:.3f}",
            escape(hit["path"]),
            f"{hit['width']} × {hit['height']}",
            decimal(hit["size"]),
            end_section=coloured,
        )
    return table


def _thumbnail(file):
    try:
        return terminal.thumbnail(file, 8)
    except OSError:  # it has gone since, or lies in a shard
        return ""
