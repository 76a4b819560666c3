"""The Fréchet distance between two sets of features, each taken for a Gaussian (Heusel et al., 2017, arXiv:1706.08500).

    |m - m'|^2 + tr(S) + tr(S') - 2 tr((S S')^(1/2))

It is called FID on the features of one Inception network, and on no others. The last term needs no matrix root: with
S = L L^T the eigenvalues of S S' are those of the symmetric L^T S' L. And with S = R^T R and S' = Q^T Q, where R and Q
may be the centred samples themselves, it is the sum of the singular values of R Q^T; this form squares nothing and so
keeps all digits where there are fewer images than dimensions, or dimensions that depend on each other.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import linalg
from scipy.linalg import blas, lapack

from isthmus.data.cache import Array
from isthmus.errors import DataError
from isthmus.evaluation.inputs import Features, matrix, same_dims
from isthmus.training.checkpoint import whole_file

BLOCK = 1000  # images centred at a time
INDEPENDENT = 1e-10  # share of a dimension's variance that others do not explain, below which it counts as explained
RESOLVED = 1e-12  # of the largest eigenvalue: below it rounding would show in the root


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean [dims] and covariance [dims, dims] of a set of features, in float64; `a + b` is that of both sets."""

    mean: Array
    covariance: Array
    count: int | None  # images; None where a file does not tell
    provenance: dict[str, Any] = field(default_factory=dict)  # extractor and the like, kept in the file

    @classmethod
    def of(cls, features: Features, **provenance: Any) -> Moments:
        """The moments of features [images, dims]."""
        array = matrix(features)
        mean = array.mean(0, dtype=np.float64)
        return cls(mean, covariance(array, mean), len(array), provenance)

    def __add__(self, other: Moments) -> Moments:
        """As if of all images at once (Chan et al., 1979). Raises DataError if they do not fit together."""
        same_dims(len(self.mean), len(other.mean))
        if self.count is None or other.count is None:
            raise DataError("moments of an unknown number of images cannot be added: the file holds no count")
        if self.provenance != other.provenance:
            raise DataError(f"moments of {self.provenance} and of {other.provenance} do not belong together")
        count, apart = self.count + other.count, other.mean - self.mean
        scatter = self.covariance * (self.count - 1) + other.covariance * (other.count - 1)
        scatter += np.outer(apart, apart) * (self.count * other.count / count)
        return Moments(self.mean + apart * (other.count / count), scatter / (count - 1), count, self.provenance)

    def save(self, path: str | Path, **more: Array) -> None:
        """Write an .npz file with mu and sigma, as pytorch-fid does; beside them count, provenance and `more`."""
        told: dict[str, Any] = {"provenance": json.dumps(self.provenance), **more}
        if self.count is not None:
            told["count"] = self.count
        with whole_file(Path(path)) as temporary, temporary.open("wb") as file:
            np.savez(file, mu=self.mean, sigma=self.covariance, **told)

    @classmethod
    def load(cls, path: str | Path) -> Moments:
        """Read such a file, or pytorch-fid's. Raises DataError for anything else."""
        try:
            with np.load(path, allow_pickle=False) as file:
                mean, covariance = file["mu"].astype(np.float64), file["sigma"].astype(np.float64)
                count = int(file["count"]) if "count" in file else None
                provenance = json.loads(str(file["provenance"])) if "provenance" in file else {}
        except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{path} holds no statistics of features, an .npz file with mu and sigma: {error}"
            ) from None
        if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
            raise DataError(f"{path}: mu {[*mean.shape]} and sigma {[*covariance.shape]} are not [d] and [d, d]")
        return cls(mean, covariance, count, provenance)


class Running:
    """Moments of features that come in batches, with bounded memory: `update(batch)`, and at the end `moments()`."""

    def __init__(self) -> None:
        self.folded: Moments | None = None
        self.waiting: list[Array] = []

    def update(self, features: Features) -> None:
        """Take in features [batch, dims]."""
        self.waiting.append(np.array(matrix(features, "a batch of features")))
        same_dims(self.waiting[0].shape[1], self.waiting[-1].shape[1])
        if sum(map(len, self.waiting)) >= self.waiting[0].shape[1]:  # folding costs dims^2, however few they are
            self.fold()

    def fold(self) -> None:
        new = Moments.of(np.concatenate(self.waiting))
        self.folded = new if self.folded is None else self.folded + new
        self.waiting = []

    def moments(self) -> Moments:
        """Of all features so far. Raises DataError if there were none."""
        if self.waiting:
            self.fold()
        if self.folded is None:
            raise DataError("there are no moments of no features: update() with a batch first")
        return self.folded


