"""Two sets of images, compared by everything that applies to any two sets."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from isthmus.data.cache import Array
from isthmus.data.images import Images, to_unit
from isthmus.errors import DataError
from isthmus.evaluation.features import Answers, Extractor, features_of
from isthmus.evaluation.frechet import Moments, frechet_distance
from isthmus.evaluation.intervals import Estimate, jackknife
from isthmus.evaluation.kernel import kernel_estimate
from isthmus.evaluation.manifold import precision_recall
from isthmus.evaluation.provenance import Provenance, Result
from isthmus.evaluation.scores import inception_score
from isthmus.evaluation.sliced import sliced_wasserstein
from isthmus.evaluation.statistics import Statistics
from isthmus.evaluation.structure import most_scales, ms_ssim_diversity

GROUPS = 10  # of the jackknife
AFFORDABLE = 512  # dims up to which a distance is computed again for every group
SPLITS = 10  # of the Inception score
GENUINE = {"Fréchet distance": "FID", "kernel distance": "KID"}
MEANING = {
    "FID": "lower is better",
    "Fréchet distance": "lower is better; 0 for equal sets",
    "KID": "lower is better; about 0 for equal sets",
    "kernel distance": "lower is better; about 0 for equal sets",
    "precision": "share of B that looks like A",
    "recall": "share of A that B can look like",
    "density": "how deep B lies within A; about 1 for equal sets",
    "coverage": "share of A with a neighbour in B",
    "sliced Wasserstein distance": "lower is better; 0 for equal sets",
    "Inception score of A": "higher is more varied and clearer",
    "Inception score of B": "higher is more varied and clearer",
    "judge's score of A": "higher is more varied and clearer",
    "judge's score of B": "higher is more varied and clearer",
    "MS-SSIM within A": "lower is more varied",
    "MS-SSIM within B": "lower is more varied",
}


@dataclass
class Comparison:
    """Figures of set B against set A, and what to keep in mind when reading them."""

    a: str
    b: str
    results: list[Result]
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return {"a": self.a, "b": self.b, "results": [r.to_dict() for r in self.results], "notes": self.notes}


def compare(a: Images, b: Images, extractor: Extractor, *, neighbours: int = 5, seed: int = 0) -> Comparison:
    """Compare `b`, usually generated, with `a`, usually real; images of equal size and channels.

    Raises DataError where the sets do not fit together or hold too few images.
    """
    check(a, b, neighbours)
    x, y = features_of(extractor, a), features_of(extractor, b)
    results = Results(extractor, len(a), len(b), seed)
    results.add("Fréchet distance", frechet_estimate(x, y, seed))
    results.add("kernel distance", kernel_estimate(x, y))
    for name, value in precision_recall(real=x, fake=y, neighbours=neighbours)._asdict().items():
        results.add(name, value, neighbours=neighbours)
    distance = Estimate(sliced_wasserstein(x, y, seed=seed), np.nan)
    results.add("sliced Wasserstein distance", distance, seed=seed, directions=512)
    results.add_score(A=x, B=y)
    results.add_repetition(A=a, B=b)
    return Comparison(a.spec.name, b.spec.name, results.found, notes(a, b, x, y))


def compare_with_statistics(a: Statistics, b: Images, extractor: Extractor, *, seed: int = 0) -> Comparison:
    """The same where of `a` there are statistics alone, which allow the Fréchet distance.

    Raises ConfigError if they are another extractor's, DataError where they do not fit `b`.
    """
    a.check(extractor)
    if a.spec is not None and a.spec.shape != b.spec.shape:
        raise DataError(f"the statistics are of {a.spec.name}, {a.spec}, and {b.spec.name} is {b.spec}")
    y = features_of(extractor, b)
    results = Results(extractor, a.moments.count or 0, len(b), seed)
    results.add("Fréchet distance", frechet_estimate(a.moments, y, seed))
    results.add_score(B=y)
    results.add_repetition(B=b)
    told = a.spec is not None
    remarks = [] if told else ["The file does not say which extractor its statistics are of, nor of how many images."]
    return Comparison(a.spec.name if a.spec else "statistics", b.spec.name, results.found, remarks)


class Results:
    """Figures of one comparison, each with how it was made. Names of Inception's are for its own features alone."""

    def __init__(self, extractor: Extractor, a: int, b: int, seed: int) -> None:
        self.extractor, self.images, self.seed = extractor, (a, b), seed
        self.genuine, self.found = getattr(extractor, "genuine", False), list[Result]()

    def add(self, metric: str, estimate: Estimate, seed: int | None = None, **settings: Any) -> None:
        made = Provenance.of(self.extractor, *self.images, seed=seed, **settings)
        name = GENUINE.get(metric, metric) if self.genuine else metric
        self.found.append(Result(name, estimate.value, None if np.isnan(estimate.error) else estimate.error, made))

    def add_score(self, **features: Array) -> None:
        """The classifier's score of each set, if the extractor is one."""
        if isinstance(self.extractor, Answers):
            for side, values in features.items():
                name, parts = "Inception score" if self.genuine else "judge's score", min(SPLITS, len(values))
                self.add(f"{name} of {side}", score(self.extractor, values, parts), seed=2020, splits=parts)

    def add_repetition(self, **sets: Images) -> None:
        """How alike the images of each set are, if these are large enough."""
        for side, images in sets.items():
            if scales := most_scales(images.spec.height, images.spec.width):
                sample = to_unit(images.cut(torch.arange(min(1000, len(images))), None))
                value = ms_ssim_diversity(sample, seed=self.seed, scales=scales)
                self.add(f"MS-SSIM within {side}", value, seed=self.seed, scales=scales, pairs=500)


