"""A checkpoint under the names that a layout may know: without prefixes that all names share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.folding import FIRST_PART, grouped, listed
from keras_clip.convert.tensors import Checkpoint
from keras_clip.convert.wrappers import check_finished, without_counters

_MOST_PREFIXES = 8
# What self-distillation (DINO, iBOT, DINOv2) keeps beside the encoder that it trains.
_ENCODER = "backbone."
_HEADS = ("dino_head.", "ibot_head.", "head.mlp.", "head.last_layer.")


@dataclass(frozen=True)
class View:
    """A checkpoint under other names.

    Args:
        tensors: Those that are to be read.
        whole: Those that the user leaves out besides: they too tell what the model is.
        prefix: What has been cut from the names.
        notes: Lines for the user: what was chosen, and what left out.
        unmatched: The user's patterns that no name fits.
    """

    tensors: Checkpoint
    whole: Checkpoint
    prefix: str = ""
    notes: tuple = ()
    unmatched: tuple = ()

    def check(self) -> None:
        """Raises CheckpointError for a pattern that leaves out nothing."""
        if self.unmatched:
            raise CheckpointError(
                f"{self.whole.path}: ignore={self.unmatched[0]!r} fits no tensor; it holds "
                f"{grouped(self.whole)}"
            )


def views(checkpoint: Checkpoint, ignore: str | Sequence[str] = ()) -> Iterator[View]:
    """Yields the checkpoint as it is, then without one prefix more that all its names share.

    Args:
        checkpoint: As `open_checkpoint` returns it.
        ignore: Patterns of tensors to leave out (`*` matches anything): of names as they are, or
            where none fits, without a prefix.

    Raises:
        CheckpointError: Its tensors do not make up one model.
    """
    patterns = dict.fromkeys((ignore,) if isinstance(ignore, str) else ignore, False)
    names, prefix, notes = {name: name for name in checkpoint}, "", checkpoint.notes
    ignored = {}
    for _ in range(_MOST_PREFIXES):
        for pattern in (pattern for pattern, fits in patterns.items() if not fits):
            found = {name: new for name, new in names.items() if fnmatchcase(new, pattern)}
            patterns[pattern] = bool(found)
            ignored |= found
        kept = {name: new for name, new in names.items() if name not in ignored}
        if not prefix:
            check_finished(kept.values(), checkpoint.path)
        tensors, whole = checkpoint.renamed(kept), checkpoint.renamed(names)
        tensors.ignored = set(whole) - set(tensors)
        unmatched = tuple(pattern for pattern, found in patterns.items() if not found)
        yield View(tensors, whole, prefix, (*notes, *_left_out(ignored)), unmatched)
        start, weights, more = _shared(kept, checkpoint)
        if not start:
            return
        prefix, notes = prefix + start, (*notes, *more)
        names = {
            name: new.removeprefix(start)
            for name, new in names.items()
            if name in weights or (name in ignored and new.startswith(start))
        }


def _left_out(ignored):
    if ignored:
        yield f"{len(ignored)} left out, as ignore says: {listed(sorted(ignored.values()))}"


def _shared(names, checkpoint):
    """(prefix of all names of weights or "", those names, notes)."""
    weights = without_counters(names, checkpoint)
    encoder = {name: new for name, new in weights.items() if new.startswith(_ENCODER)}
    beside = [new for name, new in weights.items() if name not in encoder]
    if encoder and beside and all(new.startswith(_HEADS) for new in beside):
        return _ENCODER, encoder, (f"heads of self-distillation are left out: {grouped(beside)}",)
    starts = {FIRST_PART.match(new)[0] for new in weights.values()}
    start = starts.pop() if len(starts) == 1 else ""
    whole = not start.endswith((".", "/")) or start in weights.values()
    return ("" if whole else start), weights, ()
