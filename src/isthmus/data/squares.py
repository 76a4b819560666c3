"""Pictures with a rule that holds over a distance: two squares in opposite corners have the same colour.

The squares lie on one diagonal or the other, which is the class, a little moved within their corners, each by itself.
Between them are at least 18 pixels in both directions, so that nobody who sees less than 20 at a time can tell whether
the rule is kept.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from isthmus.data.cache import Array
from isthmus.data.images import to_bytes
from isthmus.data.worlds import FILLINGS

SIDE, CORNER, SQUARE = 32, 7, 5  # of a picture, of a corner in which a square lies, and of a square
BACKGROUND = (40, 40, 40)
COLOURS = tuple(FILLINGS.values())
NEAR = 60  # as a distance in the cube of colours, whose sides are 255; the nearest two are 133 apart
CORNERS = (((0, 0), (1, 1)), ((0, 1), (1, 0)))  # by class: row and column, 0 at the top and at the left


def squares(count: int, seed: int) -> tuple[Array, Array]:
    """Pictures uint8 [count, 32, 32, 3], and on which diagonal the squares lie, [count]."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % len(CORNERS)
    pictures = np.full((count, SIDE, SIDE, 3), BACKGROUND, np.uint8)
    for picture, label in zip(pictures, labels, strict=True):
        colour = COLOURS[random.integers(len(COLOURS))]
        for row, column in CORNERS[label]:
            top, left = (corner * (SIDE - CORNER) + random.integers(CORNER - SQUARE) for corner in (row, column))
            picture[top + 1 : top + 1 + SQUARE, left + 1 : left + 1 + SQUARE] = colour
    return pictures, labels


def colours_shown(images: Tensor, labels: Tensor) -> Tensor:
    """Which colour each of the two squares has, [n, 2], in images [n, 3, 32, 32] in [-1, 1]; -1 where there is none.

    A pixel shows a colour that it is near to. A square is there if one colour fills its area to a half at least, and at
    most one and a half times.
    """
    pixels = to_bytes(images).float().movedim(1, -1).flatten(1, 2)
    near = (torch.cdist(pixels, torch.tensor(COLOURS).float()) < NEAR).unflatten(1, (SIDE, SIDE))
    found = []
    for image, label in zip(near, labels.tolist(), strict=True):
        for row, column in CORNERS[label]:
            top, left = (corner * (SIDE - CORNER) for corner in (row, column))
            most, colour = image[top : top + CORNER, left : left + CORNER].sum((0, 1)).max(0)
            found.append(int(colour) if 0.5 * SQUARE**2 <= most <= 1.5 * SQUARE**2 else -1)
    return torch.tensor(found).view(-1, 2)
