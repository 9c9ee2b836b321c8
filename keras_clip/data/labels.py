"""Labels as they are read to numbers, classes in their order, and where they are among others."""

import re
from array import array

import numpy as np

_MISSING = frozenset(["", "nan", "NaN", "<NA>"])  # as str() of a missing number is spelt
_WHOLE = re.compile(r"[+-]?\d{1,18}(\.0*)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


class LabelsBuilder:
    """Collects the labels of pictures in a row."""

    def __init__(self):
        self.codes, self.names = array("q"), {}

    def __len__(self):
        return len(self.codes)

    def add(self, label):
        """Add the label of the next picture, a str."""
        self.codes.append(self.names.setdefault(label, len(self.names)))

    def is_label_of(self, row, label):
        """Whether the row has been added with this label."""
        return self.names.get(label) == self.codes[row]

    def build(self):
        """The numbers (n,) int64, and the names in their order, or None where labels are numbers.

        Whole numbers from 0 stay what they are, `7.0` being 7: their names stand elsewhere, and a
        part of a data set need not have every class.
        """
        codes = np.array(self.codes, "int64")
        numbers = [whole_number(name) for name in self.names]
        if all(number is not None and number >= 0 for number in numbers):
            return np.array(numbers, "int64")[codes], None
        names = in_order(self.names)
        places = {name: place for place, name in enumerate(names)}
        return np.array([places[name] for name in self.names], "int64")[codes], names


def label_text(value):
    """The label in a value of a table or of JSON, a str; empty: there is none.

    Raises:
        ValueError: it is neither text nor a number.
    """
    if isinstance(value, (bytes, dict, list)):
        raise ValueError(f"a label is text or a number, not {type(value).__name__}")
    text = "" if value is None else str(value)
    return "" if text.strip() in _MISSING else text


def whole_number(name):
    """The int that a name is, `7.0` too; None: it is no whole number."""
    name = name.strip()
    return int(name.partition(".")[0]) if _WHOLE.fullmatch(name) else None


def in_order(names):
    """Names of classes in the order in which they are numbered: numbers by value, then text."""
    return sorted(names, key=_order)


def _order(name):
    if not _NUMBER.fullmatch(name.strip()):
        return 1, 0, name
    number = whole_number(name)
    return 0, float(name) if number is None else number, name


def class_numbers(labels, what="labels"):
    """Labels in an array as (n,) int64; whole floats are numbers too.

    Args:
        labels: array of any shape.
        what: str, as which messages name them.

    Raises:
        ValueError: they are no whole numbers.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind == "f":
        wrong = ~(np.isfinite(labels) & (labels == np.floor(labels)))
        if wrong.any():
            raise ValueError(f"The {what} are whole numbers, not {labels[wrong][0]}.")
    elif labels.dtype.kind not in "iu":
        raise ValueError(f"The {what} are whole numbers, not {labels.dtype}.")
    return labels.astype("int64", copy=False)


def numbers_among(labels, class_names, names, whose="labels", by_order=False, by_value=False):
    """Labels as numbers of other names: (n,) int64.

    Classes are found by their names. Those that are numbers count the names from 0.

    Args:
        labels: (n,) int64.
        class_names: list of str that they are numbers of; None: they have no names.
        names: list of K str; None: there are none, and classes have to be numbers.
        whose: str, as which messages call the names.
        by_order: whether as many names, none of which is known, stand for the classes in order.
        by_value: whether numbers are the values of names, where all of these are numbers.

    Raises:
        ValueError: a class is not among the names; the message says which.
    """
    if class_names is None:
        known, labels = np.unique(labels, return_inverse=True)
        numbers = known.tolist()
    else:
        known, numbers = list(class_names), [whole_number(name) for name in class_names]
        if names is not None and (places := _by_name(known, list(names))):
            return np.array(places, "int64")[labels]
    if None not in numbers and len(set(numbers)) == len(numbers):
        return np.array(_by_number(numbers, names, whose, by_value), "int64")[labels]
    if names is None:
        raise ValueError(f"The data set's classes {known[:3]} are names, and the {whose} numbers.")
    missing = [name for name in known if name not in set(names)]
    if by_order and len(missing) == len(known) == len(names):
        return labels
    others = f", or {len(known)} others in the order of the data set's" if by_order else ""
    raise ValueError(
        f"The data set's classes {missing[:3]} are not among the {whose}, of which there are "
        f"{len(names)}: give the same names{others}."
    )


def _by_name(known, names):
    """The places of known names among names; None: not all of them are there."""
    if known == names:  # which may have a name twice
        return range(len(known))
    where = {name: place for place, name in enumerate(names)}
    return None if set(known) - set(where) else [where[name] for name in known]


def _by_number(numbers, names, whose, by_value):
    """The places of numbers among names; where there are no names, the numbers."""
    if names is None:
        return numbers
    values = [whole_number(name) for name in names] if by_value else [None]
    if None in values or len(set(values)) < len(values):
        values = range(len(names))
    places = {value: place for place, value in enumerate(values)}
    outside = [number for number in numbers if number not in places]
    if outside:
        raise ValueError(
            f"The data set has class {outside[0]}, but there are {len(names)} {whose}, for classes "
            f"{min(values)} to {max(values)}."
        )
    return [places[number] for number in numbers]
