"""Data sets and draws of a model, part by part: memory is bounded, whatever the number and the size of the images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from isthmus.core import Batch
from isthmus.data.images import Images

PART_IMAGES, PART_VALUES = 500, 2**21  # at most so many images, and values, go through a model at once


def part_size(shape: tuple[int, int, int]) -> int:
    """How many images [channels, height, width] go through a model at once."""
    return max(1, min(PART_IMAGES, PART_VALUES // math.prod(shape)))


def batches(images: Images, device: torch.device) -> Iterator[Batch]:
    """The images in order, as batches on `device`."""
    for index in torch.arange(len(images)).split(part_size(images.spec.shape)):
        yield images.batch(index).to(device)


def each(function: Callable[[Batch], Tensor], images: Images, device: torch.device) -> Tensor:
    """`function` of every image, [n, ...] on the CPU."""
    return torch.cat([function(batch).cpu() for batch in batches(images, device)])
