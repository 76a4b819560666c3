"""How far figures can be trusted, and which may be compared."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from isthmus.errors import ConfigError, DataError
from isthmus.evaluation import (
    Provenance,
    Result,
    frechet_distance,
)
from isthmus.evaluation.intervals import bootstrap, jackknife, mean, wilson


def normal(n, dims, seed=0, shift=0.0):
    return np.random.default_rng(seed).standard_normal((n, dims)) + shift


def test_intervals_hold_what_they_say():
    values = normal(400, 1)[:, 0]
    estimate = mean(values)
    assert estimate.error == pytest.approx(values.std(ddof=1) / 20)
    assert jackknife(np.mean, values, groups=400 // 2).error == pytest.approx(estimate.error, rel=0.1)
    low, high = bootstrap(np.mean, values)
    assert (low, high) == pytest.approx(estimate.interval, abs=0.02)
    assert wilson(0, 10)[0] == 0
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    spread = [frechet_distance(normal(200, 3, seed=2 * i), normal(200, 3, seed=2 * i + 1, shift=1)) for i in range(60)]
    errors = [
        jackknife(frechet_distance, normal(200, 3, seed=i), normal(200, 3, seed=i + 1, shift=1)).error
        for i in range(20)
    ]
    assert np.mean(errors) == pytest.approx(np.std(spread), rel=0.3)
    for wrong in (lambda: mean([]), lambda: jackknife(np.mean, values[:5]), lambda: bootstrap(np.mean, values[:0])):
        with pytest.raises(DataError, match="add images"):
            wrong()
    with pytest.raises(DataError, match="share"):
        wilson(3, 2)


def test_figures_made_differently_are_not_compared_in_silence():
    made = Provenance("judge of mnist", "abc", "none", (100, 100), 0)
    better, worse = Result("Fréchet distance", 1.0, 0.1, made), Result("Fréchet distance", 3.0, None, made)
    assert better < worse
    assert worse.minus(better) == 2
    for change in ({"images": (50, 100)}, {"weights": "abd"}, {"extractor": "autoencoder"}, {"settings": (("k", 3),)}):
        with pytest.raises(ConfigError, match=next(iter(change))):
            better.minus(replace(worse, provenance=replace(made, **change)))
    with pytest.raises(ConfigError, match="different metrics"):
        better.minus(replace(worse, metric="FID"))
    assert json.loads(json.dumps(better.to_dict()))["provenance"]["weights"] == "abc"
