"""From a scene to a picture: anti-aliased, jittered and degraded, 64 x 64 by default."""

import io

import digits
import numpy as np
from outlines import outline
from PIL import Image, ImageDraw
from scenes import COLOURS, DIGITS, PLACES, pick

# Radius as a share of the picture's side.
RADII = {"small": (0.15, 0.18), "medium": (0.22, 0.27), "large": (0.32, 0.38)}
PAIR_RADII = {"small": (0.12, 0.14), "medium": (0.165, 0.19), "large": (0.215, 0.24)}
COUNT_RADII = (0.11, 0.14)
FILTERS = (Image.Resampling.BICUBIC, Image.Resampling.BOX, Image.Resampling.LANCZOS)


def render(scene, rng, ink=None, size=64, enlarged=False):
    """A picture of `scene`, (size, size, 3) uint8; the same for the same state of `rng`.

    Args:
        scene: scenes.Scene.
        rng: np.random.Generator; decides everything that the scene leaves open.
        ink: (8, 8) float in 0..1, the handwriting of a digit scene; None: a training picture.
        size: side in pixels.
        enlarged: bool; a handwriting is laid on the page as it is, merely enlarged to fill it.
    """
    side = int(round(size * pick(rng, (2.0, 2.5, 3.0))))
    page = background(scene, side, rng)
    if scene.kind == "digit":
        value = DIGITS.index(scene.things[0].shape)
        draw = enlarge_digit if enlarged else draw_digit
        draw(page, scene, digits.ink(value, rng) if ink is None else ink, rng)
    for thing, (x, y), radius in layout(scene, rng):
        draw_thing(page, thing, (x * side, y * side), radius * side, rng)
    page = page.resize((size, size), pick(rng, FILTERS), reducing_gap=None)
    return degrade(page, rng)


def tint(name, rng):
    """An RGB colour that goes by `name`, (3,) float in 0..255."""
    mixed = rng.dirichlet((0.6, 0.6, 0.6)) @ np.array(COLOURS[name], dtype="float64")
    return np.clip(mixed + rng.normal(0, 4, size=3), 0, 255)


def background(scene, side, rng):
    """The page in its colour and style, a PIL image (side, side)."""
    colour = tint(scene.background, rng)
    if scene.style == "plain":
        return Image.new("RGB", (side, side), tuple(int(c) for c in colour))
    other = shifted(colour, rng)
    angle = rng.uniform(0, 2 * np.pi)
    across = np.linspace(-0.5, 0.5, side)
    ramp = across[None, :] * np.cos(angle) + across[:, None] * np.sin(angle)
    if scene.style == "gradient":
        weight = ramp - ramp.min()
        weight /= weight.max()
    elif scene.style == "striped":
        weight = 0.5 + 0.5 * np.clip(
            3 * np.sin(2 * np.pi * rng.uniform(3, 8) * ramp + rng.uniform(0, 6)), -1, 1
        )
    else:
        cells = pick(rng, (16, 32, 64))
        grain = Image.fromarray((rng.random((cells, cells)) * 255).astype("uint8"))
        weight = np.asarray(grain.resize((side, side), pick(rng, FILTERS))) / 255.0
    page = colour + weight[..., None] * (other - colour)
    return Image.fromarray(np.clip(page, 0, 255).astype("uint8"))


def shifted(colour, rng):
    """A clearly lighter or darker colour of the same name."""
    lighter = colour.mean() < 60 or (colour.mean() < 200 and rng.random() < 0.5)
    return colour + ((255.0 if lighter else 0.0) - colour) * rng.uniform(0.22, 0.36)


