"""Images of any size through a translator, tile by tile, in memory that the network's size bounds and not the image's.

Tiles overlap, and where they do their results pass into one another: each is weighted by how far a pixel is from its
tile's edge. The image is small beside what a network keeps of it, and is held whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from isthmus.core import steps

OVERLAP = 0.25  # of a tile's sides, at least


def places(length: int, tile: int) -> list[int]:
    """Where tiles begin that cover `length`, evenly spread, the last one ending where it ends."""
    count = math.ceil((length - tile) / (tile * (1 - OVERLAP))) + 1
    return [round(i * (length - tile) / max(1, count - 1)) for i in range(count)]


def window(height: int, width: int) -> Tensor:
    """The weights [height, width] of a tile's pixels: 1 in the middle, falling towards each edge, never 0."""

    def slope(length: int) -> Tensor:
        ramp = max(1, round(length * OVERLAP))
        distance = torch.minimum(torch.arange(length), torch.arange(length - 1, -1, -1)) + 1
        return (distance / (ramp + 1)).clamp(max=1)

    return slope(height)[:, None] * slope(width)


def tiled(image: Tensor, function: Callable[[Tensor], Tensor], size: tuple[int, int], part: int) -> Tensor:
    """`function` of an image [channels, height, width], as if it were applied to all of it at once.

    It takes batches [n, channels, *size] of at most `part` tiles to batches [n, channels', *size]. A side shorter than
    a tile is continued by reflection for it.
    """
    _, height, width = image.shape
    short = [max(0, wanted - got) for wanted, got in zip(size, (height, width), strict=True)]
    whole = continued(image, *short)
    corners = [(y, x) for y in places(whole.shape[1], size[0]) for x in places(whole.shape[2], size[1])]
    weight, sums, weights = window(*size), None, torch.zeros(whole.shape[1:])
    for some in steps(pieces(corners, part), f"{len(corners)} tiles"):
        results = function(torch.stack([whole[:, y : y + size[0], x : x + size[1]] for y, x in some])).float().cpu()
        sums = torch.zeros(results.shape[1], *whole.shape[1:]) if sums is None else sums
        for (y, x), result in zip(some, results, strict=True):
            sums[:, y : y + size[0], x : x + size[1]] += weight * result
            weights[y : y + size[0], x : x + size[1]] += weight
    assert sums is not None
    return sums.div_(weights)[:, :height, :width]


def pieces(corners: Sequence[tuple[int, int]], part: int) -> list[Sequence[tuple[int, int]]]:
    return [corners[i : i + part] for i in range(0, len(corners), part)]


def continued(image: Tensor, below: int, right: int) -> Tensor:
    """The image [channels, height, width], longer by reflections as often as that takes."""
    rows, columns = (there_and_back(old, old + new) for old, new in zip(image.shape[1:], (below, right), strict=True))
    return image[:, rows][:, :, columns] if below or right else image


def there_and_back(length: int, wanted: int) -> Tensor:
    """Places on a line [wanted]: to its end, back to its beginning, and so on."""
    last = length - 1
    place = torch.arange(wanted) % max(1, 2 * last)
    return torch.minimum(place, 2 * last - place)
