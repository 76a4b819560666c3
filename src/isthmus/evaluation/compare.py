"""Two sets of images, compared by everything that applies to any two sets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from isthmus.data.cache import Array
from isthmus.data.images import Images, to_unit
from isthmus.errors import DataError
from isthmus.evaluation.features import Answers, Extractor, features_of
from isthmus.evaluation.frechet import frechet_distance
from isthmus.evaluation.intervals import Estimate, jackknife
from isthmus.evaluation.kernel import kernel_estimate
from isthmus.evaluation.manifold import precision_recall
from isthmus.evaluation.provenance import Provenance, Result
from isthmus.evaluation.scores import inception_score
from isthmus.evaluation.sliced import sliced_wasserstein
from isthmus.evaluation.structure import most_scales, ms_ssim_diversity

GROUPS = 10  # of the jackknife
AFFORDABLE = 512  # dims up to which a distance is computed again for every group
SPLITS = 10  # of the Inception score
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

    def result(metric: str, estimate: Estimate, seed: int | None = None, **settings: Any) -> Result:
        made = Provenance(
            extractor.name, extractor.weights, extractor.resizer, (len(a), len(b)), seed, tuple(settings.items())
        )
        return Result(metric, estimate.value, None if np.isnan(estimate.error) else estimate.error, made)

    genuine = getattr(extractor, "genuine", False)
    found = [result("FID" if genuine else "Fréchet distance", frechet_estimate(x, y, seed))]
    found.append(result("KID" if genuine else "kernel distance", kernel_estimate(x, y)))
    figures = precision_recall(real=x, fake=y, neighbours=neighbours)
    found += [result(name, value, neighbours=neighbours) for name, value in figures._asdict().items()]
    distance = Estimate(sliced_wasserstein(x, y, seed=seed), np.nan)
    found.append(result("sliced Wasserstein distance", distance, seed, directions=512))
    if isinstance(extractor, Answers):
        name = "Inception score" if genuine else "judge's score"
        found += [
            result(f"{name} of {side}", score(extractor, features), 2020, splits=splits(features))
            for side, features in (("A", x), ("B", y))
        ]
    if scales := most_scales(a.spec.height, a.spec.width):
        for side, images in (("A", a), ("B", b)):
            sample = to_unit(images.cut(torch.arange(min(1000, len(images))), None))
            value = ms_ssim_diversity(sample, seed=seed, scales=scales)
            found.append(result(f"MS-SSIM within {side}", value, seed, scales=scales, pairs=500))
    return Comparison(a.spec.name, b.spec.name, found, notes(a, b, x, y))


def check(a: Images, b: Images, neighbours: int) -> None:
    """Raise DataError unless the sets can be compared."""
    if a.spec.shape != b.spec.shape:
        raise DataError(f"{a.spec.name} is {a.spec}, {b.spec.name} is {b.spec}: give both one --size and --channels")
    if min(len(a), len(b)) <= neighbours:
        raise DataError(
            f"comparing takes more than {neighbours} images of each, got {len(a)} of {a.spec.name} and {len(b)} of "
            f"{b.spec.name}: add images, or lower --neighbours"
        )


def frechet_estimate(x: Array, y: Array, seed: int) -> Estimate:
    """With a standard error where it is cheap and there are images enough."""
    if x.shape[1] > AFFORDABLE or min(len(x), len(y)) < 2 * GROUPS:
        return Estimate(frechet_distance(x, y), np.nan)
    return jackknife(frechet_distance, x, y, groups=GROUPS, seed=seed)


def splits(features: Array) -> int:
    return min(SPLITS, len(features))


def score(extractor: Answers, features: Array) -> Estimate:
    """The classifier's score; the error is that of the mean over the parts."""
    logits = extractor.answers(torch.from_numpy(np.array(features))).detach()
    found = inception_score(logits, splits(features))
    return Estimate(found.value, found.error / np.sqrt(splits(features)))


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
