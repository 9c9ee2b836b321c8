"""What an index says of itself: the model, its weights, the folder; a JSON file beside the data."""

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from keras_clip.models.weights_hash import weights_hash
from keras_clip.preprocessing.atomic_file import write_bytes
from keras_clip.search.errors import SearchError

NAME = "index.json"
_FORMAT = 1


@dataclass(frozen=True)
class Description:
    """What is in `index.json`.

    Args:
        model: str, what `from_preset` was given.
        dimension: int, numbers a vector.
        towers: {"vision": {"weights": hash, "config": dictionary}, "text": the same}.
        root: absolute path that the pictures' paths start from; empty until there are any.
        format: int, the layout of the whole directory.
    """

    model: str
    dimension: int
    towers: dict = field(default_factory=dict)
    root: str = ""
    format: int = _FORMAT

    @classmethod
    def of(cls, name, **towers):
        """Describe a model.

        Args:
            name: str, what `from_preset` was given.
            **towers: `vision` and `text`, keras.Models of a CLIP.
        """
        found = {key: _tower(tower) for key, tower in towers.items()}
        dimension = next(iter(towers.values())).output_shape[-1]
        return cls(str(name), int(dimension), found)

    @classmethod
    def read(cls, directory):
        """Read that of an index.

        Raises:
            SearchError: there is none, or it is damaged, or of a later version.
        """
        path = Path(directory) / NAME
        try:
            values = json.loads(path.read_text("utf-8"))
            known = cls(**values)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise SearchError(
                f"{directory}: there is no index; make one: keras-clip index FOLDER -o {directory}."
            ) from error
        except (OSError, ValueError, TypeError) as error:
            raise SearchError(
                f"{path}: damaged ({error}); delete {directory} and index the pictures again."
            ) from error
        if known.format != _FORMAT:
            raise SearchError(
                f"{directory}: an index of format {known.format}, and this version of keras-clip "
                f"reads {_FORMAT}; index the pictures again into another directory."
            )
        return known

    def write(self, directory):
        """Write it, whole or not at all."""
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        write_bytes(Path(directory) / NAME, text.encode())

    def at(self, root):
        """The same for pictures that lie in another folder now."""
        return replace(self, root=root)

    def check(self, other, directory):
        """Raise unless the towers that another description has are these.

        Args:
            other: Description of the model that is to be used.
            directory: path of the index, for the message.

        Raises:
            SearchError: other weights, another configuration or dimension; it names both models.
        """
        for key, found in other.towers.items():
            mine = self.towers.get(key, {})
            if mine == found:
                continue
            changed = [k for k in found["config"] if mine["config"].get(k) != found["config"][k]]
            what = f"another {', '.join(changed)}" if changed else "other weights"
            raise SearchError(
                f"{directory}: made with {self.model} ({key} weights {mine['weights']}); "
                f"{other.model} ({found['weights']}) has {what}, and its vectors mean something "
                f"else. Use the index's own model, or index the pictures again into another "
                "directory."
            )


def _tower(tower):
    config = json.loads(json.dumps(tower.config.to_dict()))  # as it comes back from the file
    return {"weights": weights_hash(tower), "config": config}


def root_of(pictures):
    """The absolute path of the folder that pictures' keys are relative to."""
    places = pictures.places
    if hasattr(places, "root"):
        return os.path.abspath(places.root)
    return os.path.dirname(os.path.abspath(places.shards[0]))
