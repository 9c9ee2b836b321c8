"""Found pictures as one page of HTML that needs nothing else: no server, no script, no file."""

import base64
import io
from html import escape
from pathlib import Path

_SIDE = 256  # pixels of a thumbnail's longer side

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
  :root {{ color-scheme: light dark; }}
  body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem;
         padding: 0 1rem; }}
  h1 {{ font-size: 1.25rem; }}
  ol {{ display: grid; gap: 1.25rem 1rem; list-style: none; padding: 0;
       grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); }}
  li {{ align-self: end; }}
  figure {{ margin: 0; }}
  img {{ border-radius: 4px; display: block; height: auto; max-height: 11rem; max-width: 100%; }}
  figcaption {{ overflow-wrap: anywhere; }}
  b {{ font-variant-numeric: tabular-nums; }}
  small {{ opacity: .7; }}
</style>
<h1>{title}</h1>
<ol>
{cells}
</ol>
</html>
"""
_CELL = """<li><figure>{picture}<figcaption><b>{cosine:.3f}</b> {path}<br>
<small>{width} × {height}, {size:,} bytes</small></figcaption></figure></li>"""


def page(hits, title):
    """Make the page: str.

    Args:
        hits: list of dictionaries with `path`, `file`, `cosine`, `width`, `height` and `size`; what
            is not there any more has no picture.
        title: str, what was asked for.
    """
    cells = "\n".join(
        _CELL.format(**{**hit, "path": escape(hit["path"]), "picture": _picture(hit)})
        for hit in hits
    )
    return _PAGE.format(title=escape(title), cells=cells)


def _picture(hit):
    data = _thumbnail(hit["file"])
    if data is None:
        return "<em>no longer there</em>"
    link = escape(Path(hit["file"]).absolute().as_uri())
    source = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
    return f'<a href="{link}"><img src="{source}" alt="{escape(hit["path"])}"></a>'


def _thumbnail(place):
    """A small JPEG, or None where the picture is gone or has changed into something else."""
    from keras_clip.preprocessing.image_files import ImageError, open_image
    from keras_clip.preprocessing.images import over_white

    try:
        image = over_white(open_image(place))
    except ImageError:
        return None
    image.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
