"""Makes Keras start on a backend that is installed; imports neither Keras nor a backend."""

import importlib.util
import json
import os
import pathlib
import sys

BACKENDS = ("jax", "torch", "tensorflow")  # in the order in which one is picked


class BackendMissingError(ImportError):
    """No backend that Keras could run on is installed; the message says what to install."""


def choose_backend() -> tuple[str, str | None]:
    """Picks an installed backend where Keras's configured one is absent, before Keras is imported.

    Whoever set KERAS_BACKEND gets that backend or an error. Otherwise Keras's own settings file
    decides, and only where that backend is absent is KERAS_BACKEND set to an installed one.

    Returns:
        The backend's name, and the line that says why it is not the configured one, or None.
        That line has been written to stderr.

    Raises:
        BackendMissingError: if the backend asked for, or every backend, is absent.
    """
    asked = os.environ.get("KERAS_BACKEND")
    name = asked or configured_backend()
    if "keras" in sys.modules or name not in BACKENDS or _installed(name):
        return name, None
    there = next((other for other in BACKENDS if _installed(other)), None)
    if asked:
        instead = f", or set KERAS_BACKEND={there}, which is installed" if there else ""
        raise BackendMissingError(
            f"KERAS_BACKEND is {name}, which is not installed: "
            f'pip install "keras-clip[{name}]"{instead}.'
        )
    if there is None:
        raise BackendMissingError(
            "Keras needs one of jax, torch or tensorflow, and none is installed: "
            'pip install "keras-clip[jax]" (the smallest), or [torch], or [tensorflow].'
        )
    os.environ["KERAS_BACKEND"] = there
    notice = (
        f"keras-clip: Keras is configured for {name}, which is not installed; using {there} "
        f"(set KERAS_BACKEND={there} to make this your choice)."
    )
    print(notice, file=sys.stderr)
    return there, notice


def choose_backend_or_exit() -> str:
    """`choose_backend` for a command line: one line on stderr and exit code 2 instead of an error.

    Returns:
        The backend's name.
    """
    try:
        return choose_backend()[0]
    except BackendMissingError as error:
        print(f"keras-clip: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def configured_backend() -> str:
    """Backend that Keras's settings file names, found where Keras itself looks.

    Returns:
        The name; "tensorflow", Keras's default, where there is no readable file.
    """
    home = os.environ.get("KERAS_HOME")
    if home is None:
        user = pathlib.Path.home()
        home = (user if os.access(user, os.W_OK) else pathlib.Path("/tmp")) / ".keras"
    try:
        settings = json.loads(pathlib.Path(home, "keras.json").expanduser().read_text())
    except (OSError, ValueError):
        return "tensorflow"
    name = settings.get("backend") if isinstance(settings, dict) else None
    return name if isinstance(name, str) else "tensorflow"


def _installed(name: str) -> bool:
    """Whether a real package of that name can be imported; a mere folder of that name is none."""
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None
