"""Which modes a generator covers, in worlds whose modes are known: a grid of Gaussians, stacked digits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from isthmus.data.cache import Array
from isthmus.errors import DataError
from isthmus.evaluation.inputs import Features, pair
from isthmus.evaluation.judge import Judge
from isthmus.evaluation.manifold import squared_distances

STRICT = (
    20 / 10_000
)  # of the samples, that a mode must have: a single one falls on each mode of a smeared grid by chance


@dataclass(frozen=True)
class Modes:
    """Coverage of known modes."""

    covered: int
    total: int
    divergence: float  # KL in nats, from equal shares, of the modes that samples belong to; log(total) is collapse
    high_quality: float | None  # share of samples at a mode, where a sample may be at none


def gaussian_modes(points: Features, centres: Features, deviation: float = 0.05, within: float = 3.0) -> Modes:
    """Modes of samples [n, dims]: a mode is covered if 20 of 10,000 samples, or that share, lie near its centre.

    Near is within `within` deviations; these samples are the high-quality ones. For the divergence every sample belongs
    to its nearest centre. Raises DataError for fewer than 500 samples, of which the share is not one.
    """
    x, c = pair(points, centres, names=("sample", "centre"))
    if len(x) * STRICT < 1:
        raise DataError(f"modes are counted on 500 samples or more, better 10,000; got {len(x)}")
    distance = squared_distances(x.astype(np.float64), c.astype(np.float64))
    nearest = distance.argmin(1)
    near = distance.min(1) <= (within * deviation) ** 2
    counts = np.bincount(nearest[near], minlength=len(c))
    covered = int((counts >= math.ceil(STRICT * len(x) - 1e-9)).sum())
    return Modes(covered, len(c), from_equal_shares(nearest, len(c)), float(near.mean()))


def stacked_modes(labels: Tensor | Array, total: int = 1000) -> Modes:
    """Coverage of the classes that a judge sees in samples, labels [n]: one sample is enough, as in the literature.

    The convention is 26,000 samples for 1000 modes (Metz et al., 2017, arXiv:1611.02163); compare equal numbers only.
    """
    found = np.asarray(labels)
    if found.ndim != 1 or not len(found) or found.min() < 0 or found.max() >= total:
        raise DataError(f"labels are [n] and lie from 0 to {total - 1}, got shape {[*found.shape]}")
    return Modes(len(np.unique(found)), total, from_equal_shares(found, total), None)


def stacked_labels(images: Tensor, judge: Judge) -> Tensor:
    """The class int64 [n] of images [n, channels, H, W] with a digit in each channel: 000 to 999 for three of them."""
    digits = [judge.classify(channel[:, None]) for channel in images.unbind(1)]
    base = len(judge.spec.classes)
    return torch.stack([digit * base**k for k, digit in enumerate(reversed(digits))]).sum(0)


def from_equal_shares(labels: Array, total: int) -> float:
    """KL(histogram || uniform) in nats."""
    shares = np.bincount(labels, minlength=total) / len(labels)
    shares = shares[shares > 0]
    return max(0.0, float((shares * np.log(shares * total)).sum()))
