"""Runs the tests on each backend in turn and ends with one summary of all of them."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

# Two workers fill the two cores of a small machine; each holds Keras, a backend and torch for the
# references, 1 to 2 GB, or 6 for a real size, so that more would need more memory than they save
# time.
WORKERS = "2"
QUICK = "not slow and not network and not speed"


@dataclass
class Run:
    """One pytest process: what it ran on, what it counted, and whether it was content."""

    title: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    ok: bool = True


def run_pytest(
    title: str, backend: str, arguments: list[str], python: str = sys.executable, **environment: str
) -> Run:
    """Runs pytest on a backend and counts from its report, which no plugin changes the look of."""
    environment = {**environment, **os.environ, "KERAS_BACKEND": backend}
    environment["TF_CPP_MIN_LOG_LEVEL"] = "2"
    print(f"\n=== {title} ===", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [python, "-m", "pytest", "-q", f"--junitxml={report}", *arguments]
        start = time.monotonic()
        code = subprocess.run(command, env=environment).returncode
        run = Run(title, seconds=time.monotonic() - start)
        run.ok = code in (0, 5)  # 5: no test carries this marker
        for suite in ElementTree.parse(report).iter("testsuite") if report.is_file() else ():
            count = {key: int(suite.get(key, 0)) for key in ("tests", "errors", "failures")}
            run.skipped += int(suite.get("skipped", 0))
            run.failed += count["errors"] + count["failures"]
            run.passed += count["tests"] - count["errors"] - count["failures"]
    run.passed -= run.skipped
    if not run.ok and run.failed == 0:
        run.failed = 1  # it died before it could count
    return run


def run_parallel(
    title: str, backend: str, marks: str, more: list[str], python: str = sys.executable
) -> Run:
    """Runs the tests with these marks on two workers."""
    arguments = ["-n", WORKERS, "--dist", "loadfile", "-m", marks, *more]
    environment = {
        "OMP_NUM_THREADS": "1",  # workers that each start a thread per core would fight over them
        # Tiny models compile longer than they run, and a third of that is optimisation.
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
    }
    return run_pytest(title, backend, arguments, python, **environment)


def run_backend(backend: str, more: list[str]) -> list[Run]:
    """Runs the quick tests, then those that measure time with the machine idle."""
    return [
        run_parallel(backend, backend, QUICK, more),
        run_pytest(f"{backend}, speed", backend, ["-m", "speed", *more]),
    ]


def summary(runs: list[Run]) -> str:
    """The table of all runs; its last line is the sum over them."""
    lines = [f"\n{'':<18}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}"]
    for run in runs:
        counts = f"{run.passed:>8}{run.failed:>8}{run.skipped:>9}{run.seconds:>9.0f}"
        lines.append(f"{run.title:<18}{counts}{'' if run.ok else '  FAILED'}")
    passed, failed, skipped = (
        sum(getattr(run, name) for run in runs) for name in ("passed", "failed", "skipped")
    )
    return "\n".join([*lines, "", f"{passed} passed, {failed} failed, {skipped} skipped"])


def main() -> int:
    """Parses the command line, runs, prints; returns 0 if everything passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("backends", nargs="+", choices=["jax", "tensorflow", "torch"])
    parser.add_argument("--slow", help="backend on which to run the real-size tests as well")
    own = sys.argv[1:]
    cut = own.index("--") if "--" in own else len(own)
    options, more = parser.parse_args(own[:cut]), own[cut + 1 :]
    runs = [run for backend in options.backends for run in run_backend(backend, more)]
    if options.slow:
        runs.append(run_parallel(f"{options.slow}, slow", options.slow, "slow", more))
    print(summary(runs), flush=True)
    nothing = not any(run.passed for run in runs)
    return 1 if nothing or not all(run.ok for run in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
