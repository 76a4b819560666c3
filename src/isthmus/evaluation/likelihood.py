"""Likelihoods on one scale: bits per dimension, the importance-weighted bound, and the Parzen window of old."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy.special import logsumexp
from torch import Tensor

from isthmus.core import Bounds
from isthmus.data.cache import Array
from isthmus.errors import ConfigError
from isthmus.evaluation.inputs import Features, pair
from isthmus.evaluation.intervals import Estimate, mean
from isthmus.evaluation.manifold import squared_distances

GREY_LEVEL = 2 / 255  # width of a grey level where images are in [-1, 1]
BLOCK = 500


def bits_per_dimension(nats: float, dims: int, level: float | None = None) -> float:
    """The cost of one pixel value in bits, from the log-likelihood of an image in nats.

    `level` is None where the model gives probabilities of the 256 levels. A density gives bits only of dequantised
    images, and `level` is then the width of a level in its units: `GREY_LEVEL` in [-1, 1].
    """
    return -(nats + (dims * math.log(level) if level is not None else 0.0)) / (dims * math.log(2))


@torch.no_grad()
def importance_weighted(model: Bounds, images: Tensor, samples: int = 100) -> Tensor:
    """log 1/K sum_k p(x, z_k) / q(z_k | x), z_k from q(z | x) (Burda et al., 2016, arXiv:1509.00519), in nats [n].

    A lower bound of log p(x) that grows with `samples`, K; for K = 1 it is the evidence lower bound. Draws from torch's
    default generator.
    """
    if samples < 1:
        raise ConfigError(f"samples must be 1 or more, got {samples}")
    step = max(1, BLOCK // samples)
    return torch.cat([weighted(model, part, samples) for part in images.split(step)])


def weighted(model: Bounds, image: Tensor, samples: int) -> Tensor:
    """The bound of a few images, with at most BLOCK codes decoded at once."""
    parts = [min(BLOCK, samples - k) for k in range(0, samples, BLOCK)]
    logs = torch.cat([model.log_weight(image, draws).double() for draws in parts])
    return logs.logsumexp(0) - math.log(samples)


def parzen(samples: Features, test: Features, sigma: float) -> Estimate:
    """Mean log-density in nats of `test` [n, dims] under Gaussians of deviation `sigma` around `samples` [m, dims].

    Legacy: it ranks models wrongly (Theis et al., 2016, arXiv:1511.01844) and is here for old tables only.
    """
    if sigma <= 0:
        raise ConfigError(f"sigma must be positive, got {sigma}")
    x, y = (array.astype(np.float64) for array in pair(samples, test, names=("sample", "test")))
    constant = math.log(len(x)) + 0.5 * x.shape[1] * math.log(2 * math.pi * sigma**2)
    found: list[Array] = []
    for i in range(0, len(y), BLOCK):
        parts = [
            logsumexp(-0.5 / sigma**2 * squared_distances(y[i : i + BLOCK], x[j : j + 10 * BLOCK]), axis=1)
            for j in range(0, len(x), 10 * BLOCK)
        ]
        found.append(logsumexp(parts, axis=0) - constant)
    return mean(np.concatenate(found))


def parzen_sigma(samples: Features, validation: Features, candidates: Sequence[float] | None = None) -> float:
    """The deviation under which `validation`, which is not the test set, is most probable."""
    tried = np.logspace(-1, 0, 10) if candidates is None else candidates
    return float(max(tried, key=lambda sigma: parzen(samples, validation, sigma).value))
