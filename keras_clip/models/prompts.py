"""The classes of a zero-shot classifier: their names, and the sentences that stand for them."""

from dataclasses import dataclass

TEMPLATE = "a photo of a {}."


@dataclass(frozen=True)
class Prompts:
    """What the classes are called and how each is described.

    Args:
        names: K names, one a class.
        sentences: K tuples of sentences; a class is the mean of its sentences.
        distinct: whether two classes with the same sentences are an error. Published sets have
            such classes: ImageNet's has two called missile.
    """

    names: tuple
    sentences: tuple
    distinct: bool = True

    @classmethod
    def from_labels(cls, labels, templates=TEMPLATE, distinct=True):
        """Fill labels into templates.

        Args:
            labels: list of str; or of lists of str, names for the same class; or a dictionary
                {name: list of whole sentences}, to which no template applies; or Prompts.
            templates: str or list of str with `{}`.
            distinct: as above.

        Raises:
            ValueError: no labels, an empty or repeated one, no templates, or one without `{}`.
        """
        if isinstance(labels, cls):
            return labels
        if isinstance(labels, str) or not len(labels):
            raise ValueError(f"labels is a list of at least one class name, not {labels!r}.")
        templates = check_templates(templates)
        if isinstance(labels, dict):
            names = _strings(list(labels), "label")
            sentences = [_strings(texts, "prompt") for texts in labels.values()]
        else:
            synonyms = [_strings(label, "label") for label in labels]
            names = tuple(names[0] for names in synonyms)
            sentences = [
                tuple(template.replace("{}", name) for name in names for template in templates)
                for names in synonyms
            ]
        if distinct:
            _check_distinct(names)
        return cls(names, tuple(sentences), distinct)

    def __len__(self):
        return len(self.names)


def check_templates(templates):
    """Return templates as a tuple of strings.

    Raises:
        ValueError: there is none, or one has no `{}` where the label goes.
    """
    templates = (templates,) if isinstance(templates, str) else templates
    if not isinstance(templates, (list, tuple)):
        raise ValueError(f"templates is a string, or a list of them, not {templates!r}.")
    if not templates:
        raise ValueError(f"templates is empty: give at least one, such as {TEMPLATE!r}.")
    for template in templates:
        if not isinstance(template, str) or "{}" not in template:
            raise ValueError(f"The template {template!r} has no {{}} where the label goes.")
    return tuple(templates)


def _strings(texts, what):
    """One text, or several, as a tuple; none of them empty."""
    texts = (texts,) if isinstance(texts, str) else texts
    if not isinstance(texts, (tuple, list)):
        raise ValueError(f"A {what} is a string, or a list of strings, not {texts!r}.")
    if not texts:
        raise ValueError(f"A class has no {what}: its list is empty.")
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"A {what} is a string that says something, not {text!r}.")
    return tuple(texts)


def _check_distinct(names):
    seen = [" ".join(name.split()) for name in names]
    repeated = sorted({name for name in seen if seen.count(name) > 1})
    if repeated:
        raise ValueError(f"These labels are given more than once: {repeated}.")
