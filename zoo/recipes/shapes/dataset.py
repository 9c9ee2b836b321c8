"""Batches of pictures and captions without false negatives, the same for a seed."""

import digits
import numpy as np
from grammar import describe, reserved
from render import render
from scenes import DIGITS, KINDS, draw_scene, pick, twin

# Share of the kinds of scene in a batch, in the order of KINDS: single, pair, count, digit.
SHARES = (0.45, 0.17, 0.1, 0.28)
TWIN = 0.5
ENLARGED = 0.15  # share of the handwriting that is shown as it is


def draw_captions(count, rng, shares=SHARES, keep=None):
    """Scenes and captions of which none is true of another's picture.

    Such a pair in one batch would teach the model that a true caption is false.

    Args:
        count: how many.
        rng: np.random.Generator.
        shares: probability of each of KINDS.
        keep: function caption -> bool; the captions to take. By default those not reserved.

    Returns:
        Lists (scenes, captions), `count` long.
    """
    keep = keep or (lambda caption: not reserved(caption))
    scenes, captions, truths, claims = [], [], [], []
    last = None
    while len(scenes) < count:
        if last is not None and rng.random() < TWIN:
            scene = twin(last, rng)
        else:
            scene = draw_scene(rng, pick_kind(rng, shares))
        caption, claim = describe(scene, rng, detail=pick(rng, (0.2, 0.5, 0.8)))
        if not keep(caption):
            continue
        truth = scene.facts()
        clash = any(claim <= other for other in truths) or any(c <= truth for c in claims)
        if clash:
            last = None
            continue
        last = scene
        scenes.append(scene)
        captions.append(caption)
        truths.append(truth)
        claims.append(claim)
    return scenes, captions


def pick_kind(rng, shares):
    """A kind of scene by its share."""
    return KINDS[int(np.searchsorted(np.cumsum(shares), rng.random() * sum(shares)))]


def draw_batch(count, seed, split="train", **choice):
    """(pictures (count, 64, 64, 3) uint8, captions); the same for the same seed.

    Args:
        count: how many.
        seed: int or tuple of ints.
        split: "train" or "test", the handwritten digits to draw from.
        **choice: shares and keep of draw_captions.
    """
    rng = np.random.default_rng(seed)
    scenes, captions = draw_captions(count, rng, **choice)
    return np.stack([draw_picture(scene, rng, split) for scene in scenes]), captions


def draw_picture(scene, rng, split="train"):
    """A picture of the scene, its handwriting drawn by lot from the split."""
    if scene.kind != "digit":
        return render(scene, rng)
    ink = digits.ink(DIGITS.index(scene.things[0].shape), rng, split)
    return render(scene, rng, ink, enlarged=rng.random() < ENLARGED)
