"""What the command line says about an error."""

from keras_clip.catalogue import BUNDLED_PRESET


def told(error, options):
    """What to tell about an error; the kind too where the text was not made for users."""
    text = str(error) or "no reason given"
    if not isinstance(error, (ValueError, OSError, ImportError)):
        text = f"{type(error).__name__}: {text} (KERAS_CLIP_DEBUG=1 shows where)"
    from keras_clip.url_files import DownloadError

    if isinstance(error, DownloadError) and getattr(options, "preset", None):
        text += f" Without a network: --preset {BUNDLED_PRESET}, which is small and knows coloured"
        text += " shapes and handwritten digits only."
    return text
