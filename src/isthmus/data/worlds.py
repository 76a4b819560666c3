"""Domains that are made of public sets, so that the truth of a translation between them is known, and never shown.

All take grey pictures uint8 [n, height, width] and keep their order: example i of a domain is made of example i of the
set, so that domains of one set are pairs, too, where that is asked for.
"""

from __future__ import annotations

import numpy as np

from isthmus.data.cache import Array

Colour = tuple[int, int, int]

PAPER, INK = (250, 220, 60), (30, 40, 160)  # yellow and blue: dark on bright, where digits are bright on dark
DOMAINS: dict[str, tuple[Colour, Colour]] = {  # ground and ink of each
    "red on black": ((0, 0, 0), (255, 50, 50)),
    "green on black": ((0, 0, 0), (80, 230, 80)),
    "red on blue": ((20, 30, 130), (255, 50, 50)),
    "green on blue": ((20, 30, 130), (80, 230, 80)),
}
FILLINGS: dict[str, Colour] = {
    "red": (230, 40, 40),
    "green": (40, 200, 40),
    "blue": (60, 80, 240),
    "yellow": (230, 210, 40),
    "magenta": (220, 60, 220),
    "cyan": (40, 210, 220),
}
GROUNDS: dict[str, Colour] = {"black": (0, 0, 0), "grey": (128, 128, 128), "white": (255, 255, 255)}
HUES = 90.0  # degrees of the circle of hues that are a ground's own; between those of two grounds are 30
COLOURS: dict[str, Colour] = {"black": (0, 0, 0), **FILLINGS, "white": (255, 255, 255)}
LOOKS: dict[str, tuple[Colour, Colour]] = {  # ground and ink of each
    f"{ink} on {ground}": (COLOURS[ground], COLOURS[ink]) for ground in COLOURS for ink in COLOURS if ink != ground
}
TWIN, STRIP = 8, 36  # sides of each of two shapes, in pixels, and the width of the strip at whose ends they stand
TWIN_COLOURS = tuple(FILLINGS.values())[:4]
SHAPE = 40  # grey above which a pixel belongs to the shape
SMOOTH, EDGE = 0.8, 40  # deviation in pixels, and the slope, in levels for each pixel, above which there is an edge


def coloured(pixels: Array, ground: Colour | Array = PAPER, ink: Colour | Array = INK) -> Array:
    """Black becomes `ground`, white `ink`, and grey what lies between: uint8 [n, height, width, 3].

    Each is one colour, or one for each picture, [n, 1, 1, 3].
    """
    low, high = np.asarray(ground, np.float32), np.asarray(ink, np.float32)
    return np.rint(low + pixels[..., None].astype(np.float32) / 255 * (high - low)).astype(np.uint8)


def uncoloured(pixels: Array, ground: Colour = PAPER, ink: Colour = INK) -> Array:
    """What `coloured` was made of: the place of each pixel between the two colours, as grey."""
    low, way = np.asarray(ground, np.float32), np.asarray(ink, np.float32) - np.asarray(ground, np.float32)
    place = ((pixels.astype(np.float32) - low) @ way) / (way @ way)
    return np.rint(255 * place.clip(0, 1)).astype(np.uint8)


def in_domains(pixels: Array) -> tuple[Array, Array]:
    """Each picture in one of `DOMAINS`, in turn, and in which one."""
    labels = np.arange(len(pixels)) % len(DOMAINS)
    out = np.empty((*pixels.shape, 3), np.uint8)
    for label, (ground, ink) in enumerate(DOMAINS.values()):
        out[labels == label] = coloured(pixels[labels == label], ground, ink)
    return out, labels


def inked(pixels: Array, seed: int) -> tuple[Array, Array]:
    """Each picture in one of `LOOKS` at random, two of the eight `COLOURS`, and in which."""
    looks = np.random.default_rng(seed).integers(len(LOOKS), size=len(pixels))
    ground, ink = np.array([*LOOKS.values()])[looks, :, None, None].swapaxes(0, 1)
    return coloured(pixels, ground, ink), looks


