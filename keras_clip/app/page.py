"""The page's layout: three tabs, each a form and its answer."""

from functools import partial, wraps

from keras_clip.app import answers
from keras_clip.models.prompts import TEMPLATE

_EXAMPLE = "a red arrow, a blue star, a handwritten seven"
STYLE = """
.gradio-container {width: 100% !important; max-width: 1000px !important; margin: 0 auto !important}
footer {display: none !important}
"""


def theme():
    """Quiet colours, and type that the machine has: nothing is fetched."""
    import gradio

    return gradio.themes.Base(
        primary_hue="emerald",
        neutral_hue="slate",
        font=("system-ui", "sans-serif"),
        font_mono=("ui-monospace", "monospace"),
    )


def build_page(clip, name, index=None, finder=None):
    """Build the page: a gradio.Blocks.

    Args:
        clip: CLIP.
        name: str, what it is called.
        index: `keras_clip.search.Index` made with it, or None: there is no such tab.
        finder: the CLIP that finds where texts are, at another image size; None: the same.
    """
    import gradio

    # What was uploaded is looked for every hour, and deleted after a day.
    cleaned = {"analytics_enabled": False, "delete_cache": (3600, 86400)}
    with gradio.Blocks(title="keras-clip", **cleaned) as page:
        gradio.Markdown(f"## keras-clip\n`{name}`, on this machine alone")
        with gradio.Tab("Classify"):
            _classify(gradio, clip)
        if index is not None:
            with gradio.Tab("Search"):
                _search(gradio, clip, index)
        with gradio.Tab("Where"):
            _where(gradio, finder or clip)
    return page


def friendly(function):
    """A function whose errors the page shows as what they say, and not as a trace."""

    @wraps(function)
    def call(*values):
        import gradio

        try:
            return function(*values)
        except (ValueError, OSError, ImportError) as error:
            raise gradio.Error(str(error), print_exception=False) from error

    return call


def _classify(gradio, clip):
    with gradio.Row():
        with gradio.Column(scale=1):
            picture = _picture(gradio)
            labels = gradio.Textbox(label="Labels", placeholder=_EXAMPLE, elem_id="labels")
            template = gradio.Textbox(label="Template", value=TEMPLATE)
            button = gradio.Button("Classify", variant="primary", elem_id="classify")
        with gradio.Column(scale=1):
            answer = gradio.Label(label="Answers", num_top_classes=10, elem_id="answers")
    _join(gradio, button, partial(answers.classify, clip), [picture, labels, template], answer)


def _search(gradio, clip, index):
    with gradio.Row():
        with gradio.Column(scale=1):
            text = gradio.Textbox(label="Text", placeholder="a red arrow", elem_id="query")
            picture = _picture(gradio, "or a picture like it, or both")
            count = gradio.Slider(1, 48, 12, step=1, label="Pictures")
            button = gradio.Button("Search", variant="primary", elem_id="search")
        with gradio.Column(scale=2):
            label = f"{len(index):,} pictures"
            found = gradio.Gallery(label=label, columns=3, height=560, buttons=[], elem_id="found")
    values = [text, picture, count]
    _join(gradio, button, partial(answers.search, clip, index), values, found)


def _where(gradio, clip):
    with gradio.Row():
        with gradio.Column(scale=1):
            picture = _picture(gradio)
            texts = gradio.Textbox(label="Texts", placeholder=_EXAMPLE, elem_id="texts")
            button = gradio.Button("Find", variant="primary", elem_id="find")
        with gradio.Column(scale=2):
            drawn = gradio.Plot(show_label=False, elem_id="drawn")
    _join(gradio, button, partial(answers.where, clip), [picture, texts], drawn)


def _picture(gradio, label="Picture"):
    return gradio.Image(label=label, type="pil", sources=["upload"], height=240)


def _join(gradio, button, function, values, answer):
    """Let a button, and Enter in every line of text, compute the answer."""
    lines = [value.submit for value in values if isinstance(value, gradio.Textbox)]
    gradio.on([button.click, *lines], friendly(function), values, answer, api_visibility="private")
