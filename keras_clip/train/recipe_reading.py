"""From the tables of a TOML file to frozen dataclasses, strict about names and types."""

import types
import typing
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches

_WORDS = {
    str: "a string", bool: "true or false", int: "a whole number", float: "a number",
    dict: "a table", tuple: "a list",
}  # fmt: skip
_UNIONS = (typing.Union, types.UnionType)


def read_table(cls, values, where):
    """Build a dataclass from a table, tables inside included.

    Args:
        cls: dataclass whose annotations say what its fields take.
        values: dictionary, as tomllib reads it.
        where: str, the place of the table, which messages begin with.

    Raises:
        ValueError: a key is unknown, missing, or has a value of a wrong type or range.
    """
    found = checked(typing.get_type_hints(cls), values, where)
    needed = [f.name for f in fields(cls) if f.default is f.default_factory is MISSING]
    missing = [name for name in needed if name not in found]
    if missing:
        raise ValueError(f"{where}: {', '.join(missing)} is missing.")
    try:
        return cls(**found)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {error}") from error


def checked(hints, values, where):
    """The entries of a table with their annotated types: ints become floats, lists tuples.

    Args:
        hints: {name: annotation}.
        values: dictionary.
        where: as of `read_table`.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{where}: a table is expected, not {values!r}.")
    for key in values:
        if key not in hints:
            raise ValueError(f"{where}: {unknown(key, hints)}")
    return {key: _value(hints[key], value, where, key) for key, value in values.items()}


def unknown(key, known):
    """What to say about a name that does not exist: the nearest that does, else all of them."""
    near = get_close_matches(key, known, 1)
    return f"there is no {key!r}; " + (
        f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}."
    )


def _value(hint, value, where, key):
    choices = typing.get_args(hint) if typing.get_origin(hint) in _UNIONS else (hint,)
    for choice in choices:
        if is_dataclass(choice) and isinstance(value, dict):
            return read_table(choice, value, _inside(where, key))
        if _fits(choice, value):
            return _converted(choice, value, where, key)
    said = " or ".join(_named(choice) for choice in choices if choice is not type(None))
    raise ValueError(f"{where}, {key}: {said} is expected, not {value!r}.")


def _inside(where, key):
    """`file` -> `file, [key]`; `file, [outer]` -> `file, [outer.key]`."""
    return f"{where[:-1]}.{key}]" if where.endswith("]") else f"{where}, [{key}]"


def _fits(hint, value):
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return value in arguments
    if origin is tuple:
        return isinstance(value, list) and all(
            is_dataclass(arguments[0]) or _fits(arguments[0], one) for one in value
        )
    if hint is tuple:  # sizes, such as patch_size, may be one number
        return isinstance(value, list) or type(value) is int
    if hint is float:
        return type(value) in (int, float)
    return hint is typing.Any or type(value) is hint


def _converted(hint, value, where, key):
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        return tuple(_value(inner, one, where, f"{key}[{k}]") for k, one in enumerate(value))
    if isinstance(value, list):
        return tuple(value)
    return float(value) if hint is float else value


def _named(hint):
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(map(repr, typing.get_args(hint)))
    if typing.get_origin(hint) is tuple:
        return f"a list, each {_named(typing.get_args(hint)[0])},"
    return "a table" if is_dataclass(hint) else _WORDS.get(hint, str(hint))
