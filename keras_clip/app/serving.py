"""The page on a port of this machine, and of no other."""

import os

from keras_clip.app.page import STYLE, build_page, theme
from keras_clip.models.clip import require_clip
from keras_clip.presets import from_preset

# What the browser may ask for, whatever Gradio's page or a library of it names: this server alone.
_POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; object-src 'none'; "
    "frame-ancestors 'self'"
)


def serve(preset=None, index=None, port=7860, image_size=None):
    """Open the page on http://127.0.0.1: a running gradio.Blocks.

    Its `local_url` says where it is, `block_thread()` waits, `close()` ends it.

    Args:
        preset: whatever `from_preset` takes, a CLIP; None: the model of the index.
        index: directory of an index of pictures, made with it, or None.
        port: int.
        image_size: int or None, pixels. Of the pictures in which texts are found; None: the
            model's own.

    Raises:
        ImportError: Gradio is not installed.
        ValueError: the preset is no CLIP, or the index was made with other weights.
        OSError: the port is taken.
    """
    # Before Gradio is imported, which would report that it has been.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise ImportError('The page needs Gradio: pip install "keras-clip[app]".') from error
    from starlette.middleware import Middleware

    opened = None if index is None else _index(index)
    preset = preset or opened.description.model
    clip = _clip(preset)
    if opened is not None:
        _check(opened, preset, clip)
    finder = clip if image_size is None else _clip(preset, image_size=image_size)
    page = build_page(clip, str(preset), opened, finder)
    try:
        page.launch(
            server_name="127.0.0.1", server_port=port, share=False, quiet=True, ssr_mode=False,
            prevent_thread_lock=True, footer_links=[], theme=theme(), css=STYLE,
            allowed_paths=[] if opened is None else [opened.description.root],
            app_kwargs={"middleware": [Middleware(_Policy)]},
        )  # fmt: skip
    except OSError as error:
        raise OSError(f"Port {port} is taken, or not allowed: give another, --port.") from error
    return page


def _clip(preset, **sized):
    return require_clip(from_preset(preset, **sized), preset)


def _index(directory):
    from keras_clip.search import Index

    return Index.open(directory)


def _check(index, preset, clip):
    from keras_clip.search.description import Description

    towers = {name: clip.get_layer(name) for name in ("vision", "text")}
    index.description.check(Description.of(preset, **towers), index.directory)


class _Policy:
    """Sends `_POLICY` with every answer, so that the page reaches nothing beyond this machine."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def with_policy(message):
            if message["type"] == "http.response.start":
                header = (b"content-security-policy", _POLICY.encode())
                message = {**message, "headers": [*message.get("headers", ()), header]}
            await send(message)

        await self.app(scope, receive, with_policy)
