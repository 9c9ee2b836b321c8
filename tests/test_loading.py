"""Loading a model of real size takes little more memory than the model."""

import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["openai", "huggingface_clip"])
def test_a_large_model_peaks_near_its_own_size(layout, tmp_path, repository, backend, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(repository / "benchmarks")])
    import loading

    paths, size = loading.write_random(loading.PRESETS["large"], [layout], tmp_path)
    name = {"openai": "keras-clip", "huggingface_clip": "keras-clip "}[layout]
    assert loading.JOBS[name][2] == layout
    _, peak = loading.measure(name, paths[layout], size, backend)
    assert peak < 1.35
