"""The outlines of the shapes as polygons of radius about 1, x to the right and y down."""

import numpy as np

# How far a shape may turn (degrees) and still be called by its name.
TURN = {
    "circle": 180, "square": 12, "triangle": 20, "star": 36, "heart": 20,
    "cross": 15, "ring": 180, "diamond": 10, "arrow": 30, "crescent": 40,
}  # fmt: skip


def regular(corners, radius=1.0, start=-90.0):
    """The corners of a regular polygon, (corners, 2)."""
    angles = np.radians(start + 360.0 * np.arange(corners) / corners)
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def star():
    """Five points; the inner corners at 0.42 of the radius."""
    points = np.empty((10, 2))
    points[0::2], points[1::2] = regular(5), regular(5, 0.42, -54.0)
    return points


def heart():
    """The usual sine curve, scaled to radius 1."""
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x, y - 2], axis=-1) / 16.0


def cross(arm=0.34):
    """A plus sign whose arms are 2 * arm wide."""
    part = np.array([(-arm, -1), (arm, -1), (arm, -arm)])
    quarter = np.array([[0, -1], [1, 0]])
    parts = [part]
    for _ in range(3):
        parts.append(parts[-1] @ quarter.T)
    return np.concatenate(parts)


DIAMOND = np.array([(0, -1.1), (0.68, 0), (0, 1.1), (-0.68, 0)])
# Upwards. No hexagon stands here: twenty pixels wide, it cannot be told from a circle.
ARROW = np.array(
    [(0, -1.05), (0.8, -0.15), (0.3, -0.15), (0.3, 1), (-0.3, 1), (-0.3, -0.15), (-0.8, -0.15)]
)
# name: (outer polygon, polygon cut out of it or None)
OUTLINES = {
    "circle": (regular(40, 0.95), None),
    "square": (regular(4, 1.2, -45.0), None),
    "triangle": (regular(3, 1.15) + (0, 0.2), None),
    "star": (star() * 1.12, None),
    "heart": (heart(), None),
    "cross": (cross(), None),
    "ring": (regular(40), regular(40, 0.6)),
    "diamond": (DIAMOND, None),
    "arrow": (ARROW, None),
    "crescent": (regular(40), regular(40, 0.85) + (0.5, -0.1)),
}


def outline(shape, radius, rng):
    """The outer and the inner polygon (or None) of one jittered copy, about (0, 0), in pixels."""
    turn = np.radians(rng.uniform(-TURN[shape], TURN[shape]))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    stretch = radius * (1.0 + rng.uniform(-0.07, 0.07, size=2))
    return tuple(
        None if points is None else (points * stretch) @ rotation.T for points in OUTLINES[shape]
    )
