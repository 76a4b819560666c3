"""Metrics of features: against references of higher precision, and by the laws that hold for any features."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch

from isthmus.errors import ConfigError, DataError
from isthmus.evaluation import (
    Moments,
    Running,
    frechet_distance,
    inception_score,
    kernel_distance,
    kernel_distance_subsets,
    kernel_estimate,
    mode_score,
    precision_recall,
    sliced_wasserstein,
)
from isthmus.evaluation import kernel as kernel_module
from isthmus.evaluation import manifold as manifold_module


def normal(n, dims, seed=0, scale=1.0, shift=0.0):
    return np.random.default_rng(seed).standard_normal((n, dims)) * scale + shift


def exact_frechet(a, b, digits=50):
    """With `digits` decimal digits, by the eigenvalues of the product of the covariances."""
    with mpmath.workdps(digits):
        means, covariances = [], []
        for x in (a, b):
            rows = mpmath.matrix(x.tolist())
            mu = [mpmath.fsum(rows[:, j]) / rows.rows for j in range(rows.cols)]
            for i in range(rows.rows):
                for j in range(rows.cols):
                    rows[i, j] -= mu[j]
            means.append(mpmath.matrix(mu))
            covariances.append(rows.T * rows / (rows.rows - 1))
        values, vectors = mpmath.eigsy(covariances[0])
        root = vectors * mpmath.diag([mpmath.sqrt(max(v, 0)) for v in values]) * vectors.T
        product = mpmath.eigsy(root * covariances[1] * root, eigvals_only=True)
        apart = means[0] - means[1]
        traces = sum(c[i, i] for c in covariances for i in range(c.rows))
        return float((apart.T * apart)[0] + traces - 2 * mpmath.fsum(mpmath.sqrt(max(v, 0)) for v in product))


@pytest.mark.parametrize(("n", "m"), [(40, 50), (5, 6), (5, 60), (60, 5), (9, 10)])
def test_frechet_agrees_with_fifty_digits(n, m):
    a, b = normal(n, 8), normal(m, 8, seed=1, scale=1.5, shift=0.2)
    expected = exact_frechet(a, b)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)
    assert frechet_distance(a.astype(np.float32), torch.from_numpy(b).float()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", ["constant", "copied", "combined", "tiny"])
def test_frechet_agrees_with_fifty_digits_where_dimensions_depend_on_each_other(kind):
    a, b = normal(60, 8), normal(70, 8, seed=1, scale=1.5)
    for x in (a, b):
        x[:, 3] = {"constant": 1.0, "copied": x[:, 4], "combined": x[:, 1] - x[:, 2], "tiny": x[:, 3] * 1e-9}[kind]
    expected = exact_frechet(a, b)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(Moments.of(a), Moments.of(b)) == pytest.approx(expected, rel=1e-7)


def test_frechet_of_gaussians_in_closed_form():
    a = normal(500, 3)
    a = (a - a.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(a.T)).T)  # mean 0, covariance exactly 1
    deviations, shift = np.array([1.0, 2.0, 0.5]), np.array([3.0, 0.0, -4.0])
    assert frechet_distance(a, a * deviations + shift) == pytest.approx(25 + ((deviations - 1) ** 2).sum(), rel=1e-12)


@pytest.mark.parametrize("n", [6, 300])
def test_frechet_laws(n):
    a, b = normal(n, 20), normal(n + 1, 20, seed=1, shift=0.3)
    turn = np.linalg.qr(normal(20, 20, seed=2))[0]
    distance = frechet_distance(a, b)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-12)
    assert frechet_distance(b, a) == pytest.approx(distance, rel=1e-12)
    assert frechet_distance(a[::-1], b) == pytest.approx(distance, rel=1e-12)
    assert frechet_distance(a @ turn + 5, b @ turn + 5) == pytest.approx(distance, rel=1e-11)
    assert frechet_distance(3 * a, 3 * b) == pytest.approx(9 * distance, rel=1e-11)


def test_constant_sets_have_the_distance_of_their_means():
    zeros, ones = np.zeros((30, 4)), np.ones((20, 4))
    assert frechet_distance(zeros, zeros) == 0
    assert frechet_distance(zeros, ones) == pytest.approx(4)
    assert frechet_distance(Moments.of(zeros), Moments.of(ones)) == pytest.approx(4)


def test_moments_merge_as_if_of_all_images(tmp_path):
    features = normal(200, 7, shift=1e3)
    whole = Moments.of(features)
    merged = Moments.of(features[:1]) + Moments.of(features[1:60]) + Moments.of(features[60:])
    running = Running()
    for batch in np.split(features, [3, 4, 90]):
        running.update(torch.from_numpy(batch))
    for other in (merged, running.moments()):
        assert other.count == 200
        np.testing.assert_allclose(other.mean, whole.mean, rtol=1e-14)
        np.testing.assert_allclose(other.covariance, whole.covariance, rtol=1e-11, atol=1e-11)
    assert frechet_distance(whole, features) == pytest.approx(0, abs=1e-11)


def test_moments_are_kept_in_a_file_as_pytorch_fid_keeps_them(tmp_path):
    features = normal(50, 4)
    moments = Moments.of(features, extractor="judge")
    moments.save(tmp_path / "a.npz")
    again = Moments.load(tmp_path / "a.npz")
    assert (again.count, again.provenance) == (50, {"extractor": "judge"})
    assert frechet_distance(again, features) == pytest.approx(0, abs=1e-12)
    np.savez(tmp_path / "theirs.npz", mu=features.mean(0), sigma=np.cov(features, rowvar=False))
    theirs = Moments.load(tmp_path / "theirs.npz")
    assert frechet_distance(theirs, again) == pytest.approx(0, abs=1e-12)
    with pytest.raises(DataError, match="unknown number"):
        theirs + again
    with pytest.raises(DataError, match="do not belong together"):
        again + Moments.of(features)
    np.savez(tmp_path / "odd.npz", mu=np.zeros(3), sigma=np.zeros((2, 2)))
    (tmp_path / "text.npz").write_text("nothing")
    for name, words in (("odd", r"\[3\]"), ("text", "no statistics"), ("missing", "no statistics")):
        with pytest.raises(DataError, match=words):
            Moments.load(tmp_path / f"{name}.npz")


def naive_kernel_distance(a, b):
    def kernel(x, y):
        return (x @ y.T / x.shape[1] + 1) ** 3

    n, m = len(a), len(b)
    own = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (kernel(a, a), kernel(b, b))]
    return sum(own) - 2 * kernel(a, b).sum() / (n * m)


def test_kernel_distance_is_the_unbiased_estimate_whatever_the_blocks(monkeypatch):
    a, b = normal(45, 6), normal(31, 6, seed=1, shift=0.4)
    expected = naive_kernel_distance(a, b)
    for block in (1000, 45, 7, 1):
        monkeypatch.setattr(kernel_module, "BLOCK", block)
        assert kernel_distance(a, b) == pytest.approx(expected, rel=1e-12)
    assert kernel_distance(b, a) == pytest.approx(expected, rel=1e-12)
    assert kernel_distance(a.astype(np.float32), b.astype(np.float32)) == pytest.approx(expected, rel=1e-5)


def test_kernel_distance_is_unbiased_and_its_error_is_honest():
    """Over many draws of equal sets the mean is 0; of different sets, deviations are as large as the error says."""
    alike = [kernel_distance(normal(40, 3, seed=2 * i), normal(40, 3, seed=2 * i + 1)) for i in range(300)]
    assert abs(np.mean(alike)) < 4 * np.std(alike) / math.sqrt(300)
    apart = [kernel_estimate(normal(60, 3, seed=2 * i), normal(50, 3, seed=2 * i + 1, shift=0.5)) for i in range(200)]
    assert np.mean([e.error for e in apart]) == pytest.approx(np.std([e.value for e in apart]), rel=0.2)


def test_kernel_subsets_are_seeded():
    a, b = normal(80, 6), normal(70, 6, seed=1)
    first = kernel_distance_subsets(a, b, subsets=5, size=20)
    assert kernel_distance_subsets(a, b, subsets=5, size=20) == first
    assert kernel_distance_subsets(a, b, subsets=5, size=20, seed=1) != first
    everything = kernel_distance_subsets(a[:70], b, subsets=2, size=70)
    assert everything.value == pytest.approx(kernel_distance(a[:70], b), rel=1e-12)
    with pytest.raises(DataError, match="from 2 to 70"):
        kernel_distance_subsets(a, b, size=1000)


def naive_manifold(x, y, k):
    def distances(p, q):
        return np.linalg.norm(p[:, None] - q[None], axis=2)

    reach = [np.sort(distances(p, p), axis=1)[:, k] for p in (x, y)]
    across = distances(x, y)
    inside = across <= reach[0][:, None]
    recall = (across <= reach[1][None]).any(1).mean()
    return inside.any(0).mean(), recall, inside.sum(0).mean() / k, inside.any(1).mean()


@pytest.mark.parametrize("block", [1000, 13, 1])
def test_precision_recall_is_the_definition_whatever_the_blocks(block, monkeypatch):
    monkeypatch.setattr(manifold_module, "BLOCK", block)
    x, y = normal(40, 5), normal(33, 5, seed=1, scale=1.3)
    for k in (1, 3, 5):
        found = [estimate.value for estimate in precision_recall(real=x, fake=y, neighbours=k)]
        assert found == pytest.approx(naive_manifold(x, y, k), rel=1e-12)


def test_precision_recall_of_equal_and_of_distant_sets():
    x = normal(100, 5).astype(np.float32) + 100  # far from the origin, where single precision loses digits
    same = precision_recall(real=x, fake=x)
    assert (same.precision.value, same.recall.value, same.coverage.value) == (1, 1, 1)
    assert same.density.value >= 1
    apart = precision_recall(real=x, fake=x + 50)
    assert [e.value for e in apart] == [0, 0, 0, 0]
    twice = np.repeat(x, 7, axis=0)  # balls of no size, which hold their centre
    copies = precision_recall(real=twice, fake=x)
    assert copies.precision.value == copies.coverage.value == 1


def test_precision_and_recall_are_not_swapped():
    real = np.concatenate([normal(100, 2), normal(100, 2, seed=1, shift=20)])
    fake = normal(100, 2, seed=2)  # one of two clusters: all is right, half is missing
    found = precision_recall(real=real, fake=fake, neighbours=3)
    assert found.precision.value > 0.8
    assert 0.4 < found.recall.value <= 0.5
    assert found.coverage.value <= 0.5


def test_inception_score_of_known_answers():
    sure = np.eye(5).repeat(20, axis=0) * 1e3
    assert inception_score(sure, splits=1).value == pytest.approx(5)
    assert inception_score(np.zeros((50, 7))).value == pytest.approx(1)
    assert inception_score(sure[:20], splits=2) == pytest.approx((1, 0))
    with pytest.raises(DataError, match="fewer splits"):
        inception_score(sure, splits=101)


def test_mode_score_charges_for_missing_classes():
    sure = np.eye(4).repeat(10, axis=0) * 30.0
    assert mode_score(real=sure, fake=sure) == pytest.approx(4)
    assert mode_score(real=sure, fake=sure[:20]) == pytest.approx(1, rel=1e-6)  # exp(log 2 - log 2)


def test_sliced_wasserstein():
    a, b = normal(50, 4), normal(50, 4, seed=1)
    assert sliced_wasserstein(a, a) == 0
    assert sliced_wasserstein(a, b) == pytest.approx(sliced_wasserstein(b, a), rel=1e-12)
    assert sliced_wasserstein(a, a.repeat(3, axis=0)) == pytest.approx(0, abs=1e-12)
    line = normal(30, 1)
    assert sliced_wasserstein(line, line + 2.5) == pytest.approx(2.5)
    from scipy.stats import wasserstein_distance

    other = normal(47, 1, seed=3, scale=2)
    assert sliced_wasserstein(line, other) == pytest.approx(wasserstein_distance(line[:, 0], other[:, 0]), rel=1e-12)


METRICS = [
    frechet_distance,
    kernel_distance,
    sliced_wasserstein,
    lambda a, b: precision_recall(real=a, fake=b),
    lambda a, b: mode_score(real=a, fake=b),
]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda x: x[:0], "hold 0 of the"),
        (lambda x: x[:, :3], "8 and of 3 dims|8 and of 3"),
        (lambda x: x[:, :, None], "flatten"),
        (lambda x: np.where(np.arange(len(x))[:, None] == 4, np.nan, x), "1 of 40 images, the first is number 4"),
        (lambda x: np.where(np.arange(len(x))[:, None] >= 38, np.inf, x), "2 of 40 images, the first is number 38"),
    ],
)
def test_unfit_features_are_one_clear_sentence(metric, spoil, words):
    with pytest.raises(DataError, match=words):
        metric(normal(40, 8), spoil(normal(40, 8, seed=1)))


def test_too_few_images_are_one_clear_sentence():
    a = normal(3, 8)
    for metric in (frechet_distance, kernel_distance):
        with pytest.raises(DataError, match="hold 1 of the 2 images"):
            metric(a, a[:1])
    with pytest.raises(DataError, match="one image"):
        frechet_distance(a, Moments.of(a[:1]))
    with pytest.raises(DataError, match="hold 3 of the 6 images"):
        precision_recall(real=a, fake=a)
    with pytest.raises(ConfigError, match="neighbours"):
        precision_recall(real=a, fake=a, neighbours=0)
    with pytest.raises(DataError, match="update"):
        Running().moments()


def test_tensors_of_any_type_are_taken():
    a, b = torch.from_numpy(normal(30, 4)).requires_grad_(), torch.from_numpy(normal(30, 4, seed=1))
    expected = frechet_distance(a, b)
    assert frechet_distance(a.detach().numpy(), b.numpy()) == expected
    assert frechet_distance(a.half(), b.bfloat16()) == pytest.approx(expected, rel=0.02)
    assert frechet_distance(torch.arange(12).view(6, 2), torch.arange(12).view(6, 2)) == pytest.approx(0, abs=1e-9)
