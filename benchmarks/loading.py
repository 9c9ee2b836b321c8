"""Time and memory of loading a CLIP of real size, with random weights, against the peers.

python benchmarks/loading.py [--models base large giant] [--backends jax torch] [--repeats 5]

Every row is the best of some fresh processes: seconds from the call to the model that is ready, and
the peak of memory above what the imports took, as a multiple of the model's float32 size.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

PRESETS = {
    "base": "clip_vit_base_patch32_openai",
    "large": "clip_vit_large_patch14_openai",
    "giant": "clip_vit_giant_patch14_laion2b_s34b_b88k",  # 5.5 GB, in two shards
}
SHARD_BYTES = 5 * 10**9

START = """
import json, os, resource, sys, time
path, size = sys.argv[1], float(sys.argv[2])
"""
OURS = """
import keras, keras_clip
keras.ops.zeros(1)
from keras_clip.presets import from_preset
"""
OPEN_CLIP = """
import peers
torch = peers._torch()
import open_clip
from open_clip.model import build_model_from_openai_state_dict
"""
TRANSFORMERS = """
import importlib.util
if importlib.util.find_spec("torchvision"):
    import peers
    peers._torch()
import torch
from transformers import CLIPModel
"""
MEASURE = """
from high_water import peak_bytes
resident = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
start = time.perf_counter()
model = {load}
seconds = time.perf_counter() - start
peak = peak_bytes()
print(json.dumps([seconds, (peak - resident) / size]))
"""
JOBS = {  # name: (imports, call, layout)
    "keras-clip": (OURS, "from_preset(path)", "openai"),
    "open_clip, torch.load": (
        OPEN_CLIP,
        "build_model_from_openai_state_dict(torch.load(path), cast_dtype=torch.float32).float()",
        "openai",
    ),
    "keras-clip ": (OURS, "from_preset(path)", "huggingface_clip"),
    "transformers": (
        TRANSFORMERS,
        "CLIPModel.from_pretrained(path, dtype=torch.float32)",
        "huggingface_clip",
    ),
}


def write_random(preset, layouts, folder):
    """Write random weights in each layout: a half precision file, or a directory of transformers.

    Returns:
        ({layout: path}, float32 bytes of the model).
    """
    from keras_clip import preset_info
    from keras_clip.convert import table, write_safetensors, write_torch_zip
    from keras_clip.convert.dialects import DIALECTS
    from keras_clip.filling import FAMILIES

    info = preset_info(preset)
    built = FAMILIES["clip"][0](info["config"]).to_dict()
    pool = np.random.default_rng(0).standard_normal(2**24, "float32") * np.float32(0.02)
    values = {
        name: partial(np.resize, pool, shape) for name, shape in weight_shapes(preset).items()
    }
    paths = {layout: folder / layout for layout in layouts}
    for layout, path in paths.items():
        dialect = DIALECTS[layout]
        if layout == "openai":
            tensors = table.write(dialect.table(built), values, "float16")
            write_torch_zip(path, tensors, *dialect.config_to(built).values())
            continue
        path.mkdir()
        tensors = table.write(dialect.table(built), values)
        write_safetensors(path / "model.safetensors", tensors, {"format": "pt"}, SHARD_BYTES)
        for name, content in dialect.config_to(built).items():
            (path / name).write_text(json.dumps(content))
    return paths, 4 * info["params"]


def weight_shapes(preset):
    """{weight name: shape} of a preset, without memory for its weights."""
    import keras

    from keras_clip import from_preset
    from keras_clip.models.weights import named_weights

    with keras.StatelessScope(initialize_variables=False):
        model = from_preset(preset, load_weights=False)
    return {name: tuple(weight.shape) for name, weight in named_weights(model).items()}


def measure(name, path, size, backend):
    """(seconds, peak as a multiple of the model's size) of a fresh process; None if it fails."""
    imports, load, _ = JOBS[name]
    script = START + imports + MEASURE.format(load=load)
    here = os.path.dirname(os.path.abspath(__file__))
    places = [here, os.path.dirname(here), os.environ.get("PYTHONPATH", "")]
    environment = {"PYTHONPATH": os.pathsep.join(places), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(path), str(size)],
        env={**os.environ, **environment, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        print(f"{name.strip()} cannot run: {done.stderr.splitlines()[-1]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=PRESETS, default=["base", "giant"])
    parser.add_argument("--backends", nargs="+", default=["jax", "tensorflow", "torch"])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print("| model | layout | loader | backend | seconds | peak memory / float32 size |")
    print("|---|---|---|---|---|---|")
    for model in options.models:
        with tempfile.TemporaryDirectory() as folder:
            # OpenAI's files imply heads of width 64; those of giant have 88.
            layouts = ["huggingface_clip"] if model == "giant" else ["openai", "huggingface_clip"]
            paths, size = write_random(PRESETS[model], layouts, Path(folder))
            for layout in paths:
                rows = [
                    (name, backend)
                    for name, job in JOBS.items()
                    if job[2] == layout
                    for backend in (
                        options.backends if name.startswith("keras-clip") else ["torch"]
                    )
                ]
                found = {row: [] for row in rows}
                for _ in range(options.repeats):  # in turn, so that all meet the same machine
                    for name, backend in rows:
                        found[name, backend].append(measure(name, paths[layout], size, backend))
                for (name, backend), results in found.items():
                    if None not in results:
                        seconds, peak = (min(column) for column in zip(*results, strict=True))
                        cells = (model, layout, name.strip(), backend)
                        print(f"| {' | '.join(cells)} | {seconds:.2f} | {peak:.2f} |", flush=True)


if __name__ == "__main__":
    main()
