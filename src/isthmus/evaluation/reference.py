"""Real images of one domain, and what sees them: the measure that a model's images are held to."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from functools import cached_property

from torch import Tensor

from isthmus.data.cache import Array
from isthmus.data.images import Images
from isthmus.evaluation.compare import frechet_estimate
from isthmus.evaluation.features import AutoencoderFeatures, Extractor, JudgeFeatures, extract, features_of
from isthmus.evaluation.frechet import frechet_distance
from isthmus.evaluation.intervals import Estimate
from isthmus.evaluation.judge import Judge, judge
from isthmus.evaluation.kernel import kernel_estimate
from isthmus.evaluation.manifold import precision_recall
from isthmus.evaluation.perceptual import feature_diversity
from isthmus.evaluation.provenance import Group, Provenance
from isthmus.evaluation.sets import QUICK, drawn

NEIGHBOURS = 5  # of precision and recall


class Reference:
    """Training images and at most `images` test images; networks learn from the former once they are needed.

    The networks see pictures: sounds are not judged.
    """

    def __init__(self, train: Images, test: Images, images: int, seed: int) -> None:
        self.train, self.test, self.seed = train, drawn(test, images, seed), seed

    @property
    def classes(self) -> int:
        """How many classes a judge can tell apart; 0 without labels."""
        return 0 if self.train.labels is None or self.train.spec.rate else len(self.train.spec.classes)

    @cached_property
    def judge(self) -> Judge | None:
        """A judge that is trained in seconds; None where there are no classes to tell apart."""
        return judge(self.train, self.test, QUICK) if self.classes > 1 else None

    @cached_property
    def extractor(self) -> Extractor:
        """The judge's features, or else an autoencoder's."""
        return JudgeFeatures(self.judge) if self.judge else AutoencoderFeatures.learnt(self.train)

    @cached_property
    def features(self) -> Array:
        """Of the test images, [n, dims]."""
        return features_of(self.extractor, self.test)

    def floor(self, n: int) -> float | None:
        """The Fréchet distance that `n` training images have from the test images; None where there are fewer.

        Distances of fewer images are larger: it is what `n` images of a model compare with, and no other number.
        """
        if n > len(self.train):
            return None
        return frechet_distance(features_of(self.extractor, drawn(self.train, n, self.seed)), self.features)

    def distances(self, images: Iterable[Tensor]) -> Group | None:
        """How far batches of images are from the test images, and how varied.

        None, with a warning, where there are too few of either.

        Only features of Inception make an FID: these figures bear the name of what sees the images.
        """
        if self.train.spec.rate:
            return None
        if not self.enough(len(self.test), "to test with"):  # before a network learns to see them
            return None
        features = extract(self.extractor, images)
        if not self.enough(len(features), "that a model made"):
            return None
        kind = "judge" if self.judge else "autoencoder"
        figures: Mapping[str, float | Estimate | None] = {
            f"{kind}_frechet_distance": frechet_estimate(self.features, features, self.seed),
            "floor": self.floor(len(features)),
            f"{kind}_kernel_distance": kernel_estimate(self.features, features),
            **precision_recall(real=self.features, fake=features, neighbours=NEIGHBOURS)._asdict(),
            "diversity": over(feature_diversity(features).value, feature_diversity(self.features).value),
        }
        counts = len(self.test), len(features)
        return Group(figures, Provenance.of(self.extractor, *counts, seed=self.seed, neighbours=NEIGHBOURS))

    def enough(self, images: int, what: str) -> bool:
        """Whether distances can be taken of so many images; a warning says where they cannot."""
        if images <= NEIGHBOURS:
            wanted = f"no distances from {self.test.spec.name}: they take {NEIGHBOURS + 1} images or more"
            warnings.warn(f"{wanted}, got {images} {what}", stacklevel=3)
        return images > NEIGHBOURS


def over(value: float, real: float) -> float | None:
    """A figure as a share of real images'; None if these have nothing of it."""
    return value / real if real else None
