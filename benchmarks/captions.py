"""Ordinary captions, made from a grammar, for benchmarks."""

import random

SUBJECTS = "a man;two women;a small brown dog;the children;a black cat;a group of people".split(";")
VERBS = "riding;holding;looking at;sitting next to;standing behind;playing with".split(";")
OBJECTS = "a red bicycle;an old wooden table;a large pizza;a frisbee;a white horse".split(";")
PLACES = "on the beach;in a park on a sunny day;near a busy street;in the kitchen;;".split(";")


def captions(count, seed=0):
    """Return `count` captions of 7 to 17 words, about as long as those of COCO."""
    choice = random.Random(seed).choice
    rows = (
        f"{choice(SUBJECTS)} {choice(VERBS)} {choice(OBJECTS)} {choice(PLACES)}"
        for _ in range(count)
    )
    return [f"{row.strip()}." for row in rows]
