"""What a directory of vectors is made with, which every run that adds to it must share."""

from dataclasses import asdict, dataclass

from keras_clip.version import __version__

LAYOUT = 1
_NAMES = {"model": "weights", "source": "fingerprint"}  # a name, and what decides in its place


@dataclass(frozen=True)
class Settings:
    """How pictures become rows.

    Args:
        model: str, the model's name, for people.
        weights: str, the hash that tells its weights from others.
        dim: int, numbers in a vector.
        backend: str. Backends agree to rounding, not to the last bit.
        source: str, where the pictures come from, for people.
        dtype: `float32` or `float16`, what vectors are stored as.
        format: `parquet` or `npy`.
        batch_size: int. Pictures a step.
        part_rows: int. Pictures a part; what a kill can cost at most.

    Raises:
        ValueError: a value is none of these.
    """

    model: str
    weights: str
    dim: int
    backend: str
    source: str
    dtype: str = "float32"
    format: str = "parquet"
    batch_size: int = 32
    part_rows: int = 4096

    def __post_init__(self):
        for name, known in (("dtype", ("float32", "float16")), ("format", ("parquet", "npy"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is one of {known}, not {getattr(self, name)!r}.")
        for name in ("dim", "batch_size", "part_rows"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1, not {getattr(self, name)}.")

    def header(self, pictures, processor):
        """What the manifest says of a job before any part: a dictionary of plain values."""
        return {
            "layout": LAYOUT,
            "keras_clip": __version__,
            **asdict(self),
            "image": _plain(processor.config.to_dict()),
            "fingerprint": pictures.fingerprint,
            "pictures": len(pictures),
        }


def differences(old, new):
    """What two headers differ in, a str each: what was, and what is now."""
    found = []
    for key in new:
        if key in _NAMES or old.get(key) == new[key]:
            continue
        named = [name for name, decides in _NAMES.items() if decides == key]
        was, now = (_told(header, key, named) for header in (old, new))
        found.append(f"{named[0] if named else key} {was}, now {now}")
    return found


def _told(header, key, named):
    if not named:
        return repr(header.get(key))
    return f"{header.get(named[0])!r} ({key} {str(header.get(key))[:16]})"


def _plain(values):
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
