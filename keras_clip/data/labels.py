"""Labels as they are read, one after another, to numbers and the names of classes."""

from array import array

import numpy as np


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
        """The numbers (n,) int64, and the sorted names, or None where labels are numbers.

        Whole numbers stay what they are: their names stand elsewhere, and a part of a data set
        need not have every class.
        """
        codes = np.array(self.codes, "int64")
        if all(name.isdecimal() for name in self.names):
            return np.array([int(name) for name in self.names], "int64")[codes], None
        names = sorted(self.names)
        numbers = {name: number for number, name in enumerate(names)}
        return np.array([numbers[name] for name in self.names], "int64")[codes], names