def layout(scene, rng):
    """(thing, (x, y), radius) of every object, as shares of the side."""
    if scene.kind == "digit":
        return []
    if scene.kind == "single":
        thing = scene.things[0]
        radius = rng.uniform(*RADII[thing.size])
        spot = np.array(PLACES[scene.place]) + rng.uniform(-0.045, 0.045, size=2)
        return [(thing, np.clip(spot, radius, 1 - radius), radius)]
    if scene.kind == "count":
        cells = rng.permutation(len(PLACES))[: scene.number]
        spots = [np.array([0.2 + 0.3 * (c % 3), 0.2 + 0.3 * (c // 3)]) for c in cells]
        radius = rng.uniform(*COUNT_RADII)
        return [(scene.things[0], s + rng.uniform(-0.03, 0.03, 2), radius) for s in spots]
    along, aside = rng.uniform(0.24, 0.28), rng.uniform(-0.1, 0.1, size=2)
    found = []
    for thing, centre, off in zip(scene.things, (along, 1 - along), aside, strict=True):
        spot = (centre, 0.5 + off) if scene.place == "horizontal" else (0.5 + off, centre)
        found.append((thing, spot, rng.uniform(*PAIR_RADII[thing.size])))
    return found


def draw_thing(page, thing, centre, radius, rng):
    """Draws one shape, now and then with an edge in a darker tone."""
    outer, inner = outline(thing.shape, radius, rng)
    colour = tint(thing.colour, rng)
    mask = Image.new("L", page.size)
    pen = ImageDraw.Draw(mask)
    pen.polygon([tuple(p) for p in outer + centre], fill=255)
    if inner is not None:
        pen.polygon([tuple(p) for p in inner + centre], fill=0)
    page.paste(tuple(int(c) for c in colour), mask=mask)
    if inner is None and rng.random() < 0.15:
        points = [tuple(p) for p in outer + centre]
        edge = tuple(int(c * 0.6) for c in colour)
        width = max(1, round(radius * 0.08))
        ImageDraw.Draw(page).line(points + points[:1], fill=edge, width=width)


def draw_digit(page, scene, ink, rng):
    """Lays a handwritten digit on the page: enlarged, turned, sheared, in the scene's ink."""
    side = page.size[0]
    grey = Image.fromarray((np.pad(ink, 2) * 255).astype("uint8"))
    # The 12 cells of the padded digit fill `share` of the side, the digit itself 8 / 12 of that.
    share = rng.uniform(0.75, 1.5)
    scale = 12 / (share * side) * (1 + rng.uniform(-0.1, 0.1, size=2))
    turn, shear = np.radians(rng.uniform(-12, 12)), rng.uniform(-0.15, 0.15)
    matrix = np.diag(scale) @ np.array(
        [[np.cos(turn), np.sin(turn) + shear], [-np.sin(turn), np.cos(turn)]]
    )
    room = min(0.12, max(0.0, 0.5 - share / 3))
    centre = side * (0.5 + room * rng.uniform(-1, 1, size=2))
    offset = 6 - matrix @ centre
    matrix = (*matrix[0], offset[0], *matrix[1], offset[1])
    smooth = rng.random() < 0.85
    resample = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    mask = grey.transform(page.size, Image.Transform.AFFINE, matrix, resample)
    gain = rng.uniform(1.0, 1.6)
    lay_ink(page, scene, mask.point([min(255, int(v * gain)) for v in range(256)]), rng)


def enlarge_digit(page, scene, ink, rng):
    """Lays a handwritten digit on the page as it is, every pixel of it a square."""
    grey = Image.fromarray((ink * 255).astype("uint8"))
    lay_ink(page, scene, grey.resize(page.size, Image.Resampling.NEAREST), rng)


def lay_ink(page, scene, mask, rng):
    """Pastes the scene's ink where the mask is."""
    colour = tint(scene.things[0].colour, rng)
    page.paste(tuple(int(c) for c in colour), mask=mask)


def degrade(page, rng):
    """What cameras and files do: uneven light, noise, JPEG; a third of the pictures stay clean."""
    if rng.random() < 0.2:
        file = io.BytesIO()
        page.save(file, "JPEG", quality=int(rng.integers(35, 95)))
        page = Image.open(file)
    pixels = np.asarray(page)
    if rng.random() < 0.33:
        return pixels.copy()
    side = pixels.shape[0]
    across = np.linspace(-0.5, 0.5, side, dtype="float32")
    tilt = rng.uniform(-0.18, 0.18, size=2)
    light = rng.uniform(0.88, 1.08) + tilt[0] * across[:, None] + tilt[1] * across[None, :]
    lit = pixels * light[..., None].astype("float32")
    if rng.random() < 0.5:
        noise = rng.standard_normal(pixels.shape, dtype="float32")
        lit += noise * np.float32(rng.uniform(1, 9))
    return np.clip(lit + 0.5, 0, 255).astype("uint8")
