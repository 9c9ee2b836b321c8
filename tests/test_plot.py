"""Plots: what they say, where their maps lie, how they are written, and what is refused."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from keras_clip import ImageConfig, plot
from keras_clip.plot import saving
from keras_clip.plot.overlays import lit
from keras_clip.preprocessing.crop_box import peak_place, seen_box


@pytest.fixture
def pictures(tmp_path):
    """A path, bytes and a PIL picture."""
    random = np.random.default_rng(0)
    images = [Image.fromarray(random.integers(0, 256, (20, 30, 3), "uint8")) for _ in range(3)]
    for number, image in enumerate(images):
        image.save(tmp_path / f"{number}.png")
    return [tmp_path / "0.png", (tmp_path / "1.png").read_bytes(), images[2]]


def texts(figure):
    """Everything that is written in a figure."""
    found = [text.get_text() for axes in figure.axes for text in axes.texts]
    for axes in figure.axes:
        found += [label.get_text() for label in (*axes.get_xticklabels(), *axes.get_yticklabels())]
    return found


def drawn(figure, tmp_path):
    """The pixels of a figure as it is written."""
    assert isinstance(figure, Figure)
    plot.save(figure, tmp_path / "plots" / "drawn.png")
    with Image.open(tmp_path / "plots" / "drawn.png") as image:
        return np.asarray(image.convert("RGB"))


def test_bars_are_green_for_the_truth_and_red_for_a_wrong_answer(pictures, tmp_path):
    answers = [{"label": "a $cat$", "probability": 0.75}, {"label": "a dog", "probability": 0.25}]
    results = [{"image": picture, "answers": answers} for picture in pictures]
    figure = plot.zero_shot_bars(results, ["a $cat$", "a dog", "a dog"])
    drawn(figure, tmp_path)
    assert texts(figure).count("a $cat$") == 3 and "75.0 %" in texts(figure)
    bars = [
        [patch.get_facecolor()[:3] for patch in axes.patches][1::2]
        for axes in figure.axes
        if len(axes.patches) == 4
    ]
    first = [colours[0] for colours in bars]
    assert first[0] != first[1] == first[2]
    assert bars[1][1] == first[0]  # the truth is green on the second place too
    with pytest.raises(ValueError, match="no results"):
        plot.zero_shot_bars([])


def test_similarity_matrix_has_each_cosine_and_the_best_in_bold(pictures, tmp_path):
    cosines = np.array([[0.1, 0.2], [0.33, -0.4], [0.5, 0.66]])
    figure = plot.similarity_matrix(pictures, ["a cat", "a dog"], cosines)
    drawn(figure, tmp_path)
    cells = [text for axes in figure.axes for text in axes.texts if "." in text.get_text()]
    assert {text.get_text() for text in cells} == {f"{value:.2f}" for value in cosines.flat}
    bold = {text.get_text() for text in cells if text.get_fontweight() == "bold"}
    assert bold == {"0.20", "0.33", "0.66"}
    with pytest.raises(ValueError, match="2 pictures and 2 texts"):
        plot.similarity_matrix(pictures[:2], ["a cat", "a dog"], cosines)


def test_confusion_counts_what_is_right_and_lists_the_commonest_mistakes(tmp_path):
    matrix = [[8, 2, 0], [0, 10, 0], [5, 1, 4]]
    figure = plot.confusion_matrix(matrix, ["a small cat", "a small dog", "a small fox"])
    drawn(figure, tmp_path)
    said = texts(figure)
    assert "73.3 % of 30 are right" in said  # 22 of 30
    lines = [text for text in said if "→" in text]
    assert lines[1:] == ["fox → cat", "cat → dog", "fox → dog"]
    assert {"5 of 10", "2 of 10", "1 of 10"} <= set(said)
    assert {"cat", "dog", "fox"} <= set(said)  # without the words that all of them begin with
    assert {"8", "10", "4"} <= set(said) and "0" not in said
    with pytest.raises(ValueError, match=r"\(3, 3\), but there are 2 classes"):
        plot.confusion_matrix(matrix, ["a", "b"])


def test_confusion_of_a_hundred_classes_fits_on_a_page_and_of_no_mistakes_says_so(tmp_path):
    matrix = np.eye(100, dtype=int) * 7
    figure = plot.confusion_matrix(matrix, [f"class {number}" for number in range(100)])
    assert drawn(figure, tmp_path).shape[1] <= 1200
    said = texts(figure)
    assert "no mistake" in said and "100.0 % of 700 are right" in said
    assert len([text for text in said if text.isdecimal()]) <= 100  # names, and no counts
    plot.confusion_matrix(np.zeros((2, 2), int), ["a", "b"])  # no picture at all


def test_search_grid_shows_cosines_names_and_the_query(pictures, tmp_path):
    figure = plot.search_grid(pictures, [0.9, 0.5, 0.123456], "a red $ circle")
    drawn(figure, tmp_path)
    assert {"0.900", "0.123", "0.png", "a red $ circle"} <= set(texts(figure))
    with pytest.raises(ValueError, match="3 pictures"):
        plot.search_grid(pictures, [0.9])


def test_reliability_gives_the_calibration_error(tmp_path):
    found = {
        "confidence": [0.25, np.nan, 0.75],
        "accuracy": [0.5, np.nan, 0.75],
        "count": [3, 0, 1],
    }
    figure = plot.reliability({"before": found, "after": found})
    drawn(figure, tmp_path)
    assert "error 0.188" in texts(figure)  # 3 of 4 are off by 0.25
    with pytest.raises(ValueError, match="no curves"):
        plot.reliability({})


def test_curves_of_probes_mark_what_was_chosen(tmp_path):
    figure = plot.probe_sweep({1.0: 0.5, 0.01: 0.25, 100.0: 0.4}, chosen=1.0)
    drawn(figure, tmp_path)
    assert "C = 1: 50.0 %" in texts(figure)
    (line, _) = figure.axes[0].lines
    assert line.get_xydata().tolist() == [[0.01, 25], [1, 50], [100, 40]]
    one = SimpleNamespace(shots=(1, 4), mean=np.array([0.5, 0.75]), deviation=np.array([0.1, 0]))
    figure = plot.few_shot({"probe": one}, baseline=0.6)
    drawn(figure, tmp_path)
    assert {"probe", "zero-shot", "1", "4"} <= set(texts(figure))


@pytest.mark.parametrize("size", [(20, 30), (30, 20), (24, 24)])
def test_a_map_lies_where_the_model_has_seen_the_picture(size):
    height, width = size
    config = ImageConfig(size=8, resize_mode="shortest")
    left, top, right, bottom = seen_box(config, height, width)
    assert right - left == pytest.approx(min(size)) and bottom - top == pytest.approx(min(size))
    assert left + right == pytest.approx(width) and top + bottom == pytest.approx(height)
    assert seen_box(ImageConfig(size=8, resize_mode="squash"), *size) == (0, 0, width, height)
    inner = seen_box(ImageConfig(size=8, crop_fraction=0.5), *size)
    assert inner[2] - inner[0] == pytest.approx(min(size) / 2, abs=1)
    values = np.zeros((4, 4))
    values[0, 3] = 1
    x, y = peak_place(values, (left, top, right, bottom))
    assert (x, y) == pytest.approx((left + 3.5 * min(size) / 4, top + 0.5 * min(size) / 4))


def test_a_picture_keeps_its_colours_at_the_peak_and_is_pale_elsewhere():
    pixels = np.full((20, 40, 3), (200, 30, 30), "uint8")
    values = np.zeros((2, 2))
    values[0, 1] = 1
    shown = lit(pixels, values, (10, 0, 30, 20)).astype(int)
    assert abs(shown[2, 27] - pixels[2, 27]).max() < 30  # the peak, in the seen part's corner
    for place in ((2, 2), (18, 38), (18, 12)):  # left and right of what was seen, and a low cell
        assert np.ptp(shown[place]) < 12 and shown[place].min() > 190


def test_maps_are_drawn_a_panel_each_with_their_highest_value(pictures, tmp_path):
    maps = np.random.default_rng(0).random((3, 3, 2))
    figure = plot.where(pictures[0], maps, ["a cat", "a dog"], ImageConfig(size=16))
    drawn(figure, tmp_path)
    assert {"a cat", "a dog", *(f"{maps[..., k].max():.2f}" for k in (0, 1))} <= set(texts(figure))
    figure = plot.attention_map(pictures[1], np.moveaxis(maps, -1, 0))
    drawn(figure, tmp_path)
    assert {"head 0", "head 1"} <= set(texts(figure))
    drawn(plot.attention_rollout(pictures[2], maps[..., 0]), tmp_path)
    drawn(plot.attention_rollout(pictures[2], np.zeros((2, 2))), tmp_path)
    with pytest.raises(ValueError, match="1 texts"):
        plot.where(pictures[0], maps, ["a cat"])
    with pytest.raises(ValueError, match="heads"):
        plot.attention_map(pictures[0], maps[..., 0])
    with pytest.raises(ValueError, match="rollout has the shape"):
        plot.attention_rollout(pictures[0], maps)


@pytest.mark.parametrize("suffix", saving.KINDS)
def test_every_kind_of_file_is_written(suffix, tmp_path):
    plot.save(plot.probe_sweep({1.0: 0.5}), tmp_path / f"a{suffix}")
    assert (tmp_path / f"a{suffix}").stat().st_size > 500


def test_a_file_is_whole_or_not_there(tmp_path, monkeypatch):
    figure = plot.probe_sweep({1.0: 0.5})
    (tmp_path / "old.png").write_bytes(b"old")

    def fails(path):
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(figure, "savefig", fails)
    with pytest.raises(OSError, match="no space"):
        plot.save(figure, tmp_path / "old.png")
    assert [path.name for path in tmp_path.iterdir()] == ["old.png"]
    assert (tmp_path / "old.png").read_bytes() == b"old"
    for name in ("plot", "plot.xyz"):
        with pytest.raises(ValueError, match=r"ends in one of \.png"):
            plot.save(figure, tmp_path / name)
