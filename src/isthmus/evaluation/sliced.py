"""Sliced Wasserstein distances: how far sorted projections on random directions lie apart (Rabin et al., 2011).

Of features; or of patches of images at each level of a Laplacian pyramid (Karras et al., 2018, arXiv:1710.10196), which
needs no network and tells at which scale images differ.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from isthmus.data.cache import Array
from isthmus.errors import ConfigError, DataError
from isthmus.evaluation.inputs import Features, pair

PATCH = 7  # pixels
SMALLEST = 16  # pixels; levels of the pyramid have sides at least this large
BINOMIAL = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16


def sliced_wasserstein(a: Features, b: Features, directions: int = 512, seed: int = 0) -> float:
    """Mean over random directions of the 1-Wasserstein distance between projections of features [images, dims].

    The sets may differ in size. In the units of the features.
    """
    x, y = pair(a, b)
    if directions < 1:
        raise ConfigError(f"directions must be 1 or more, got {directions}")
    axes = np.random.default_rng(seed).standard_normal((x.shape[1], directions)).astype(x.dtype)
    axes /= np.linalg.norm(axes, axis=0)
    return wasserstein(np.sort(x @ axes, axis=0), np.sort(y @ axes, axis=0))


def wasserstein(x: Array, y: Array) -> float:
    """Mean 1-Wasserstein distance of sorted columns [n, directions] and [m, directions]."""
    if len(x) == len(y):
        return float(np.abs(x - y).mean(dtype=np.float64))
    n, m = len(x), len(y)  # quantile functions are steps: between two edges both are constant
    edges = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)  # in units of 1 / (n m), hence exact
    weights = np.diff(edges, prepend=0) / (n * m)
    before = edges - 1
    return float((np.abs(x[before // m] - y[before // n]) * weights[:, None]).sum(0).mean(dtype=np.float64))


def pyramid_distances(
    a: Tensor, b: Tensor, patches: int = 128, directions: int = 512, seed: int = 0
) -> dict[int, float]:
    """The distance of Laplacian patches, times 1000 as is usual, by height of the level: {28: 3.1, 16: 2.2}.

    Images are [n, channels, H, W], uint8 or float, both sets of equal size; `patches` are taken from each image and
    brought to mean 0 and deviation 1 of each channel. Raises DataError for images that are smaller than a patch.
    """
    if a.shape[1:] != b.shape[1:]:
        raise DataError(f"images of {[*a.shape[1:]]} and {[*b.shape[1:]]} have no patches to compare: resize one set")
    if min(a.shape[2:]) < PATCH:
        raise DataError(f"patches are {PATCH} pixels wide, and the images have {[*a.shape[2:]]}")
    generator = torch.Generator().manual_seed(seed)
    described: list[list[Array]] = [
        [standard_patches(level, patches, generator) for level in laplacian(images.float())] for images in (a, b)
    ]
    heights = [level.shape[2] for level in laplacian(a[:1].float())]
    return {
        height: 1000 * sliced_wasserstein(x, y, directions, seed)
        for height, x, y in zip(heights, *described, strict=True)
    }


def laplacian(images: Tensor) -> list[Tensor]:
    """What each halving loses, from fine to coarse, and at last what is left."""
    levels = []
    while min(images.shape[2:]) >= 2 * SMALLEST:
        coarse = blurred(images)[:, :, ::2, ::2]
        levels.append(images - F.interpolate(coarse, images.shape[2:], mode="bilinear", align_corners=False))
        images = coarse
    return [*levels, images]


def blurred(images: Tensor) -> Tensor:
    """Convolved with a binomial filter in both directions, edges mirrored."""
    channels = images.shape[1]
    for shape, padding in (((1, 1, 5, 1), (0, 0, 2, 2)), ((1, 1, 1, 5), (2, 2, 0, 0))):
        kernel = BINOMIAL.to(images).view(shape).expand(channels, 1, -1, -1)
        images = F.conv2d(F.pad(images, padding, mode="reflect"), kernel, groups=channels)
    return images


def standard_patches(images: Tensor, count: int, generator: torch.Generator) -> Array:
    """`count` random patches of each image, [n * count, channels * 49]."""
    n, channels, height, width = images.shape
    top = torch.randint(height - PATCH + 1, (n, count), generator=generator)
    left = torch.randint(width - PATCH + 1, (n, count), generator=generator)
    span = torch.arange(PATCH)
    rows, columns = (top[..., None] + span)[..., :, None], (left[..., None] + span)[..., None, :]
    found = images.movedim(1, -1)[torch.arange(n)[:, None, None, None], rows, columns]  # [n, count, 7, 7, channels]
    found = found.reshape(-1, PATCH * PATCH, channels)
    found = (found - found.mean((0, 1))) / found.std((0, 1)).clamp_min(1e-8)
    return found.flatten(1).cpu().numpy()
