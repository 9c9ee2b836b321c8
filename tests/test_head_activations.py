"""A classifier's scores are those of transformers' pipeline: softmax, sigmoid, or none."""

import keras
import numpy as np
import pytest
import test_vision_dialects
from test_vision_dialects import MODELS, makers, pictures
from tiny_models import tiny_vit

from keras_clip import CheckpointError, export_checkpoint, from_preset
from keras_clip.convert import huggingface_vit

HEADS = {
    **{name: values for name, values in MODELS.items() if "For" in name},
    "ViTForImageClassification": test_vision_dialects.DEIT,
    "MetaClip2ForImageClassification": MODELS["CLIPForImageClassification"],
}
# The pipeline's function, and what it needs.
PROBLEMS = {
    ("single_label_classification", 3): "softmax",
    ("multi_label_classification", 3): "sigmoid",
    ("multi_label_classification", 1): "sigmoid",
    ("regression", 3): None,
    ("regression", 1): None,
    (None, 3): "softmax",
    (None, 1): "sigmoid",
}


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers", minversion="5")


def saved(transformers, name, problem, classes, folder):
    """A model with a head for this kind of problem."""
    kind = getattr(transformers, name)
    labels = {i: f"class {i}" for i in range(classes)}
    values = {**HEADS[name], "id2label": labels, "label2id": {v: k for k, v in labels.items()}}
    config = kind.config_class(**values, problem_type=problem)
    model = makers().randomized(kind(config), 0)
    model.save_pretrained(folder)
    return model


def scores(transformers, model, images):
    """What the pipeline makes of each picture, in the order of the classes."""
    import torch

    processor = transformers.ViTImageProcessor()
    pipe = transformers.pipeline("image-classification", model=model, image_processor=processor)
    with torch.no_grad():
        logits = model(pixel_values=torch.from_numpy(images).permute(0, 3, 1, 2)).logits
    classes = logits.shape[1]
    found = [pipe.postprocess({"logits": row[None]}, top_k=classes) for row in logits]
    order = [f"class {i}" for i in range(classes)]
    return np.array(
        [[{one["label"]: one["score"] for one in row}[n] for n in order] for row in found]
    )


@pytest.mark.parametrize(("problem", "classes"), PROBLEMS)
@pytest.mark.parametrize("name", HEADS)
def test_scores_are_those_of_the_pipeline(transformers, name, problem, classes, tmp_path):
    model = saved(transformers, name, problem, classes, tmp_path / "theirs")
    images = pictures(32, 32)
    wanted = scores(transformers, model, images)
    ours = from_preset(tmp_path / "theirs")
    assert ours.config.head_activation == PROBLEMS[problem, classes]
    found = keras.ops.convert_to_numpy(ours(images))
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())
    export_checkpoint(ours, tmp_path / "ours")
    assert from_preset(tmp_path / "ours").config == ours.config
    again = type(model).from_pretrained(tmp_path / "ours").eval()
    np.testing.assert_allclose(
        scores(transformers, again, images), wanted, atol=1e-6 * np.abs(wanted).max()
    )


def test_a_preset_keeps_its_function(tmp_path):
    vit = tiny_vit(num_classes=2, head_activation="sigmoid")
    vit.save_to_preset(tmp_path / "vit")
    assert from_preset(tmp_path / "vit").config.head_activation == "sigmoid"


def test_an_unknown_problem_is_named():
    from types import SimpleNamespace

    head = {"classifier.weight": SimpleNamespace(shape=(3, 768))}
    with pytest.raises(CheckpointError, match="problem_type is 'ranking', known are"):
        huggingface_vit.config_from(head, {"problem_type": "ranking"})


@pytest.mark.parametrize(
    ("form", "changes"),
    [
        ("timm", {}),
        ("google", {"activation": "gelu_tanh"}),
        ("huggingface", {"head_activation": "softmax", "num_classes": 1}),
    ],
)
def test_a_function_that_a_file_cannot_say_is_refused(form, changes, tmp_path):
    vit = tiny_vit(**{"image_size": 8, "num_classes": 2, "head_activation": "sigmoid", **changes})
    with pytest.raises(CheckpointError, match=r"head_activation='\w+' would be read as '\w+'"):
        export_checkpoint(vit, tmp_path / "out", form)
    assert not list(tmp_path.iterdir())
