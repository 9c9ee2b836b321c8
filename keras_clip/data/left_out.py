"""What a source holds that does not come out of it, named and counted."""

import logging

_MOST_KEPT, _MOST_TOLD = 1000, 5

_log = logging.getLogger("keras_clip")


class LeftOut:
    """Entries of a source that are no picture, label or caption of it.

    Attributes:
        count: int, all of them.
        reasons: {name: reason} of the first 1,000.
    """

    def __init__(self):
        self.count, self.reasons = 0, {}
        self._is_odd = False

    def __len__(self):
        return self.count

    def add(self, name, reason, is_odd=True):
        """Note an entry; one that is not odd is left out everywhere, such as a hidden file."""
        self.count += 1
        self._is_odd |= is_odd
        if len(self.reasons) < _MOST_KEPT:
            self.reasons[name] = reason

    def tell(self, source):
        """Say it in the log `keras_clip`, in one line, as a warning where an entry is odd."""
        if not self.count:
            return
        first = [f"{name}: {why}" for name, why in list(self.reasons.items())[:_MOST_TOLD]]
        more = f" and {self.count - len(first):,} more" if self.count > len(first) else ""
        level = logging.WARNING if self._is_odd else logging.INFO
        _log.log(level, "%s: %d left out: %s%s", source, self.count, "; ".join(first), more)
