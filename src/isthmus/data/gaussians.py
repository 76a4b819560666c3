"""The usual world of known modes: a grid of Gaussians in the plane (Dumoulin et al., 2017, arXiv:1606.00704, sec. 4.3).

A point is an image of two grey pixels, x above y, so that every model of images can be tried on it. Black to white is
-5.1 to 5.1, and the 256 levels of a pixel are 1/25 apart, less than the deviation of 1/20.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from torch import Tensor

from isthmus.data.cache import Array

REACH, DEVIATION = 5.1, 0.05


def gaussian_grid(side: int = 5, step: float = 2.0) -> Array:
    """Centres [side^2, 2] of the usual grid: 25 of them, from -4 to 4."""
    ticks = (np.arange(side) - (side - 1) / 2) * step
    return np.array([*product(ticks, ticks)])


def gaussian_points(count: int, seed: int) -> tuple[Array, Array]:
    """Points, equally many around each centre, as pixels uint8 [count, 2, 1], and which centre is theirs, [count]."""
    return points_at(gaussian_grid(), count, seed)


def ring(count: int, radius: float = 3.0) -> Array:
    """Centres [count, 2], evenly on a circle."""
    angles = 2 * np.pi * np.arange(count) / count
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def points_at(centres: Array, count: int, seed: int) -> tuple[Array, Array]:
    """Points, equally many around each of `centres` [k, 2], as pixels uint8 [count, 2, 1], and around which one."""
    labels = np.arange(count) % len(centres)
    points = centres[labels] + DEVIATION * np.random.default_rng(seed).standard_normal((count, 2))
    return np.rint((points / REACH + 1) * 127.5).astype(np.uint8)[:, :, None], labels


def to_points(images: Tensor) -> Tensor:
    """Images [n, 1, 2, 1] in [-1, 1] as the points [n, 2] that they stand for."""
    return REACH * images.flatten(1)
