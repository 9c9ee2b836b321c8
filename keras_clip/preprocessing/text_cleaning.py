"""Text cleaning before tokenisation, as OpenAI's tokenizer does it."""

import html
import re

# What the `regex` package calls white space. Python's own `re` also counts U+001C to U+001F.
_SPACES = re.compile("[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")


def is_plain(text):
    """True where ftfy and HTML unescaping cannot change the text: printable ASCII without `&`."""
    return text.isascii() and "&" not in text and text.isprintable()


def clean_text(text):
    """Repair, unescape, collapse white space and lower-case one text.

    Args:
        text: any string.

    Returns:
        The cleaned string; its words are separated by single spaces.

    Source: openai/CLIP `clip/simple_tokenizer.py`, `basic_clean` and `whitespace_clean`.
    """
    if not is_plain(text):
        import ftfy

        text = html.unescape(html.unescape(ftfy.fix_text(text)))
    # Lower-casing sees the whole text: a Greek sigma depends on its neighbours.
    return _SPACES.sub(" ", text.strip()).strip().lower()
