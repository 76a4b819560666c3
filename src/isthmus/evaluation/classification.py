"""What labels tell: are generated images good for training, are codes sorted by class, do clusters find the classes?"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from isthmus.data.cache import Array
from isthmus.data.images import Images
from isthmus.errors import DataError
from isthmus.evaluation.inputs import Features, pair
from isthmus.evaluation.judge import Recipe, judge
from isthmus.evaluation.manifold import BLOCK, squared_distances


@dataclass(frozen=True)
class Augmentation:
    """Accuracies of judges on real test images."""

    real: float  # trained on the real images
    both: float  # trained on the real and the generated ones, for as many steps

    @property
    def gain(self) -> float:
        return self.both - self.real


def classification_accuracy_score(generated: Images, real_test: Images, recipe: Recipe | None = None) -> float:
    """Train a judge on generated images, test it on real ones (Ravuri and Vinyals, 2019, arXiv:1905.10887)."""
    same_classes(generated, real_test)
    return judge(generated, real_test, recipe).accuracy


def augmentation_gain(real: Images, generated: Images, real_test: Images, recipe: Recipe | None = None) -> Augmentation:
    """What generated images add to few real ones, which are drawn as often as the generated ones."""
    same_classes(generated, real_test)
    same_classes(real, real_test)
    often = torch.arange(max(len(generated), len(real))) % len(real)
    both = joined(real.take(often), generated)
    return Augmentation(judge(real, real_test, recipe).accuracy, judge(both, real_test, recipe).accuracy)


def joined(a: Images, b: Images) -> Images:
    assert a.labels is not None
    assert b.labels is not None
    plain = torch.arange(len(a)), torch.arange(len(b))
    pixels = torch.cat([a.cut(plain[0], None), b.cut(plain[1], None)])
    return replace(a, store=pixels, rows=None, labels=torch.cat([a.labels, b.labels]), names=(), codes=None)


def same_classes(a: Images, b: Images) -> None:
    if a.labels is None or b.labels is None or a.spec.classes != b.spec.classes or a.spec.shape != b.spec.shape:
        raise DataError(
            f"{a.spec.name} ({a.spec}) and {b.spec.name} ({b.spec}) must have the same size, channels and classes"
        )


def nearest_neighbour_accuracy(
    train: Features, train_labels: Tensor | Array, test: Features, test_labels: Tensor | Array
) -> float:
    """The share of `test` features [n, dims] whose nearest `train` feature has their label, as BiGAN reports it.

    Report the untrained network's beside it: random features do astonishingly well.
    """
    x, y = pair(train, test, names=("train", "test"))
    known, wanted = labels_of(train_labels, len(x)), labels_of(test_labels, len(y))
    middle = x.mean(0)
    x, y = x - middle, y - middle
    hits = 0
    for i in range(0, len(y), BLOCK):
        best, nearest = np.full(len(y[i : i + BLOCK]), np.inf), np.zeros(len(y[i : i + BLOCK]), np.int64)
        for j in range(0, len(x), BLOCK):
            distance = squared_distances(y[i : i + BLOCK], x[j : j + BLOCK])
            at = distance.argmin(1)
            found = distance[np.arange(len(at)), at]
            nearest = np.where(found < best, j + at, nearest)
            best = np.minimum(best, found)
        hits += int((known[nearest] == wanted[i : i + BLOCK]).sum())
    return hits / len(y)


def linear_hits(train: Features, train_labels: Tensor | Array, test: Features, test_labels: Tensor | Array) -> Array:
    """Which `test` features [n, dims] a linear classifier that learns from `train` gives their label: bool [n].

    It is a support vector machine with squared hinges, on standardised features (as Radford et al., 2016, section 5.1).
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    x, y = pair(train, test, names=("train", "test"))
    known, wanted = labels_of(train_labels, len(x)), labels_of(test_labels, len(y))
    classifier = make_pipeline(StandardScaler(), LinearSVC(C=0.001, dual=True, random_state=0)).fit(x, known)
    return np.asarray(classifier.predict(y) == wanted)


def cluster_accuracy(clusters: Tensor | Array, labels: Tensor | Array) -> float:
    """The share of images in the right cluster, under the best one-to-one naming of clusters [n] by classes [n].

    With more clusters than classes some stay without a name. Where images are at hand that are not to be judged, the
    names are better taken from these: see `cluster_names`.
    """
    names = cluster_names(clusters, labels)
    return float(np.mean([names.get(c) == label for c, label in zip(*map(np.ravel, (clusters, labels)), strict=True)]))


def cluster_names(clusters: Tensor | Array, labels: Tensor | Array) -> dict[int, int]:
    """The best one-to-one naming of clusters [n] by classes [n], by the Hungarian method (Kuhn, 1955)."""
    from scipy.optimize import linear_sum_assignment

    found = labels_of(clusters, len(clusters))
    wanted = labels_of(labels, len(found))
    (own, rows), (names, columns) = (np.unique(x, return_inverse=True) for x in (found, wanted))
    table = np.zeros((len(own), len(names)), np.int64)
    np.add.at(table, (rows, columns), 1)
    pairs = zip(*linear_sum_assignment(table, maximize=True), strict=True)
    return {int(own[i]): int(names[j]) for i, j in pairs}


def labels_of(values: Tensor | Array, count: int) -> Array:
    """Whole numbers [count]."""
    array = np.asarray(values)
    if array.shape != (count,) or not count or array.dtype.kind not in "iub":
        raise DataError(f"labels are whole numbers [{max(count, 1)}], got {array.dtype} {[*array.shape]}")
    return array
