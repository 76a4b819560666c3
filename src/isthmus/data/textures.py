"""Maps of regions, and pictures in which each kind of region has a texture of its own: a paired world.

A map says what is where, and leaves open how it looks: where stripes begin and where dots lie is chance.
"""

from __future__ import annotations

import numpy as np

from isthmus.data.cache import Array

SIDE, REGIONS = 32, 5  # of a picture, and of regions in it
KINDS: dict[str, tuple[int, int, int]] = {  # the colour of each kind in a map
    "water": (40, 60, 200),
    "field": (60, 170, 60),
    "brick": (190, 60, 40),
    "sand": (230, 200, 120),
}


def textures(count: int, seed: int) -> tuple[Array, Array, Array]:
    """Maps and pictures, uint8 [count, 32, 32, 3] each, and the kinds [count, 32, 32] in them."""
    random = np.random.default_rng(seed)
    kinds = regions(random, count)
    maps = np.array([*KINDS.values()], np.uint8)[kinds]
    pictures = np.empty(maps.shape)
    for kind, paint in enumerate((waves, furrows, bricks, grains)):
        pictures[kinds == kind] = paint(random, count)[kinds == kind]
    return maps, np.rint(pictures.clip(0, 255)).astype(np.uint8), kinds


def regions(random: np.random.Generator, count: int) -> Array:
    """The kind of each pixel, [count, 32, 32]: that of the nearest of a few points."""
    points, kind = random.uniform(0, SIDE, (count, REGIONS, 2)), random.integers(len(KINDS), size=(count, REGIONS))
    y, x = np.mgrid[:SIDE, :SIDE]
    distance = (y - points[..., 0, None, None]) ** 2 + (x - points[..., 1, None, None]) ** 2
    return np.take_along_axis(kind[..., None, None], distance.argmin(1)[:, None], axis=1)[:, 0]


def stripes(random: np.random.Generator, count: int, period: float, across: int) -> Array:
    """-1 to 1 along rows or columns, with a phase of chance, [count, 32, 32]."""
    place = np.mgrid[:SIDE, :SIDE][across]
    return np.sin(2 * np.pi * (place / period + random.uniform(0, 1, (count, 1, 1))))


def shaded(value: Array, dark: tuple[int, int, int], bright: tuple[int, int, int]) -> Array:
    """-1 to 1 as a colour between two, [..., 3]."""
    return np.asarray(dark) + (value[..., None] + 1) / 2 * (np.asarray(bright) - np.asarray(dark))


def waves(random: np.random.Generator, count: int) -> Array:
    return shaded(stripes(random, count, 6, 0), (20, 40, 120), (120, 170, 240))


def furrows(random: np.random.Generator, count: int) -> Array:
    return shaded(np.sign(stripes(random, count, 4, 1)), (30, 90, 20), (110, 190, 70))


def bricks(random: np.random.Generator, count: int) -> Array:
    rows, columns = np.sign(stripes(random, count, 8, 0)), np.sign(stripes(random, count, 8, 1))
    return shaded(rows * columns, (120, 30, 20), (210, 110, 80))


def grains(random: np.random.Generator, count: int) -> Array:
    return shaded(random.uniform(-1, 1, (count, SIDE, SIDE)), (170, 130, 60), (250, 230, 170))
