"""A training run as a TOML file: read strictly, written back, compared. It runs no code."""

import json
import os
import tomllib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from keras_clip.train.recipe_reading import read_table
from keras_clip.train.recipe_sections import (
    DataSection,
    EvaluateSection,
    LossSection,
    ModelSection,
    OptimizerSection,
    RunSection,
)

# Entries that are places; those of the first group may be names of presets instead.
_NAMED = (("model", "start"), ("model", "tokenizer"), ("loss", "teacher"), ("evaluate", "prompts"))
_PATHS = (("data", "source"), ("evaluate", "source"))
# What a run that goes on may change: none of it changes what a step computes.
_FREE = ("run", "evaluate", "data.chunk_size", "data.threads")
_FREE += ("data.workers", "data.max_broken", "model.remat", "model.save_dtype")
_BOUND = ("run.seed",)


@dataclass(frozen=True)
class Recipe:
    """All that a training run depends on.

    Args:
        model, data, optimizer, run, loss: the tables of the same names.
        evaluate: tuple of EvaluateSection.
    """

    model: ModelSection
    data: DataSection
    optimizer: OptimizerSection
    run: RunSection
    loss: LossSection = field(default_factory=LossSection)
    evaluate: tuple[EvaluateSection, ...] = ()

    def __post_init__(self):
        names = [one.name for one in self.evaluate]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two of [[evaluate]] are called {twice[0]!r}: give each a `name`.")
        best = self.run.best
        if best and best.partition("/")[0] not in names:
            raise ValueError(f"run.best is {best!r}, but [[evaluate]] has {names}.")

    @classmethod
    def from_toml(cls, path, overrides=()):
        """Read a recipe.

        Args:
            path: the .toml file. Relative places in it start from its own folder; a place
                without any of `/`, `.` may be the name of a preset or of a set of prompts.
            overrides: list of `table.key=value`, values as in TOML, where a bare word is a string;
                relative places in them start from the current folder.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no TOML, or a key or value is wrong; the message names it.
        """
        path = Path(path)
        try:
            table = tomllib.loads(path.read_text("utf-8"))
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{path}: there is no such recipe.") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not a TOML file: {error}.") from error
        _resolve(table, path.absolute().parent)
        where = path.name
        for override in overrides:
            change = _override(override)
            _resolve(change, Path.cwd())
            _merge(table, change, f"--set {override}")
            where = f"{path.name} with --set"
        return cls.from_dict(table, where)

    @classmethod
    def from_dict(cls, table, where="recipe"):
        """Build from a dictionary of tables, as `to_dict` returns it.

        Raises:
            ValueError: as `from_toml`; messages begin with `where`.
        """
        return read_table(cls, table, where)

    def to_dict(self):
        """Plain values, what is not given left out."""
        return _given(asdict(self))

    def to_toml(self):
        """Return the text of the recipe with all its defaults, places resolved."""
        return "\n".join(_toml((), self.to_dict())).strip() + "\n"

    def with_steps(self, steps):
        """The same recipe for another number of steps."""
        return replace(self, run=replace(self.run, steps=steps, epochs=None))

    def differences(self, other):
        """What a run of this recipe may not change: list of `key: here, there in the other`.

        Args:
            other: Recipe.
        """
        mine, others = (dict(_flat((), recipe.to_dict())) for recipe in (self, other))
        return [
            f"{key}: {_shown(mine.get(key))}, {_shown(others.get(key))} in the other"
            for key in sorted({*mine, *others})
            if mine.get(key) != others.get(key) and _is_bound(key)
        ]


def _is_bound(key):
    return key in _BOUND or not any(key == free or key.startswith(f"{free}.") for free in _FREE)


def _resolve(table, folder):
    """Make the places in a table absolute, in place."""
    for group in (_NAMED, _PATHS):
        for section, key in group:
            parts = table.get(section)
            for part in parts if isinstance(parts, list) else [parts]:
                if isinstance(part, dict) and key in part:
                    part[key] = _place(part[key], folder, group is _NAMED)


def _place(value, folder, may_be_name):
    if isinstance(value, list):
        return [_place(one, folder, may_be_name) for one in value]
    if not isinstance(value, str) or "://" in value or value.startswith("open_clip:"):
        return value
    if may_be_name and not any(mark in value for mark in "/.\\"):
        return value
    return os.path.normpath(folder / Path(value).expanduser())


def _override(text):
    """The table that `a.b=value` stands for."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ValueError(f"--set {text}: write it as table.key=value.")
    for written in (value, json.dumps(value.strip())):  # a bare word is a string
        try:
            return tomllib.loads(f"{key} = {written}")
        except tomllib.TOMLDecodeError as error:
            reason = error
    raise ValueError(f"--set {text}: {reason}.")


def _merge(table, change, where):
    for key, value in change.items():
        if isinstance(value, dict) and isinstance(table.get(key, {}), dict):
            _merge(table.setdefault(key, {}), value, where)
        elif isinstance(value, dict):
            raise ValueError(f"{where}: {key!r} is no table here; give it whole.")
        else:
            table[key] = value


def _given(values):
    """A dictionary without None, lists instead of tuples."""
    if isinstance(values, dict):
        return {k: _given(v) for k, v in values.items() if v is not None}
    return [_given(value) for value in values] if isinstance(values, (list, tuple)) else values


def _flat(path, values):
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat((*path, key), value)
        else:
            yield ".".join((*path, key)), value


def _shown(value):
    return "nothing" if value is None else _literal(value)


def _toml(path, table):
    """The lines of a table: its values first, then the tables in it."""
    inside = {k: v for k, v in table.items() if isinstance(v, dict) and v}
    rows = {k: v for k, v in table.items() if isinstance(v, list) and v and _all_tables(v)}
    for key, value in table.items():
        if key not in inside and key not in rows and value != {}:
            yield f"{key} = {_literal(value)}"
    for key, value in inside.items():
        yield from ("", f"[{'.'.join((*path, key))}]", *_toml((*path, key), value))
    for key, values in rows.items():
        for value in values:
            yield from ("", f"[[{'.'.join((*path, key))}]]", *_toml((*path, key), value))


def _all_tables(values):
    return all(isinstance(value, dict) for value in values)


def _literal(value):
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, (bool, str)):  # JSON's way to write them is TOML's too
        return json.dumps(value, ensure_ascii=False)
    return repr(value)
