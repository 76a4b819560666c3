"""The kernel distance between two sets of features: the squared maximum mean discrepancy with the kernel
(x y / dims + 1)^3 (Binkowski et al., 2018, arXiv:1801.01401). On Inception features it is called KID.

The estimate is unbiased, hence below zero half of the time where the sets are alike. The usual mean over 100 random
subsets of 1000 images costs as much as all pairs of 10,000 images, and adds noise; both are here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from isthmus.data.cache import Array
from isthmus.errors import DataError
from isthmus.evaluation.inputs import Features, pair
from isthmus.evaluation.intervals import Estimate

BLOCK = 1000  # images; a block of the kernel has BLOCK x BLOCK entries


def kernel_distance(a: Features, b: Features) -> float:
    """The unbiased estimate from all pairs of images [images, dims]: deterministic, memory bounded by blocks.

    Products are in the type of the features, sums in float64.
    """
    return kernel_estimate(a, b).value


def kernel_estimate(a: Features, b: Features) -> Estimate:
    """The same with its standard error, to first order in the influence of each image (Hoeffding, 1948)."""
    x, y = pair(a, b, least=2)
    n, m = len(x), len(y)
    xx, yy = within(x), within(y)
    xy = between(x, y)
    value = xx.sum() / (n * (n - 1)) + yy.sum() / (m * (m - 1)) - 2 * xy.rows.sum() / (n * m)
    influence = xx / (n - 1) - xy.rows / m, yy / (m - 1) - xy.columns / n
    error = 2 * np.sqrt(sum(h.var(ddof=1) / len(h) for h in influence))
    return Estimate(float(value), float(error))


def kernel_distance_subsets(
    a: Features, b: Features, subsets: int = 100, size: int = 1000, seed: int = 2020
) -> Estimate:
    """Mean and deviation over random subsets of `size` images: those that torch-fidelity draws for the same seed.

    The `error` is here the deviation between subsets, as is usual. Raises DataError if there are too few images.
    """
    x, y = pair(a, b, least=2)
    if not 2 <= size <= min(len(x), len(y)):
        raise DataError(
            f"subsets of {size} images cannot be drawn from {len(x)} and {len(y)}: choose a size from 2 to "
            f"{min(len(x), len(y))}"
        )
    random, found = np.random.RandomState(seed), []
    for _ in range(subsets):
        one = x[random.choice(len(x), size, replace=False)]
        other = y[random.choice(len(y), size, replace=False)]
        alike = within(one).sum() + within(other).sum()
        found.append(alike / (size * (size - 1)) - 2 * between(one, other).rows.sum() / size**2)
    return Estimate(float(np.mean(found)), float(np.std(found)))


class Sums(NamedTuple):
    """Sums of a kernel matrix, float64."""

    rows: Array  # [n]
    columns: Array  # [m]


def within(x: Array) -> Array:
    """For each image the sum of the kernel with all others, float64 [n]; each pair is computed once."""
    sums = np.zeros(len(x))
    for i in range(0, len(x), BLOCK):
        block = kernel(x[i : i + BLOCK], x[i : i + BLOCK])
        sums[i : i + BLOCK] += block.sum(1, dtype=np.float64) - np.diag(block)
        for j in range(i + BLOCK, len(x), BLOCK):
            block = kernel(x[i : i + BLOCK], x[j : j + BLOCK])
            sums[i : i + BLOCK] += block.sum(1, dtype=np.float64)
            sums[j : j + BLOCK] += block.sum(0, dtype=np.float64)
    return sums


def between(x: Array, y: Array) -> Sums:
    """Sums of the kernel between two sets."""
    sums = Sums(np.zeros(len(x)), np.zeros(len(y)))
    for i in range(0, len(x), BLOCK):
        for j in range(0, len(y), BLOCK):
            block = kernel(x[i : i + BLOCK], y[j : j + BLOCK])
            sums.rows[i : i + BLOCK] += block.sum(1, dtype=np.float64)
            sums.columns[j : j + BLOCK] += block.sum(0, dtype=np.float64)
    return sums


def kernel(x: Array, y: Array) -> Array:
    """(x y / dims + 1)^3 [n, m]. Where both are one array numpy computes half of the product only."""
    base = x @ y.T
    base *= 1 / x.shape[1]
    base += 1
    return base * base * base
