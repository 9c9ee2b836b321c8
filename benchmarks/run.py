"""Every benchmark in turn: `make bench`, or `python benchmarks/run.py [speed|loading|...]`."""

import argparse
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
BENCHMARKS = (
    "parity speed layers tokenizer loading bulk probe retrieval search pointing "
    "training patch_dropout memory plan pairs learning finetune"
).split()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("benchmarks", nargs="*", default=BENCHMARKS, metavar="BENCHMARK")
    names = parser.parse_args().benchmarks
    failed = []
    for name in names:
        print(f"\n## {name}\n", flush=True)
        if subprocess.call([sys.executable, str(HERE / f"{name}.py")]):
            failed.append(name)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
