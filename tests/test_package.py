"""What is in the wheel and the sdist, and that the project's files agree with each other."""

import email
import importlib
import importlib.metadata
import pathlib
import re
import tarfile
import tomllib
import zipfile

import pytest

import keras_clip

MAX_WHEEL_BYTES = 8_000_000  # the bundled model may take 5 MB of it


@pytest.fixture(scope="module")
def project(repository):
    return tomllib.loads((repository / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def wheel(repository, tmp_path_factory):
    builder = pytest.importorskip("hatchling.builders.wheel").WheelBuilder(str(repository))
    (path,) = builder.build(directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"])
    return pathlib.Path(path)


@pytest.fixture(scope="module")
def wheel_names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def sources(folder, pattern):
    """Relative paths under a folder, caches left out."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob(pattern)
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_wheel_holds_the_package_and_the_zoo(repository, wheel_names):
    expected = {f"keras_clip/{path}" for path in sources(repository / "keras_clip", "*.py")}
    expected |= {f"keras_clip/zoo/{path}" for path in sources(repository / "zoo", "*.toml")}
    assert expected | {"keras_clip/py.typed"} <= wheel_names


def test_wheel_holds_nothing_else(wheel, wheel_names):
    tops = {name.partition("/")[0] for name in wheel_names}
    assert tops == {"keras_clip", f"keras_clip-{keras_clip.__version__}.dist-info"}
    assert not [name for name in wheel_names if "__pycache__" in name or "/tests/" in name]
    assert wheel.stat().st_size <= MAX_WHEEL_BYTES


def test_wheel_metadata(wheel, wheel_names):
    (path,) = (name for name in wheel_names if name.endswith(".dist-info/METADATA"))
    with zipfile.ZipFile(wheel) as archive:
        metadata = email.message_from_bytes(archive.read(path))
        scripts = archive.read(path.replace("METADATA", "entry_points.txt")).decode()
    assert metadata["Version"] == keras_clip.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert path.replace("METADATA", "licenses/LICENSE") in wheel_names
    assert "keras-clip = keras_clip.cli:main" in scripts
    core = {
        re.split(r"[^\w-]", entry, maxsplit=1)[0]
        for entry in metadata.get_all("Requires-Dist")
        if "extra ==" not in entry
    }
    assert not core & {"tensorflow", "jax", "torch", "keras-hub", "transformers"}


def test_sdist_holds_what_a_wheel_is_built_from(repository, tmp_path):
    builder = pytest.importorskip("hatchling.builders.sdist").SdistBuilder(str(repository))
    (path,) = builder.build(directory=str(tmp_path), versions=["standard"])
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "LICENSE", "README.md", "keras_clip/version.py"} <= names
    assert {f"zoo/{path}" for path in sources(repository / "zoo", "*.toml")} <= names


def test_installed_version_is_the_source_version():
    try:
        installed = importlib.metadata.version("keras-clip")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("keras-clip is run from its checkout, not installed")
    assert installed == keras_clip.__version__


def test_version_is_in_the_changelog(repository):
    assert f"\n## {keras_clip.__version__}" in (repository / "CHANGELOG.md").read_text()


def test_formatter_is_the_same_by_hand_and_before_a_commit(repository):
    pinned = re.search(r"^ruff==(\S+)$", (repository / "constraints.txt").read_text(), re.M)
    assert f"rev: v{pinned[1]}\n" in (repository / ".pre-commit-config.yaml").read_text()


def test_oldest_keras_is_the_one_that_is_tested(repository, project):
    (keras,) = (e for e in project["project"]["dependencies"] if e.startswith("keras>="))
    oldest = keras.removeprefix("keras>=")
    assert f'"=={oldest}.*"' in (repository / ".github" / "workflows" / "ci.yml").read_text()


@pytest.mark.parametrize("backend", ["jax", "tensorflow", "torch"])
def test_every_dependency_has_one_floor(repository, project, backend, monkeypatch):
    monkeypatch.syspath_prepend(repository / "scripts")
    floors = importlib.import_module("oldest").floors(project["project"], backend)
    names = {re.split(r"[^\w.-]", e, maxsplit=1)[0] for e in project["project"]["dependencies"]}
    assert names | {backend} <= floors.keys() and "keras-clip" not in floors


def test_contributing_stays_short(repository):
    assert (repository / "CONTRIBUTING.md").read_text().count("\n") <= 80