@dataclass(frozen=True, eq=False)
class Spread:
    """What the distance needs of a set: its covariance S, or samples R [k, dims] with R^T R = S if they are few."""

    mean: Array
    trace: float
    covariance: Array | None = None
    samples: Array | None = None


def frechet_distance(a: Features | Moments, b: Features | Moments) -> float:
    """The distance between two sets of features [images, dims], or their moments; at least 0.

    Computed in float64. Raises DataError for features that are not finite, of different dims, or of a single image.
    """
    first, second = spread(a, "the first features"), spread(b, "the second features")
    same_dims(len(first.mean), len(second.mean))
    means = np.square(first.mean - second.mean).sum()
    return max(0.0, float(means + first.trace + second.trace - 2 * overlap(first, second)))


def spread(x: Features | Moments, name: str) -> Spread:
    """Few images stay samples, many become a covariance."""
    if isinstance(x, Moments):
        if x.count == 1:
            raise DataError(f"{name} are of one image, whose spread is unknown: take 2 or more")
        return Spread(x.mean, float(np.trace(x.covariance)), covariance=x.covariance)
    features = matrix(x, name, least=2)
    if len(features) > features.shape[1]:
        return spread(Moments.of(features), name)
    mean = features.mean(0, dtype=np.float64)
    samples = (features - mean) / np.sqrt(len(features) - 1)
    return Spread(mean, float(np.square(samples).sum()), samples=samples)


def covariance(features: Array, mean: Array) -> Array:
    """[dims, dims] in float64, of one image 0; in blocks, which memory and caches thank."""
    scatter = np.zeros((len(mean), len(mean)), order="F")
    for i in range(0, len(features), BLOCK):
        centred = features[i : i + BLOCK] - mean
        scatter = blas.dsyrk(1.0, centred.T, 1.0, scatter, lower=1, overwrite_c=1)  # half of what a product computes
    scatter += np.tril(scatter, -1).T
    return scatter / max(len(features) - 1, 1)


def overlap(a: Spread, b: Spread) -> float:
    """tr((S S')^(1/2)), of two spreads with dims in common."""
    if a.covariance is not None and b.covariance is not None:
        # A dimension that is constant in one set adds nothing; without it the other may well have a Cholesky factor.
        moving = (np.diag(a.covariance) > 0) & (np.diag(b.covariance) > 0)
        if not moving.any():
            return 0.0
        first, second = (x if moving.all() else x[np.ix_(moving, moving)] for x in (a.covariance, b.covariance))
        lower = cholesky(first)
        if lower is not None:
            product, _ = lapack.dsygst(second, lower, itype=2, lower=1)  # L^T S' L, at a third of the usual cost
            values = torch.linalg.eigvalsh(torch.from_numpy(product)).numpy()  # twice as fast as numpy
            if values[0] > RESOLVED * values[-1]:
                return float(np.sqrt(values).sum())
        a, b = (Spread(x.mean, x.trace, covariance=c) for x, c in ((a, first), (b, second)))
    return float(linalg.svdvals(root(a) @ root(b).T).sum())


def root(a: Spread) -> Array:
    """R with R^T R = S."""
    if a.samples is not None:
        return a.samples
    assert a.covariance is not None
    lower = cholesky(a.covariance)
    if lower is not None:
        return lower.T
    values, vectors = np.linalg.eigh(a.covariance)
    known = values > values[-1] * len(values) * np.finfo(np.float64).eps  # the others are rounding of zero
    return (vectors[:, known] * np.sqrt(values[known])).T


def cholesky(covariance: Array) -> Array | None:
    """L with L L^T = S, or None where S is singular to rounding."""
    lower, failed = lapack.dpotrf(covariance, lower=1)
    if failed or (np.square(np.diag(lower)) < INDEPENDENT * np.diag(covariance)).any():
        return None
    return lower
