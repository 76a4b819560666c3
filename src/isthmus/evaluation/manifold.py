"""Precision, recall, density and coverage: who lies within the reach of whom.

Each set is taken for the union of balls around its images that reach to the k-th nearest neighbour in the set.
Precision: generated images within the balls of real ones; recall: the reverse (Kynkäänniemi et al., 2019,
arXiv:1904.06991). Density: how many real balls a generated image lies in, over k; coverage: real images with a
generated one in their ball (Naeem et al., 2020, arXiv:2002.09797). A ball holds its surface, so that of two equal sets
all four are perfect.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from isthmus.data.cache import Array
from isthmus.errors import ConfigError
from isthmus.evaluation.inputs import Features, pair
from isthmus.evaluation.intervals import Estimate, mean

BLOCK = 2000  # images; distances are computed BLOCK x BLOCK at a time


class Manifold(NamedTuple):
    """The four figures; errors are those of judging this many images, the balls taken as given."""

    precision: Estimate  # in [0, 1]: are generated images like real ones?
    recall: Estimate  # in [0, 1]: are real images like generated ones?
    density: Estimate  # about 1 where the sets are alike; may exceed 1
    coverage: Estimate  # in [0, 1]


def precision_recall(*, real: Features, fake: Features, neighbours: int = 5) -> Manifold:
    """Of features [images, dims], with bounded memory. `neighbours` is usually 3 for the first two, 5 for the others.

    Distances have the type of the features. Raises DataError for fewer than `neighbours` + 1 images.
    """
    if neighbours < 1:
        raise ConfigError(f"neighbours must be 1 or more, got {neighbours}")
    x, y = pair(real, fake, least=neighbours + 1, names=("real", "fake"))
    middle = x.mean(0)
    x, y = x - middle, y - middle  # smaller numbers lose fewer digits in the differences below
    x_reach, y_reach = reach(x, neighbours), reach(y, neighbours)
    balls = np.zeros(len(y), np.int64)  # of real images that each generated one lies in
    recalled, covered = np.zeros(len(x), bool), np.zeros(len(x), bool)
    for i in blocks(x):
        for j in blocks(y):
            distance = squared_distances(x[i], y[j])
            inside = distance <= x_reach[i, None]
            balls[j] += np.count_nonzero(inside, axis=0)
            covered[i] |= inside.any(1)
            recalled[i] |= (distance <= y_reach[None, j]).any(1)
    return Manifold(mean(balls > 0), mean(recalled), mean(balls / neighbours), mean(covered))


def reach(x: Array, neighbours: int) -> Array:
    """Squared distance [n] of each image to its k-th nearest neighbour; each pair is computed once."""
    nearest = np.full((len(x), neighbours + 1), np.inf, x.dtype)  # with the image itself

    def enter(rows: slice, distance: Array) -> None:
        k = min(neighbours, distance.shape[1] - 1)
        closest = np.partition(distance, k, axis=1)[:, : k + 1]
        nearest[rows] = np.partition(np.hstack([nearest[rows], closest]), neighbours, axis=1)[:, : neighbours + 1]

    for i in blocks(x):
        distance = squared_distances(x[i], x[i])
        np.fill_diagonal(distance, 0)
        enter(i, distance)
        for j in blocks(x, start=i.stop):
            distance = squared_distances(x[i], x[j])
            enter(i, distance)
            enter(j, distance.T)
    rounding = 8 * np.finfo(x.dtype).eps * np.square(x).sum(1)  # what is closer cannot be told from equal
    return np.maximum(nearest.max(1), rounding)


def blocks(x: Array, start: int = 0) -> list[slice]:
    return [slice(i, min(i + BLOCK, len(x))) for i in range(start, len(x), BLOCK)]


def squared_distances(x: Array, y: Array) -> Array:
    """|x - y|^2 [n, m], up to rounding, which may take it below zero."""
    distance = x @ y.T
    distance *= -2
    distance += np.square(x).sum(1)[:, None]
    distance += np.square(y).sum(1)[None]
    return distance
