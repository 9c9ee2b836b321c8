"""How fast a run goes, and what its loss is at the moment."""

import time
from collections import deque


def evaluated(logs):
    """What an evaluation wrote into the logs of this step: {"name/metric": float}."""
    return {name: value for name, value in (logs or {}).items() if "/" in name}


class Pace:
    """Steps a second over the last steps, without those in which there was an evaluation.

    Args:
        last: int or None. Over how many calls; None: all since `clear`.
    """

    def __init__(self, last=None):
        self.times = deque(maxlen=last)
        self.before = None  # the first step compiles, so it only starts the clock

    def step(self, count, pause):
        """Count steps that end now; `pause`: whether something else took time meanwhile."""
        now = time.perf_counter()
        if self.before is not None and not pause:
            self.times.append((count, now - self.before))
        self.before = now

    def clear(self):
        """Forget all but the clock."""
        self.times.clear()

    @property
    def rate(self):
        """Steps a second; None where no step was timed."""
        seconds = sum(seconds for _, seconds in self.times)
        return sum(count for count, _ in self.times) / seconds if seconds else None


class LossSince:
    """The mean loss since it was last asked for, from Keras's running mean over the epoch."""

    def __init__(self):
        self.start()

    def start(self):
        """Begin an epoch."""
        self.steps, self.total = 0, 0.0

    def take(self, steps, mean):
        """The mean over the steps that are new.

        Args:
            steps: int. Steps in this epoch.
            mean: float. Their mean loss.
        """
        if steps <= self.steps:
            return mean
        new = (mean * steps - self.total) / (steps - self.steps)
        self.steps, self.total = steps, mean * steps
        return new
