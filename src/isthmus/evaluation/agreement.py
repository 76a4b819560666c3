"""How far people agree who judged the same things, and how far their mean can be trusted."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from isthmus.data.cache import Array
from isthmus.errors import DataError


def krippendorff_alpha(ratings: Array) -> float:
    """Krippendorff's alpha for nominal ratings [raters, units], where NaN is a rating that is missing.

    1 is agreement, 0 what chance gives; it is negative where raters contradict each other. Section C of Krippendorff,
    Computing Krippendorff's Alpha-Reliability (2011): 1 - observed / expected disagreement, observed among pairs of
    ratings of one unit, expected among all pairs. Units with one rating do not count. It is NaN where all ratings are
    equal, since nothing then tells agreement from habit.
    Raises DataError where no unit has two ratings.
    """
    ratings = np.asarray(ratings, np.float64)
    values = np.unique(ratings[~np.isnan(ratings)])
    counts = (ratings[..., None] == values).sum(0)  # [units, values]
    counts = counts[counts.sum(1) > 1]
    if not len(counts):
        raise DataError("agreement needs two raters on the same pairs")
    raters, total = counts.sum(1), counts.sum()
    observed = ((raters**2 - (counts**2).sum(1)) / (raters - 1)).sum() / total
    expected = (total**2 - (counts.sum(0) ** 2).sum()) / (total * (total - 1))
    return float(1 - observed / expected) if expected else math.nan


def over_raters(rates: Array) -> tuple[float, float]:
    """The 95 % interval (Student, 1908) of the mean of shares [raters] among raters like these, within [0, 1].

    Answers of one rater are alike. An interval of all answers together, such as `wilson`, takes them as independent and
    speaks of these raters only. Raises DataError for a single rater.
    """
    rates = np.asarray(rates, np.float64)
    if len(rates) < 2:
        raise DataError("an interval over raters takes two of them")
    half = float(stats.t.ppf(0.975, len(rates) - 1) * stats.sem(rates))
    mean = float(rates.mean())
    return max(0.0, mean - half), min(1.0, mean + half)
