"""The house keeps its floors: imports point downwards, and nothing grows too large."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "keras_clip"
FLOORS = {
    "version": 0,
    "backend": 0,
    "cache": 0,
    "layers": 1,
    "convert": 1,
    "preprocessing": 1,
    "models": 2,
    "data": 2,
    "evaluate": 3,
    "bulk": 3,
    "search": 3,
    "plot": 3,
    "train": 4,
    "finetune": 5,
    "catalogue": 6,
    "filling": 6,
    "identification": 6,
    "presets": 6,
    "prompt_sets": 6,
    "exporting": 6,
    "download": 6,
    "hub_files": 6,
    "url_files": 6,
    "model_card": 6,
    "upload": 6,
    "sources": 6,
    "hub_partial": 6,
    "app": 6,
    "command": 6,
    "cli": 7,
    "__main__": 8,
    "__init__": 8,
}
BACKENDS = {"jax", "tensorflow", "torch"}
MAX_LINES, MAX_FACE_LINES, MAX_FUNCTION_LINES, MAX_ARGUMENTS = 250, 40, 40, 8

FOLDERS = ("keras_clip", "zoo", "tests", "examples", "benchmarks", "scripts")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
MODULES = [path for path in FILES if path.is_relative_to(PACKAGE)]


def name(path):
    return str(path.relative_to(ROOT))


def floor_name(path):
    """First part of the module's name inside the package: a folder, or a file at its root."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path):
    """Yields (line, whole name, whether at module level) of everything a file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lazy = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parent = list(path.relative_to(ROOT).parent.parts)
            base = parent[: len(parent) - node.level + 1] if node.level else []
            base = ".".join([*base, *([node.module] if node.module else [])])
            found = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for whole in found:
            yield node.lineno, whole, id(node) not in lazy


def upward(path):
    """Yields what is wrong with each import that does not point downwards."""
    here = floor_name(path)
    for line, whole, _ in imports(path):
        first, _, rest = whole.partition(".")
        there = rest.partition(".")[0]
        if first != "keras_clip":
            continue
        if there not in FLOORS:
            yield f"{name(path)}:{line} imports {whole}: the face, or a module without a floor"
            continue
        own_folder = there == here or (PACKAGE / f"{there}.py").is_file()
        limit = FLOORS[here] if own_folder else FLOORS[here] - 1
        if FLOORS[there] > limit:
            yield (
                f"{name(path)}:{line} (floor {FLOORS[here]}) imports {whole} "
                f"(floor {FLOORS[there]}): move it down, or pass the value in"
            )


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_point_downwards(path):
    assert floor_name(path) in FLOORS, "give the new module a floor in FLOORS"
    if path != PACKAGE / "__init__.py":
        assert not list(upward(path))


def test_an_upward_import_is_seen(monkeypatch):
    fake = PACKAGE / "layers" / "fake.py"
    text = (
        "from keras_clip.models import x\nfrom ..presets import y\nimport keras_clip\n"
        "def f():\n    from keras_clip.convert import z\n"
        "from keras_clip.layers.pooling import a\nfrom . import b\nfrom keras_clip import version\n"
    )
    monkeypatch.setattr(pathlib.Path, "read_text", lambda self, encoding: text)
    assert len(list(upward(fake))) == 4


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_backends_and_libraries_stay_where_they_belong(path):
    floor = floor_name(path)
    for line, whole, at_once in imports(path):
        library, where = whole.partition(".")[0], f"{name(path)}:{line} imports {whole}"
        if library in BACKENDS:
            assert floor not in {"convert", "preprocessing"}, f"{where}: NumPy only on this floor"
            assert not at_once, f"{where} at once: import it inside the function that needs it"
        if floor == "convert":
            assert library != "keras", f"{where}: conversion is NumPy in, NumPy out"


def test_one_file_of_preprocessing_imports_keras():
    users = {
        name(path)
        for path in MODULES
        if floor_name(path) == "preprocessing"
        for _, whole, _ in imports(path)
        if whole.partition(".")[0] == "keras"
    }
    assert len(users) <= 1, f"only the in-graph layer's file may import keras, not {sorted(users)}"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_sizes(path):
    text = path.read_text(encoding="utf-8")
    most = MAX_FACE_LINES if path == PACKAGE / "__init__.py" else MAX_LINES
    lines = text.count("\n")
    assert lines <= most, f"{name(path)} has {lines} lines, more than {most}: split it by noun"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            where = f"{name(path)}:{node.lineno} {node.name}"
            lines = code_lines(node)
            assert lines <= MAX_FUNCTION_LINES, f"{where} has {lines} lines: split it"
            count = len([*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs])
            method = bool(node.args.args) and node.args.args[0].arg in {"self", "cls"}
            if node.name != "__init__":  # a layer's options are its config, one argument each
                assert count - method <= MAX_ARGUMENTS, f"{where} has {count - method} arguments"


def code_lines(function):
    """Lines of a function without its docstring, which may be as long as it is useful."""
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        lines -= docstring.end_lineno - docstring.lineno + 1
    return lines


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_is_named_by_what_it_holds(path):
    assert path.stem.strip("_") not in {"utils", "util", "helpers", "helper", "common", "misc"}
