"""Templates and class names by name or from files, as data sets and other libraries have them."""

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from keras_clip.catalogue import zoo_directory
from keras_clip.models.prompts import TEMPLATE, Prompts, check_templates

OPEN_CLIP = "open_clip:"
CLASS_NAMES, TEMPLATES = "classnames.txt", "zeroshot_classification_templates.txt"
_KEYS = {"about", "templates", "labels"}


@dataclass(frozen=True)
class PromptSet:
    """Templates, and labels where the set has them.

    Args:
        templates: tuple of str with `{}`.
        labels: list of labels, as for `CLIP.class_embeddings`, or None.
        about: str, what it is for.
    """

    templates: tuple
    labels: list | dict | None = None
    about: str = ""

    def prompts(self, labels=None):
        """Fill labels into the templates; Prompts for `CLIP.zero_shot_classifier`.

        Args:
            labels: as for `CLIP.class_embeddings`; None: the set's own, as they were published,
                with names that come twice if it has such.

        Raises:
            ValueError: the set has no labels of its own, or these cannot be used.
        """
        if labels is not None:
            return Prompts.from_labels(labels, self.templates)
        if self.labels is None:
            raise ValueError("This set of prompts has templates only: give labels.")
        return Prompts.from_labels(self.labels, self.templates, distinct=False)


def list_prompts():
    """Return the names of the sets that come with the package, and what each is for: a dict."""
    return {p.stem: _from_toml(p).about for p in sorted(_folder().glob("*.toml"))}


def load_prompts(source):
    """Load a set of prompts.

    Args:
        source: a name from `list_prompts()`; `open_clip:imagenet`, or `open_clip:imagenet_simple`
            with 7 templates instead of 80, where open_clip is installed; a .toml file with
            `templates` and perhaps `labels`; a text file with a template a line; or a folder with
            `classnames.txt` and `zeroshot_classification_templates.txt`.

    Returns:
        PromptSet.

    Raises:
        ValueError: there is no such set, or the file is no set of prompts.
        FileNotFoundError: the folder lacks a file.
        ImportError: open_clip is not installed.
    """
    name = str(source)
    if name.startswith(OPEN_CLIP):
        return _from_open_clip(name.removeprefix(OPEN_CLIP))
    path = Path(source)
    if path.is_dir():
        return PromptSet(_templates(path / TEMPLATES), _lines(path / CLASS_NAMES))
    if path.is_file():
        return _from_toml(path) if path.suffix == ".toml" else PromptSet(_templates(path))
    if (_folder() / f"{name}.toml").is_file():
        return _from_toml(_folder() / f"{name}.toml")
    raise ValueError(
        f"There is no set of prompts {name!r}: give one of {sorted(list_prompts())}, "
        f"{OPEN_CLIP}imagenet, a .toml or text file, or a folder with {CLASS_NAMES}."
    )


def asked_prompts(labels=None, templates=None, source=None, class_names=None):
    """Prompts as they are asked for by labels, by templates, by a set of them, or by parts of each.

    Args:
        labels: as for `CLIP.class_embeddings`, or None: those of the set, else `class_names`.
        templates: str or list of str with `{}`, or None: those of the set, else a photo of a {}.
        source: what `load_prompts` takes, or None.
        class_names: list of str, those of the pictures, or None.

    Raises:
        ValueError: there are no labels at all, or what is asked for cannot be used.
    """
    found = load_prompts(source) if source else PromptSet((TEMPLATE,))
    found = replace(found, templates=check_templates(templates)) if templates else found
    if labels is None and found.labels is None:
        if class_names is None:
            raise ValueError("There are no labels: give some, or prompts that have them.")
        found = replace(found, labels=list(class_names))
    return found.prompts(labels)


def _folder():
    return zoo_directory() / "prompts"


def _from_toml(path):
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a TOML file: {error}.") from error
    unknown = sorted(set(table) - _KEYS)
    if unknown or "templates" not in table:
        raise ValueError(
            f"{path}: a set of prompts has `templates` and perhaps `labels` and `about`"
            + (f", not {unknown}." if unknown else ".")
        )
    templates = _checked(path, table["templates"])
    return PromptSet(templates, table.get("labels"), table.get("about", ""))


def _from_open_clip(name):
    try:
        from open_clip import zero_shot_metadata as published
    except ImportError as error:
        raise ImportError(
            f"{OPEN_CLIP}{name} is a part of open_clip: pip install open_clip_torch."
        ) from error
    sets = {
        "imagenet": published.OPENAI_IMAGENET_TEMPLATES,
        "imagenet_simple": published.SIMPLE_IMAGENET_TEMPLATES,
    }
    if name not in sets:
        raise ValueError(f"{OPEN_CLIP} has {sorted(sets)}, not {name!r}.")
    # There they are functions of the class name.
    templates = tuple(template("{}") for template in sets[name])
    return PromptSet(templates, list(published.IMAGENET_CLASSNAMES), "ImageNet-1k, as published")


def _templates(path):
    """One template a line; CLIP_benchmark's have `{c}` where the label goes."""
    return _checked(path, [line.replace("{c}", "{}") for line in _lines(path)])


def _checked(path, templates):
    try:
        return check_templates(templates)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _lines(path):
    try:
        lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file in UTF-8: {error}.") from error
    found = [line for line in lines if line]
    if not found:
        raise ValueError(f"{path}: the file is empty.")
    return found
