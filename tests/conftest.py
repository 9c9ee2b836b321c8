"""What every test gets: a backend, a seed, a private cache, and the reference data where it is."""

import atexit
import contextlib
import importlib.util
import os
import pathlib
import re
import shutil
import sys
import tempfile

import pytest

# Everything below is read when keras, tensorflow or huggingface_hub are first imported.
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# The user's own Keras settings and Hub cache must neither steer a test nor be changed by one.
_HOME = tempfile.mkdtemp(prefix="keras-clip-tests-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ["KERAS_HOME"] = str(pathlib.Path(_HOME, "keras"))
os.environ["KERAS_CLIP_CACHE"] = str(pathlib.Path(_HOME, "keras_clip"))
if os.environ.get("KERAS_CLIP_NETWORK") != "1":
    os.environ["HF_HOME"] = str(pathlib.Path(_HOME, "huggingface"))
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.pop("HF_HUB_CACHE", None)

_REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


class _Before:
    """Calls a function just before a module is imported for the first time."""

    def __init__(self, module, function):
        self.module, self.function = module, function

    def find_spec(self, name, path=None, target=None):
        if name == self.module:
            sys.meta_path.remove(self)
            self.function()
        return None


def _import_torch():
    """In the other order the native libraries of torch and tensorflow clash."""
    if importlib.util.find_spec("torch"):
        import torch  # noqa: F401


def _define_operators():
    """Let torchvision, and so open_clip, timm and transformers, be imported beside a CPU torch.

    Stock torchvision's compiled operators load only with the torch build they were made for; its
    Python side then fails on import, because it registers gradients of operators nobody defined.
    """
    import torch

    spec = importlib.util.find_spec("torchvision")
    if spec is None:
        return
    folder = pathlib.Path(spec.origin).parent
    for compiled in folder.glob("_C*.so"):
        with contextlib.suppress(OSError):
            torch.ops.load_library(compiled)
    text = "".join(file.read_text() for file in folder.glob("_*_registrations.py"))
    for name in sorted(set(re.findall(r"torchvision::(\w+)", text))):
        if not hasattr(torch.ops.torchvision, name):
            _OPERATORS.append(torch.library.Library("torchvision", "FRAGMENT"))
            _OPERATORS[-1].define(f"{name}(Tensor x) -> Tensor")


_OPERATORS = []  # they live as long as their libraries do
sys.meta_path.insert(0, _Before("tensorflow", _import_torch))
sys.meta_path.insert(0, _Before("torchvision", _define_operators))


@pytest.fixture(scope="session")
def backend() -> str:
    """Name of the backend this run uses: "jax", "tensorflow" or "torch"."""
    import keras

    return keras.backend.backend()


@pytest.fixture(scope="session")
def reference() -> pathlib.Path:
    """Folder of the reference data; the test is skipped where it is absent."""
    beside = _REPOSITORY.parent / "shared" / "reference"
    folder = pathlib.Path(os.environ.get("KERAS_CLIP_REFERENCE") or beside)
    if not folder.is_dir():
        pytest.skip("the reference data is absent: set KERAS_CLIP_REFERENCE to its folder")
    return folder


@pytest.fixture(scope="session")
def repository() -> pathlib.Path:
    """Root of the checkout."""
    return _REPOSITORY


@pytest.fixture(autouse=True)
def _seed():
    """The same random numbers for every test, whatever ran before it."""
    import keras

    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")
