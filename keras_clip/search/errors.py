"""What is wrong with an index, in words for its user."""

from contextlib import contextmanager

_LONGEST = 200
_KINDS = (OSError, RuntimeError, ValueError)  # that the database raises


class SearchError(ValueError):
    """An index that cannot be used, or a query that cannot be asked; the message says why."""


@contextmanager
def told(what, advice):
    """Turn whatever the database raises into a SearchError: `what`, its own words, `advice`."""
    try:
        yield
    except SearchError:
        raise
    except BaseException as error:
        # A panic of the database's native code is no Exception, and has no class to name here.
        if not isinstance(error, _KINDS) and type(error).__name__ != "PanicException":
            raise
        raise SearchError(f"{what}: {reason(error)}. {advice}") from error


def reason(error):
    """The database's own words without its columns, and without places in its source code."""
    text = " ".join(str(error).split()).removeprefix("Invalid input, ")
    for start in (". Valid fields", ", /", " at /"):
        text = text.split(start)[0]
    return text[:_LONGEST].rstrip(".") or type(error).__name__
