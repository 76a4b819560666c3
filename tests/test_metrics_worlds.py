"""Metrics in worlds where the truth is known: labels, clusters, modes, likelihoods."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from isthmus.core import Spec
from isthmus.data.gaussians import gaussian_grid
from isthmus.data.images import Images
from isthmus.errors import ConfigError, DataError
from isthmus.evaluation import (
    augmentation_gain,
    bits_per_dimension,
    classification_accuracy_score,
    cluster_accuracy,
    gaussian_modes,
    importance_weighted,
    nearest_neighbour_accuracy,
    parzen,
    parzen_sigma,
    stacked_modes,
)
from isthmus.evaluation.classification import cluster_names
from isthmus.evaluation.judge import Recipe
from isthmus.evaluation.likelihood import GREY_LEVEL
from isthmus.evaluation.modes import stacked_labels
from isthmus.losses.likelihood import gaussian_kl
from isthmus.models.autoencoders.vae import VAE


def squares(n, seed, noise=30):
    """Four classes: a bright quarter each."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 4
    pixels = torch.randint(noise, (n, 1, 8, 8), generator=generator)
    for i, label in enumerate(labels.tolist()):
        pixels[i, 0, 4 * (label // 2) :, 4 * (label % 2) :][:4, :4] += 150
    return Images(pixels.to(torch.uint8), Spec(1, 8, 8, tuple("abcd"), f"squares {seed}"), labels)


def test_generated_images_as_training_data():
    recipe = Recipe(steps=60, features=4)
    real, test = squares(40, 0), squares(200, 1)
    wrong = Images(real.pixels, real.spec, (real.labels + 1) % 4)
    assert classification_accuracy_score(squares(80, 2), test, recipe) > 0.95
    assert classification_accuracy_score(wrong, test, recipe) < 0.1
    found = augmentation_gain(real, squares(80, 3), test, recipe)
    assert found.both > 0.95
    assert found.gain == found.both - found.real
    assert augmentation_gain(real, wrong, test, recipe).gain < -0.2
    other = Images(real.pixels, Spec(1, 8, 8, tuple("abce"), "other"), real.labels)
    with pytest.raises(DataError, match="same size, channels and classes"):
        classification_accuracy_score(other, test, recipe)


def test_nearest_neighbours_and_clusters():
    generator = np.random.default_rng(0)
    labels = np.arange(300) % 3
    points = generator.standard_normal((300, 2)) * 0.1 + np.array([[0, 0], [5, 0], [0, 5]])[labels]
    assert nearest_neighbour_accuracy(points[:200], labels[:200], points[200:], torch.from_numpy(labels[200:])) == 1
    assert nearest_neighbour_accuracy(points[:200], labels[:200] * 0, points[200:], labels[200:]) == pytest.approx(
        1 / 3, abs=0.01
    )
    renamed = np.array([7, 2, 4])[labels]
    assert cluster_accuracy(renamed, labels) == 1
    assert cluster_names(torch.from_numpy(renamed), labels) == {7: 0, 2: 1, 4: 2}
    assert cluster_names(labels // 2, labels) in ({0: 0, 1: 2}, {0: 1, 1: 2})
    assert cluster_accuracy(labels // 2, labels) == pytest.approx(2 / 3)
    assert cluster_accuracy(np.arange(300), labels) == pytest.approx(1 / 100)  # one-to-one: no reward for many clusters
    with pytest.raises(DataError, match="whole numbers"):
        cluster_accuracy(points, labels)
    with pytest.raises(DataError, match=r"whole numbers \[300\]"):
        cluster_accuracy(renamed, labels[:5])


def test_modes_of_the_grid_by_the_strict_rule():
    generator = np.random.default_rng(0)
    centres = gaussian_grid()
    assert centres.min() == -4
    assert len(centres) == 25

    def around(which, n=10_000):
        return centres[which[generator.integers(0, len(which), n)]] + 0.05 * generator.standard_normal((n, 2))

    everything = gaussian_modes(around(np.arange(25)), centres)
    assert (everything.covered, everything.total) == (25, 25)
    assert everything.high_quality == pytest.approx(1 - math.exp(-4.5), abs=0.005)  # within 3 sigma in the plane
    assert everything.divergence < 0.01
    collapsed = gaussian_modes(around(np.array([3])), centres)
    assert collapsed.covered == 1
    assert collapsed.divergence == pytest.approx(math.log(25))
    smeared = gaussian_modes(generator.uniform(-5, 5, (10_000, 2)), centres)
    assert smeared.covered < 13  # by "one sample is enough" it would be all 25
    few = np.concatenate([np.tile(centres[0], (9_981, 1)), np.tile(centres[1], (19, 1))])
    assert gaussian_modes(few, centres).covered == 1
    assert gaussian_modes(np.concatenate([few[1:], centres[1:2]]), centres).covered == 2
    with pytest.raises(DataError, match="500 samples"):
        gaussian_modes(centres, centres)


def test_stacked_modes():
    assert stacked_modes(torch.arange(1000)).covered == 1000
    assert stacked_modes(torch.arange(1000)).divergence == pytest.approx(0, abs=1e-12)
    half = stacked_modes(torch.arange(26_000) % 500)
    assert (half.covered, half.high_quality) == (500, None)
    assert half.divergence == pytest.approx(math.log(2))
    with pytest.raises(DataError, match="from 0 to 999"):
        stacked_modes(torch.tensor([1000]))

    class Grey:
        spec = Spec(1, 4, 4, tuple("0123456789"))
        classify = staticmethod(lambda image: (image[:, 0, 0, 0] * 10).round().long())

    digits = torch.tensor([[1, 2, 3], [0, 0, 7]])
    images = (digits / 10)[:, :, None, None].expand(2, 3, 4, 4)
    assert stacked_labels(images, Grey()).tolist() == [123, 7]


def test_bits_per_dimension():
    assert bits_per_dimension(-10 * math.log(256), 10) == pytest.approx(8)  # all levels equally probable
    assert bits_per_dimension(-10 * math.log(256 * GREY_LEVEL), 10, GREY_LEVEL) == pytest.approx(
        8
    )  # the same, as a density


def test_the_importance_weighted_bound_of_a_linear_model_is_its_likelihood():
    """p(x | z) = N(z w, s^2 I) has a likelihood in closed form, and with the true posterior every weight is equal."""
    w, s = torch.tensor([[1.0, -2.0, 0.5]]), 0.7
    variance = 1 / (1 + (w @ w.T).item() / s**2)

    class Linear:
        loose = 0.0

        def log_weight(self, image, samples):
            mean = variance * image @ w.T / s**2 + self.loose
            posterior = torch.distributions.Normal(mean, math.sqrt(variance * math.exp(self.loose)))
            z = posterior.sample((samples,))
            given = torch.distributions.Normal(z @ w, s).log_prob(image).sum(-1)
            prior = torch.distributions.Normal(0.0, 1.0)
            return given + (prior.log_prob(z) - posterior.log_prob(z)).sum(-1)

    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    exact = torch.distributions.MultivariateNormal(torch.zeros(3), w.T @ w + s**2 * torch.eye(3)).log_prob(x)
    torch.manual_seed(0)
    assert importance_weighted(Linear(), x, 1).tolist() == pytest.approx(exact.tolist(), rel=1e-4)
    model = Linear()
    model.loose = 0.5
    bounds = [importance_weighted(model, x.repeat(200, 1), k).mean().item() for k in (1, 10, 600)]
    assert bounds[0] < bounds[1] < bounds[2] < exact.mean() + 0.01
    assert bounds[2] == pytest.approx(exact.mean().item(), abs=0.02)
    with pytest.raises(ConfigError, match="samples"):
        importance_weighted(model, x, 0)


def test_the_importance_weighted_bound_of_one_sample_is_the_evidence_lower_bound():
    torch.manual_seed(0)
    model, x = VAE(latent=3, hidden=8).build(Spec(1, 4, 4)).eval(), torch.rand(5, 1, 4, 4) * 2 - 1
    with torch.no_grad():
        ours = importance_weighted(model, x.repeat(3000, 1, 1, 1), 1).mean()
        theirs = model.log_prob(x.repeat(3000, 1, 1, 1)).mean()
        kl = gaussian_kl(*model.posterior(x)).mean()
    assert kl > 0
    assert ours.item() == pytest.approx(theirs.item(), abs=0.05)


def test_parzen_window():
    samples = np.zeros((1, 2))
    assert parzen(samples, np.zeros((3, 2)), 1.0).value == pytest.approx(-math.log(2 * math.pi))
    generator = np.random.default_rng(0)
    points = generator.standard_normal((6000, 1))
    found = parzen(points[:5500], points[5500:], 0.2)
    assert found.value == pytest.approx(-0.5 * math.log(2 * math.pi * math.e), abs=4 * found.error)
    assert 0.1 < parzen_sigma(points[:500], points[500:1000]) < 0.7
    with pytest.raises(ConfigError, match="sigma"):
        parzen(points, points, 0.0)
