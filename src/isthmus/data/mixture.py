"""Points of two Gaussians on a line, a narrow and a wide one, which no single Gaussian fits.

A Gaussian that comes as near as it can tells by which divergence: some cover both, some seek the larger one (Nowozin et
al., 2016, arXiv:1606.00709, whose best fits to their mixture are those to this one, to three digits). A point is an
image of one grey pixel; black to white is -8 to 8, in 256 levels that are 1/16 apart.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from isthmus.data.cache import Array

REACH = 8.0
WEIGHTS, MEANS, DEVIATIONS = np.array([(0.33, 0.67), (-1.0, 2.0), (0.255, 2**0.5)])


def mixture_points(count: int) -> tuple[Array, Array]:
    """Points as pixels uint8 [count, 1, 1], and of which Gaussian they are, [count].

    They lie at the quantiles of each Gaussian, so that few are as good as many random ones.
    """
    points, labels = [], []
    for label, share in enumerate(np.rint(count * WEIGHTS).astype(int)):
        points.append(norm.ppf((np.arange(share) + 0.5) / share, MEANS[label], DEVIATIONS[label]))
        labels.append(np.full(share, label))
    levels = np.rint((np.concatenate(points) / REACH + 1) * 127.5)
    return levels.clip(0, 255).astype(np.uint8)[:, None, None], np.concatenate(labels)


def mixture_density(x: Array) -> Array:
    """p(x), in the shape of `x`."""
    return (WEIGHTS * norm.pdf(x[..., None], MEANS, DEVIATIONS)).sum(-1)
