"""Random crops, flips and colours are torchvision's, pixel by pixel and in their distribution."""

import random as python_random

import numpy as np
import pytest
from PIL import Image

from keras_clip.preprocessing import (
    Augmentation,
    ImageConfig,
    ImageError,
    ImageProcessor,
    augmentation,
)

SIZE = (14, 18)
CONFIG = ImageConfig(SIZE)


def photo(height, width, mode="RGB", seed=0):
    """A picture with smooth parts and noise."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (5, 6, 3), "uint8"))
    pixels = np.array(small.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    pixels += random.integers(-20, 21, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype("uint8")).convert(mode)


def fixed(box, **settings):
    """An Augmentation whose crop is a given box."""

    class Fixed(Augmentation):
        def crop_box(self, height, width, random):
            return box

    return Fixed(**settings)


@pytest.fixture(scope="module")
def functional():
    pytest.importorskip("torchvision")
    import torchvision.transforms.functional

    return torchvision.transforms.functional


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "LA", "CMYK"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_a_box_is_cropped_and_resized_as_torchvision_does(functional, mode, interpolation):
    # The same direction both ways: where one side shrinks and the other grows, Pillow 12 and 13
    # differ, and this package has 13's pixels on both.
    mode_of = functional.InterpolationMode(interpolation)
    for box in ((0, 0, 60, 80), (3, 5, 31, 44), (50, 60, 10, 12), (1, 0, 14, 18)):
        image = photo(60, 80, mode)
        found = fixed(box, interpolation=interpolation).pixels(image, CONFIG, rng())
        top, left, height, width = box
        expected = functional.resized_crop(image, top, left, height, width, SIZE, mode_of)
        np.testing.assert_array_equal(found, np.array(expected.convert("RGB")))


def rng(*numbers):
    return np.random.default_rng(numbers or 0)


@pytest.mark.parametrize("size", [(9, 7), (40, 40)])
def test_colours_change_as_in_torchvision(functional, size):
    image = photo(*size)
    for name in ("brightness", "contrast", "saturation"):
        for factor in (0.0, 0.37, 1.0, 1.8):
            found = getattr(augmentation, name)(image, factor)
            expected = getattr(functional, f"adjust_{name}")(image, factor)
            np.testing.assert_array_equal(np.array(found), np.array(expected), name)
    for turn in (-0.5, -0.21, 0.0, 0.004, 0.3, 0.5):
        expected = functional.adjust_hue(image, turn)
        np.testing.assert_array_equal(np.array(augmentation.hue(image, turn)), np.array(expected))


def test_flips_and_grays_are_torchvisions(functional):
    image = photo(*SIZE)
    found = fixed((0, 0, *SIZE), flip_rate=1, gray_rate=1).pixels(image, CONFIG, rng())
    expected = functional.to_grayscale(functional.hflip(image), 3)
    np.testing.assert_array_equal(found, np.array(expected))


@pytest.mark.parametrize(("height", "width"), [(1, 9), (10, 400), (400, 10), (3, 5), (2, 2)])
def test_a_picture_without_a_fitting_box_is_cropped_as_torchvision_does(height, width):
    """Whole pictures whose proportions are out of bounds: no try can succeed."""
    transforms = pytest.importorskip("torchvision.transforms")
    ratio = (3 / 4, 4 / 3) if max(height, width) > 5 else (1.1, 1.2)
    image = photo(height, width)
    expected = transforms.RandomResizedCrop.get_params(image, (1.0, 1.0), ratio)
    assert Augmentation((1, 1), ratio).crop_box(height, width, rng()) == expected


@pytest.mark.parametrize("shape", [(48, 64), (90, 40)])
@pytest.mark.parametrize("scale", [(0.9, 1.0), (0.08, 1.0)])
def test_boxes_are_distributed_as_torchvisions(shape, scale):
    stats = pytest.importorskip("scipy.stats")
    torch = pytest.importorskip("torch")
    transforms = pytest.importorskip("torchvision.transforms")
    torch.manual_seed(0)
    image, own, count = photo(*shape), Augmentation(scale), 3000
    ratio = list(own.ratio)
    draw = transforms.RandomResizedCrop.get_params
    theirs = np.array([draw(image, list(scale), ratio) for _ in range(count)])
    random = rng()
    ours = np.array([own.crop_box(*shape, random) for _ in range(count)])
    top, left, height, width = ours.T
    assert ours.min() >= 0 and (top + height).max() <= shape[0]
    assert (left + width).max() <= shape[1]
    for one, other in zip([*ours.T, height * width], [*theirs.T, theirs[:, 2] * theirs[:, 3]],
                          strict=True):  # fmt: skip
        # 20 comparisons with fixed seeds; a wrong formula has a p far below this.
        assert stats.ks_2samp(one, other).pvalue > 1e-3


def test_color_jitter_draws_each_factor_over_its_range(monkeypatch):
    drawn = {number: [] for number in range(4)}
    order = []

    def change(number):
        def changed(image, factor):
            drawn[number].append(factor)
            order.append(number)
            return image

        return changed

    monkeypatch.setattr(augmentation, "CHANGES", tuple(map(change, range(4))))
    jitter = Augmentation(color_jitter=(0.4, 1.5, 0.2, 0.1), color_jitter_rate=0.5)
    random, image = rng(), photo(3, 3)
    for _ in range(2000):
        jitter.pixels(image, CONFIG, random)
    assert 900 < len(drawn[0]) < 1100  # five standard deviations are 112
    for number, bounds in enumerate([(0.6, 1.4), (0, 2.5), (0.8, 1.2), (-0.1, 0.1)]):
        width = bounds[1] - bounds[0]
        assert bounds[0] <= min(drawn[number]) < bounds[0] + width / 50
        assert bounds[1] - width / 50 < max(drawn[number]) <= bounds[1]
    first = np.bincount(order[::4], minlength=4) / len(order[::4])
    assert (abs(first - 0.25) < 0.07).all()


def test_the_steps_come_in_open_clips_order(functional):
    """Crop, colours, gray: replayed with torchvision by the same numbers of the generator."""
    own = Augmentation((0.3, 0.6), flip_rate=0.5, color_jitter=(0.4, 0.4, 0.4, 0.2), gray_rate=0.4)
    for seed in range(20):
        image, random = photo(50, 70, seed=seed), rng(seed)
        top, left, height, width = own.crop_box(50, 70, random)
        bicubic = functional.InterpolationMode.BICUBIC
        expected = functional.resized_crop(image, top, left, height, width, SIZE, bicubic)
        if random.random() < 0.5:
            expected = functional.hflip(expected)
        if random.random() < 0.8:
            for number in random.permutation(4):
                most = own.color_jitter[number]
                names = ("brightness", "contrast", "saturation", "hue")
                adjust = getattr(functional, f"adjust_{names[number]}")
                low, high = (-most, most) if number == 3 else (1 - most, 1 + most)
                expected = adjust(expected, random.uniform(low, high))
        if random.random() < 0.4:
            expected = functional.to_grayscale(expected, 3)
        found = own.pixels(image, CONFIG, rng(seed))
        np.testing.assert_array_equal(found, np.array(expected))


def test_pixels_are_normalised_as_open_clip_does_it():
    open_clip = pytest.importorskip("open_clip")
    # The whole picture, which has the model's proportions: nothing is left to chance.
    image = photo(28, 36)
    aug = open_clip.transform.AugmentationCfg(scale=(1.0, 1.0))
    theirs = open_clip.transform.image_transform(SIZE, is_train=True, aug_cfg=aug)
    theirs.transforms[0].ratio = (36 / 28, 36 / 28)
    own = Augmentation((1, 1), (36 / 28, 36 / 28))
    found = own(image, CONFIG, rng())
    assert found.dtype == np.float32 and found.shape == (*SIZE, 3)
    expected = theirs(image).numpy().transpose(1, 2, 0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(found, ImageProcessor(CONFIG)(image)[0])


def test_the_same_numbers_give_the_same_pixels_and_no_global_state_moves():
    own, image = Augmentation(color_jitter=(0.4, 0.4, 0.4, 0.1), gray_rate=0.2), photo(40, 50)
    np.random.seed(3)
    python_random.seed(3)
    before = np.random.get_state()[1].copy(), python_random.getstate()
    first = own(image, CONFIG, rng(1, 2, 3))
    np.testing.assert_array_equal(own(image, CONFIG, rng(1, 2, 3)), first)
    assert (own(image, CONFIG, rng(1, 2, 4)) != first).any()
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])
    assert python_random.getstate() == before[1]


def test_a_model_that_lays_pictures_over_white_gets_them_so():
    image = photo(28, 36, "RGBA")
    image.putalpha(Image.new("L", image.size, 0))
    found = Augmentation().pixels(image, ImageConfig(SIZE, color="first"), rng())
    assert (found == 255).all()


def test_large_jpegs_are_decoded_smaller_where_asked_for(tmp_path):
    path = str(tmp_path / "large.jpg")
    photo(150, 201).save(path, quality=95)
    opened = Image.open(path)
    opened.draft(None, (18, 14))
    assert opened.size == (26, 19)  # an eighth
    expected = opened.crop((2, 1, 25, 18)).resize(SIZE[::-1], Image.Resampling.BICUBIC)
    small = fixed((1, 2, 17, 23), scale=(1, 1), fast_decode=True)
    with open(path, "rb") as file:
        data = file.read()
    for source in (path, data):
        np.testing.assert_array_equal(small.pixels(source, CONFIG, rng()), np.array(expected))
    # A crop of a quarter of the area needs twice the size; other pictures are as they were.
    own, fast = Augmentation((0.25, 0.25)), Augmentation((0.25, 0.25), fast_decode=True)
    large = [np.array(one.pixels(path, CONFIG, rng()), float) for one in (own, fast)]
    another = own.pixels(path, CONFIG, rng(1))
    assert 0 < abs(large[0] - large[1]).mean() < abs(large[0] - another).mean() / 4
    for image in (path.replace("large.jpg", "x.png"), path.replace("large.jpg", "small.jpg")):
        photo(40, 50).save(image)
        found = [one.pixels(image, CONFIG, rng()) for one in (own, fast)]
        np.testing.assert_array_equal(*found)
    broken = {data[:900]: "The image bytes: damaged", b"no": "The image bytes: not a readable"}
    broken[path + "x"] = r"large\.jpgx: cannot open the file"
    for source, told in broken.items():
        with pytest.raises(ImageError, match=told):
            fast.pixels(source, CONFIG, rng())


def test_values_out_of_range_are_told():
    for values, told in (
        ({"scale": (0, 1)}, r"scale is .* not \(0\.0, 1\.0\)"),
        ({"scale": (0.5, 0.4)}, "scale is"),
        ({"scale": 0.5}, "scale must be 2 numbers, got 0.5"),
        ({"ratio": (0, 1)}, "ratio is"),
        ({"color_jitter": (0.1, 0.1, 0.1)}, "color_jitter must be 4 numbers"),
        ({"color_jitter": (0.1, 0.1, 0.1, 0.6)}, "color_jitter is four"),
        ({"color_jitter": (-0.1, 0.1, 0.1, 0.1)}, "color_jitter is four"),
        ({"interpolation": "nearest"}, "interpolation is"),
        ({"flip_rate": 1.1}, "flip_rate is from 0 to 1, not 1.1"),
        ({"gray_rate": -1}, "gray_rate is from 0 to 1"),
    ):
        with pytest.raises(ValueError, match=told):
            Augmentation(**values)


def test_settings_are_plain_values():
    own = Augmentation(scale=[0.5, 1], flip_rate=0.5)
    assert Augmentation.from_dict(own.to_dict()) == own and own.scale == (0.5, 1.0)
    with pytest.raises(ValueError, match=r"Augmentation has no \['zoom'\]"):
        Augmentation.from_dict({"zoom": 2})
