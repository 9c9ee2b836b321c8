"""Fixtures of the command line's tests: small presets on disk, and a call that catches output."""

import pytest
import small_models

from keras_clip import cli


@pytest.fixture(scope="module")
def clip_preset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets") / "clip"
    small_models.clip().save_to_preset(folder)
    return str(folder)


@pytest.fixture(scope="module")
def vit_preset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets") / "vit"
    small_models.vit().save_to_preset(folder)
    return str(folder)


@pytest.fixture
def run(capsys, monkeypatch):
    """Runs the command line: (exit code, standard output, standard error)."""
    monkeypatch.delenv("COLUMNS", raising=False)  # parallel workers pretend to be 80 wide

    def call(*arguments):
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as left:
            code = left.code
        out, err = capsys.readouterr()
        return code, out, err

    return call