def on_grounds(pixels: Array, seed: int) -> tuple[Array, Array]:
    """Each picture on one of `GROUNDS` in an ink of one of its `HUES`, both at random, and on which ground."""
    random = np.random.default_rng(seed)
    grounds = random.integers(len(GROUNDS), size=len(pixels))
    hues = 360 / len(GROUNDS) * grounds + random.uniform(0, HUES, len(pixels))
    ground, ink = np.array([*GROUNDS.values()])[grounds], inks(hues)
    return coloured(pixels, ground[:, None, None], ink[:, None, None]), grounds


def inks(hues: Array) -> Array:
    """The colours [n, 3] of hues [n] in degrees, all as bright and as far from grey."""
    return 128 + 110 * np.cos(np.deg2rad(hues[:, None] - np.array([0, 120, 240])))


def shapes(pixels: Array) -> Array:
    """Where the things in the pictures are, without holes: bool [n, height, width]."""
    from scipy import ndimage  # which takes long to import

    return np.stack([ndimage.binary_fill_holes(picture > SHAPE) for picture in pixels])


def outlines(pixels: Array) -> Array:
    """The borders of the shapes, white on black, uint8 [n, height, width]."""
    from scipy import ndimage

    found = [shape & ~ndimage.binary_erosion(shape) for shape in shapes(pixels)]
    return 255 * np.stack(found).astype(np.uint8)


def fillings(pixels: Array, seed: int) -> tuple[Array, Array]:
    """The shapes on black, each in a colour of `FILLINGS` at random, and in which."""
    colours = np.array([*FILLINGS.values()], np.uint8)
    labels = np.random.default_rng(seed).integers(len(colours), size=len(pixels))
    return shapes(pixels)[..., None] * colours[labels][:, None, None], labels


def twins(pixels: Array, seed: int) -> Array:
    """The shape of each picture at the left, another at the right, both in one of `TWIN_COLOURS` on black.

    uint8 [n, 8, 36, 3], so that 20 pixels lie between them. Which the other is and the colour are drawn at random.
    """
    random = np.random.default_rng(seed)
    rows, columns = (np.arange(TWIN) * side // TWIN for side in pixels.shape[1:])
    found = np.logical_or.reduceat(np.logical_or.reduceat(shapes(pixels), rows, 1), columns, 2)
    strip = np.zeros((len(pixels), TWIN, STRIP), bool)
    strip[:, :, :TWIN], strip[:, :, -TWIN:] = found, random.permutation(found)
    colours = np.array(TWIN_COLOURS, np.uint8)[random.integers(len(TWIN_COLOURS), size=len(pixels))]
    return strip[..., None] * colours[:, None, None]


def edges(pixels: Array) -> Array:
    """Outlines, and where inside of them grey changes fastest: uint8 [n, height, width], black on white as by a pencil.

    Inner edges are the ridges of the slope of a smoothed picture (as Canny, 1986, has them).
    """
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(pixels.astype(np.float32), (0, SMOOTH, SMOOTH))
    down, right = (ndimage.sobel(smooth, axis) / 8 for axis in (1, 2))
    slope = np.hypot(down, right)
    ridge = np.where(abs(right) >= abs(down), is_ridge(slope, 2), is_ridge(slope, 1))
    inside = ndimage.binary_erosion(smooth > SHAPE, np.ones((1, 3, 3)), iterations=2)
    return np.where((ridge & inside & (slope > EDGE)) | (outlines(pixels) > 0), 0, 255).astype(np.uint8)


def is_ridge(slope: Array, axis: int) -> Array:
    """Whether a value is not below its neighbours along an axis."""
    return (slope >= np.roll(slope, 1, axis)) & (slope > np.roll(slope, -1, axis))
