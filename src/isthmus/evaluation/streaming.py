"""Metrics as objects that gather batches of images: `update(images, real=...)`, and at the end `compute()`.

The Fréchet distance keeps moments alone. The others keep features, 4 bytes a dimension, and compute in blocks: 10,000
images of 2048 dims are 82 MB. Images are uint8, or float in [-1, 1], and may come in batches of any size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from isthmus.data.cache import Array
from isthmus.errors import ConfigError, DataError
from isthmus.evaluation.features import Answers, Extractor, extract
from isthmus.evaluation.frechet import Running, frechet_distance
from isthmus.evaluation.intervals import Estimate
from isthmus.evaluation.kernel import kernel_estimate
from isthmus.evaluation.manifold import Manifold, precision_recall
from isthmus.evaluation.scores import inception_score

T = TypeVar("T")


class Metric(ABC, Generic[T]):
    """A figure of features that an extractor makes of real and generated images."""

    def __init__(self, extractor: Extractor) -> None:
        self.extractor = extractor
        self.reset()

    @abstractmethod
    def reset(self) -> None:
        """Forget all images."""

    def update(self, images: Tensor, *, real: bool) -> None:
        """Take in a batch [batch, channels, height, width]. Raises DataError for what is none."""
        self.take(extract(self.extractor, images), real)

    @abstractmethod
    def take(self, features: Array, real: bool) -> None:
        """Take in their features [batch, dims]."""

    @abstractmethod
    def compute(self) -> T:
        """The figure of all images so far. Raises DataError where they are too few."""


class FrechetDistance(Metric[float]):
    """The Fréchet distance, with memory for dims x dims numbers however many images there are."""

    def reset(self) -> None:
        self.sets = Running(), Running()

    def take(self, features: Array, real: bool) -> None:
        self.sets[real].update(features)

    def compute(self) -> float:
        fake, real = self.sets
        return frechet_distance(real.moments(), fake.moments())


class Gathering(Metric[T]):
    """A metric that takes all features at once."""

    def reset(self) -> None:
        self.sets: tuple[list[Array], list[Array]] = [], []

    def take(self, features: Array, real: bool) -> None:
        self.sets[real].append(features)

    def features(self, real: bool) -> Array:
        """All features so far of one side, [n, dims]."""
        if not self.sets[real]:
            raise DataError(f"there are no {'real' if real else 'generated'} images: update() with a batch first")
        return np.concatenate(self.sets[real])


class KernelDistance(Gathering[Estimate]):
    """The kernel distance from all pairs, with its standard error."""

    def compute(self) -> Estimate:
        return kernel_estimate(self.features(True), self.features(False))


class PrecisionRecall(Gathering[Manifold]):
    """Precision, recall, density and coverage."""

    def __init__(self, extractor: Extractor, neighbours: int = 5) -> None:
        super().__init__(extractor)
        self.neighbours = neighbours

    def compute(self) -> Manifold:
        return precision_recall(real=self.features(True), fake=self.features(False), neighbours=self.neighbours)


class InceptionScore(Gathering[Estimate]):
    """The score of a classifier's answers to generated images; real ones, if any, are not looked at."""

    def __init__(self, extractor: Extractor, splits: int = 10) -> None:
        super().__init__(extractor)
        self.splits = splits

    def compute(self) -> Estimate:
        if not isinstance(self.extractor, Answers):
            raise ConfigError(f"the {self.extractor.name} gives features but no classes: take a judge, or Inception")
        with torch.no_grad():
            logits = self.extractor.answers(torch.from_numpy(self.features(False)))
        return inception_score(logits, self.splits)
