"""Choosing an installed backend before Keras is imported."""

import importlib.util
import json
import os
import subprocess
import sys
from importlib.machinery import ModuleSpec

import pytest

from keras_clip import backend as module
from keras_clip.backend import BackendMissingError, choose_backend, choose_backend_or_exit


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with the given backends, Keras settings and environment; Keras not imported."""

    def set_up(installed, configured=None, asked=None, folders=()):
        def find_spec(name):
            if name in folders:
                return ModuleSpec(name, None)
            return ModuleSpec(name, None, origin=f"{name}.py") if name in installed else None

        monkeypatch.setattr(importlib.util, "find_spec", find_spec)
        monkeypatch.delitem(sys.modules, "keras", raising=False)
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        monkeypatch.setenv("KERAS_BACKEND", asked or "")
        if configured is not None:
            (tmp_path / "keras.json").write_text(configured)

    return set_up


def settings(name):
    return json.dumps({"backend": name, "floatx": "float32"})


@pytest.mark.parametrize("name", ["jax", "torch", "tensorflow"])
def test_configured_backend_is_kept_when_installed(machine, capsys, name):
    machine({"jax", "torch", "tensorflow"}, settings(name))
    assert choose_backend() == (name, None)
    assert os.environ["KERAS_BACKEND"] == ""
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("installed", "expected"),
    [({"jax", "torch"}, "jax"), ({"torch"}, "torch"), ({"jax"}, "jax")],
)
def test_default_backend_absent_picks_an_installed_one_and_says_so(
    machine, capsys, installed, expected
):
    machine(installed)
    name, notice = choose_backend()
    assert name == os.environ["KERAS_BACKEND"] == expected
    said = capsys.readouterr().err
    assert said == notice + "\n"
    assert "tensorflow" in said and f"using {expected}" in said


def test_configured_backend_absent_picks_tensorflow_last(machine):
    machine({"tensorflow"}, settings("torch"))
    assert choose_backend()[0] == os.environ["KERAS_BACKEND"] == "tensorflow"


def test_a_folder_named_like_a_backend_is_no_backend(machine):
    machine({"torch"}, settings("jax"), folders={"jax"})
    assert choose_backend()[0] == "torch"


@pytest.mark.parametrize("text", ["not json", "[]", '{"backend": 3}', "{}"])
def test_unreadable_settings_mean_the_default(machine, text):
    machine({"tensorflow", "jax"}, text)
    assert choose_backend() == ("tensorflow", None)


def test_the_environment_wins_over_the_settings(machine):
    machine({"jax", "torch"}, settings("jax"), asked="torch")
    assert choose_backend() == ("torch", None)


def test_backend_asked_for_but_absent_is_an_error_that_names_another(machine):
    machine({"torch"}, settings("torch"), asked="jax")
    with pytest.raises(BackendMissingError, match=r"keras-clip\[jax\].*KERAS_BACKEND=torch"):
        choose_backend()


def test_a_backend_of_keras_that_we_do_not_know_is_left_to_keras(machine):
    machine(set(), asked="openvino")
    assert choose_backend() == ("openvino", None)


def test_nothing_is_changed_once_keras_is_imported(machine, monkeypatch):
    machine({"torch"}, settings("jax"))
    monkeypatch.setitem(sys.modules, "keras", module)
    assert choose_backend() == ("jax", None)
    assert os.environ["KERAS_BACKEND"] == ""


def test_no_backend_is_one_line_and_exit_code_2(machine, capsys):
    machine(set())
    with pytest.raises(SystemExit) as stop:
        choose_backend_or_exit()
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert 'pip install "keras-clip[jax]"' in said


def test_the_package_itself_chooses_before_it_imports_keras(tmp_path):
    code = (
        "import importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n in {'jax', 'torch', 'tensorflow'} else real(n, *a)\n"
        "import keras_clip, keras_clip.backend\n"
        "try:\n    keras_clip.from_preset\n"
        "except ImportError as error:\n    print(error)\n"
        "print(hasattr(keras_clip, '__wrapped__'))\n"
        "keras_clip.backend.choose_backend_or_exit()"
    )
    environment = dict(os.environ, KERAS_BACKEND="", KERAS_HOME=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2
    first, second = done.stdout.splitlines()
    assert "none is installed" in first and second == "False"
    assert "none is installed" in done.stderr and "Traceback" not in done.stderr
