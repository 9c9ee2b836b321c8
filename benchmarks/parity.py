"""Largest differences from the original libraries' numbers: `python benchmarks/parity.py`.

Each is a share of the output's largest value; float32 alone is good for about 3e-6. The checkpoints
are those of the tests: small ones in the official layouts (tests/test_parity.py), and random
weights of real sizes, which their own library computes here too (tests/test_real_sizes.py).
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
BACKENDS = ("jax", "tensorflow", "torch")
TITLES = {
    "openai_clip.pt": "CLIP in OpenAI's layout, small",
    "huggingface_clip": "CLIP in transformers' layout, small",
    "huggingface_vit": "ViT in transformers' layout, small",
    "google_vit.npz": "ViT in Google's layout, small",
    "keras_hub_clip": "CLIP in KerasHub's layout, small",
    "open_clip_mean": "CLIPA in OpenCLIP's layout, small",
    "open_clip_bias": "CLIP with a sigmoid in OpenCLIP's layout, small",
    "open_clip_resnet": "CLIP ResNet in OpenCLIP's layout, small",
}


def largest():
    """Return {checkpoint: largest difference} on the backend that Keras runs here."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    import peers

    peers._torch()
    import test_parity as parity
    import test_real_sizes as real_sizes

    found = {}
    for name, answers in parity.COMMITTED.items():
        paths = parity.FIXTURES / name, parity.FIXTURES / answers
        found[TITLES[name]] = max(parity.differences(*paths).values())
    for name in real_sizes.MODELS:
        with tempfile.TemporaryDirectory() as folder:
            differences = real_sizes.differences(name, pathlib.Path(folder))
            found[f"{name}, random weights"] = max(differences.values())
    return {name: float(value) for name, value in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--here", action="store_true", help="this backend only, as one JSON line")
    if parser.parse_args().here:
        print(json.dumps(largest()))
        return
    found = {}
    for backend in BACKENDS:
        environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, __file__, "--here"]
        run = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        found[backend] = json.loads(run.stdout.splitlines()[-1])
    print("| checkpoint | " + " | ".join(BACKENDS) + " |\n|---" + "|--:" * len(BACKENDS) + "|")
    for name in found[BACKENDS[0]]:
        print(f"| {name} | " + " | ".join(f"{found[b][name]:.1e}" for b in BACKENDS) + " |")


if __name__ == "__main__":
    main()