def check(a: Images, b: Images, neighbours: int) -> None:
    """Raise DataError unless the sets can be compared."""
    if a.spec.shape != b.spec.shape:
        raise DataError(f"{a.spec.name} is {a.spec}, {b.spec.name} is {b.spec}: give both one --size and --channels")
    if min(len(a), len(b)) <= neighbours:
        raise DataError(
            f"comparing takes more than {neighbours} images of each, got {len(a)} of {a.spec.name} and {len(b)} of "
            f"{b.spec.name}: add images, or lower --neighbours"
        )


def frechet_estimate(x: Array | Moments, y: Array, seed: int) -> Estimate:
    """With a standard error where it is cheap and there are images enough; moments are taken as exact."""
    sets: tuple[Array, ...] = (y,) if isinstance(x, Moments) else (x, y)
    distance = partial(frechet_distance, x) if isinstance(x, Moments) else frechet_distance
    if y.shape[1] > AFFORDABLE or min(map(len, sets)) < 2 * GROUPS:
        return Estimate(distance(*sets), np.nan)
    return jackknife(distance, *sets, groups=GROUPS, seed=seed)


def score(extractor: Answers, features: Array, parts: int) -> Estimate:
    """The classifier's score; the error is that of the mean over the parts."""
    logits = extractor.answers(torch.from_numpy(np.array(features))).detach()
    found = inception_score(logits, parts)
    return Estimate(found.value, found.error / np.sqrt(parts))


def notes(a: Images, b: Images, x: Array, y: Array) -> list[str]:
    """What may mislead."""
    found = []
    dims, images = x.shape[1], min(len(x), len(y))
    if images <= 10 * dims:
        found.append(
            f"Fréchet distances are too high with few images ({images} for {dims} dims): compare only figures with "
            "equally many images; the kernel distance has no such bias."
        )
    if len(a) != len(b):
        found.append("The sets differ in size; precision, recall, density and coverage depend on it.")
    for side, features in ((a, x), (b, y)):
        if np.allclose(features, features[0], rtol=1e-5):
            found.append(f"All images of {side.spec.name} look the same to the extractor.")
    return found
