"""What a user calls the columns of a table, or the members of shards."""

_KINDS = ("image", "label", "caption")


def checked_columns(columns):
    """{kind: tuple of names} of the columns that are given.

    Args:
        columns: {"image": name, "label": name, "caption": name or list of names}, any of them, or
            None.

    Raises:
        ValueError: another kind, or no name.
    """
    columns = dict(columns or {})
    unknown = sorted(set(columns) - set(_KINDS))
    if unknown:
        raise ValueError(f"columns has no {unknown}; its entries are {list(_KINDS)}.")
    found = {}
    for kind, names in columns.items():
        several = kind == "caption" and isinstance(names, (list, tuple))
        found[kind] = tuple(names) if several else (names,)
        if not found[kind] or not all(isinstance(one, str) and one for one in found[kind]):
            raise ValueError(f"columns: {kind} is the name of a column, not {names!r}.")
    return found


def no_columns(columns, source):
    """Raise a ValueError where columns are given for a source that has none."""
    if columns:
        raise ValueError(
            f"{source}: columns name what a table or tar shards have, for whoever opens them; "
            "pictures in files, or open already, have none: leave them out."
        )
