"""Account of the samples that were broken: named in the log, counted, and too many refused."""

import logging

_MOST_LINES, _MOST_KEPT, _MOST_TOLD = 100, 100_000, 5
_ALLOWED = 10  # a share says little of the first few

_log = logging.getLogger("keras_clip")


class BrokenPairsError(ValueError):
    """More samples than allowed cannot be used; the message has the count and the first reasons."""


class Broken:
    """Keeps account of samples that could not be used.

    Args:
        max_share: 0 to 1, the most of them among all samples tried; the first 10 are no reason
            to stop unless it is 0.
    """

    def __init__(self, max_share):
        self.max_share, self.reasons = max_share, {}
        self.tried = self.count = 0
        self._last = -1

    def add(self, batch, size, found):
        """Note the samples of one batch.

        Args:
            batch: its number. One that is seen again, or comes before one seen, does not count.
            size: pairs in it.
            found: list of (key, reason) of those that were replaced.

        Raises:
            BrokenPairsError: there are too many.
        """
        for key, reason in found:
            self._name(key, reason)
        if batch <= self._last:
            return
        self._last = batch
        self.tried += size + len(found)
        self.count += len(found)
        allowed = max(_ALLOWED if self.max_share else 0, self.max_share * self.tried)
        if self.count > allowed:
            raise BrokenPairsError(
                f"{self.count} of {self.tried} samples cannot be used, more than the share of "
                f"{self.max_share} that max_broken allows. The first: {told(self.reasons.items())}"
            )

    def _name(self, key, reason):
        if key in self.reasons or len(self.reasons) >= _MOST_KEPT:
            return
        self.reasons[key] = reason
        if len(self.reasons) <= _MOST_LINES:
            _log.warning("%s: another sample takes its place: %s", key, reason)
        if len(self.reasons) == _MOST_LINES:
            _log.warning("%d samples cannot be used; no more of them are named.", _MOST_LINES)


def told(found):
    """The first of (key, reason) pairs as one line."""
    first = [f"{key}: {reason}" for key, reason in list(found)[:_MOST_TOLD]]
    return "; ".join(first)
