"""Installs the oldest allowed version of every dependency and runs the quick tests on them.

The floors of pyproject.toml are taken all together, so that each is one that was seen to pass:
those of the package, of its extras, and of the backend that the tests run on. What only the tests
need, reference implementations above all, is as new as the floors allow; what needs newer skips.

Examples:
  python scripts/oldest.py
  python scripts/oldest.py --backend tensorflow --into /tmp/oldest
  python scripts/oldest.py --into /tmp/oldest -- tests/test_layers.py -x
"""

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

from test_matrix import QUICK, run_parallel, summary

ROOT = Path(__file__).resolve().parent.parent
BACKENDS = ["jax", "tensorflow", "torch"]
# Tools of those who work on the package; KerasHub, which brings TensorFlow on every backend.
LEFT_OUT = {"test", "bench", "dev", "hub"}
# They take minutes, and go over files and texts of our own rather than over other libraries.
SLOWEST = ["readme", "hostile_pickles", "mutated_files", "mutated_models", "package"]
# Old libraries call what newer ones beside them deprecate, which no version of ours can mend.
ARGUMENTS = ["-o", "filterwarnings=default", *(f"--ignore=tests/test_{x}.py" for x in SLOWEST)]


def floors(project: dict, backend: str) -> dict[str, str]:
    """The lowest version of each dependency that pyproject.toml's `[project]` allows."""
    entries = list(project["dependencies"])
    for extra, more in project["optional-dependencies"].items():
        if extra not in LEFT_OUT and (extra not in BACKENDS or extra == backend):
            entries += more
    if backend != "jax":  # Orbax needs it on every backend
        entries += project["optional-dependencies"]["jax"]
    found = {}
    for entry in entries:
        name, floor = re.fullmatch(r"([\w.-]+)(?:\[[\w,]+\])?(?:>=([\w.]+))?", entry).groups()
        if name == project["name"]:
            continue
        if floor is None or found.setdefault(name, floor) != floor:
            raise ValueError(f"{entry} in pyproject.toml: give one floor, {name}>=VERSION")
    return found


def install(folder: Path, pins: dict[str, str], backend: str) -> str:
    """Installs the package with these versions; the path of the Python that has them."""
    if not (folder / "pyvenv.cfg").is_file():
        venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    held = (ROOT / "constraints.txt").read_text().splitlines()
    held = [line for line in held if line.partition("==")[0] not in pins]
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join([*held, ""]))
    oldest = [f"{name}=={version}" for name, version in pins.items()]
    pip = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, "pip>=25"], check=True)  # older ones search for longer
    wanted = [*oldest, "-e", f"{ROOT}[test,{backend}]"]  # what is asked for first is settled first
    subprocess.run([*pip, "-c", constraints, *wanted], check=True)
    return python


def main() -> int:
    """Parses the command line, installs, tests, prints; returns 0 if everything passed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", choices=BACKENDS, default="jax", help="default: jax")
    parser.add_argument("--into", type=Path, help="where the environment is kept; else it is not")
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    options = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = floors(project, options.backend)
    for name, version in sorted(pins.items()):
        print(f"{name:<18}{version:>10}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.into or Path(temporary)
        python = install(folder.resolve(), pins, options.backend)
        title = f"{options.backend}, oldest"
        arguments = [*ARGUMENTS, *options.pytest]
        run = run_parallel(title, options.backend, QUICK, arguments, python)
    print(summary([run]), flush=True)
    return 0 if run.ok and run.passed else 1


if __name__ == "__main__":
    sys.exit(main())
