"""How far a number that was measured on samples can be trusted."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from isthmus.data.cache import Array
from isthmus.errors import DataError

NORMAL = 1.959964  # standard errors to either side of 95 % of a normal distribution


class Estimate(NamedTuple):
    """A number, and its standard error."""

    value: float
    error: float

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of a normal distribution around the value."""
        return self.value - NORMAL * self.error, self.value + NORMAL * self.error


def mean(values: Array) -> Estimate:
    """The mean of independent values [n], one for each image; the error is NaN for a single one."""
    values = np.asarray(values, np.float64)
    if not len(values):
        raise DataError("there is no mean of no values: add images")
    with np.errstate(invalid="ignore"):  # what is infinite has no error
        error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Estimate(float(values.mean()), float(error))


def jackknife(statistic: Callable[..., float], *sets: Array, groups: int = 10, seed: int = 0) -> Estimate:
    """A statistic of whole sets [images, ...], its error from leaving out each of `groups` random groups in turn.

    The delete-a-group jackknife (Quenouille 1956, Tukey 1958). Unlike the bootstrap it repeats no image, which would
    make any two sets look less alike.
    """
    if min(map(len, sets)) < 2 * groups:
        raise DataError(f"an interval takes {2 * groups} images of each set, got {min(map(len, sets))}: add images")
    random = np.random.default_rng(seed)
    group = [random.permutation(len(values)) % groups for values in sets]
    parts = [statistic(*(v[g != k] for v, g in zip(sets, group, strict=True))) for k in range(groups)]
    return Estimate(statistic(*sets), math.sqrt((groups - 1) * np.var(parts)))


def bootstrap(
    statistic: Callable[[Array], float], values: Array, draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """The 95 % percentile interval (Efron, 1979) of a statistic of independent values [n, ...]."""
    if not len(values):
        raise DataError("there is no interval of no values: add images")
    random = np.random.default_rng(seed)
    found = [statistic(values[random.integers(0, len(values), len(values))]) for _ in range(draws)]
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """The 95 % score interval (Wilson, 1927) of a share."""
    if trials < 1 or not 0 <= hits <= trials:
        raise DataError(f"a share is of one trial or more and at most all of them hit, got {hits} of {trials}")
    share, z = hits / trials, NORMAL**2 / trials
    middle = (share + z / 2) / (1 + z)
    half = math.sqrt(share * (1 - share) * z + z * z / 4) / (1 + z)
    return max(0.0, middle - half), min(1.0, middle + half)
