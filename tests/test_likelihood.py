"""Likelihoods and divergences against torch.distributions, in nats and with their constants."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from isthmus.losses.adversarial import fake, real
from isthmus.losses.likelihood import bernoulli_log_prob, gaussian_kl, gaussian_log_prob, reparameterise


def test_bernoulli_sums_over_pixels():
    logits, x = torch.randn(5, 2, 3, 4), torch.randint(2, (5, 2, 3, 4)).float()
    expected = Bernoulli(logits=logits).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(bernoulli_log_prob(logits, x), expected)


@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_gaussian_has_its_constants(scale):
    mean, x = torch.randn(5, 2, 3, 4), torch.randn(5, 2, 3, 4)
    torch.testing.assert_close(gaussian_log_prob(mean, scale, x), Normal(mean, scale).log_prob(x).sum((1, 2, 3)))


def test_kl_is_that_of_two_gaussians():
    mean, log_variance = torch.randn(6, 7), torch.randn(6, 7)
    closed = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(gaussian_kl(mean, log_variance), closed)


def test_kl_is_the_mean_of_the_log_ratio():
    torch.manual_seed(0)
    mean, log_variance = torch.tensor([[0.7, -1.2]]), torch.tensor([[-0.5, 0.3]])
    z = reparameterise(mean.expand(200_000, -1), log_variance.expand(200_000, -1))
    q = Normal(mean, (0.5 * log_variance).exp())
    ratio = (q.log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(1)
    error = 4 * ratio.std().item() / math.sqrt(len(z))
    assert gaussian_kl(mean, log_variance).item() == pytest.approx(ratio.mean().item(), abs=error)


def test_reparameterised_samples_have_the_right_moments_and_carry_gradients():
    torch.manual_seed(0)
    mean, log_variance = torch.full((100_000, 1), 2.0, requires_grad=True), torch.full((100_000, 1), math.log(9.0))
    z = reparameterise(mean, log_variance)
    assert z.mean().item() == pytest.approx(2.0, abs=0.05)
    assert z.std().item() == pytest.approx(3.0, abs=0.05)
    z.sum().backward()
    assert torch.equal(mean.grad, torch.ones_like(mean))


def test_adversarial_losses_are_the_two_halves_of_cross_entropy():
    logits = torch.linspace(-40, 40, 81, dtype=torch.float32)[:, None]
    d, not_d = logits.double().sigmoid(), (-logits).double().sigmoid()
    torch.testing.assert_close(real(logits).double(), -d.log().mean(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(fake(logits).double(), -not_d.log().mean(), rtol=1e-5, atol=1e-5)
    for loss, sign in ((real, -1), (fake, 1)):
        x = torch.zeros(1, 1, requires_grad=True)
        loss(x).backward()
        assert x.grad.item() == pytest.approx(sign * 0.5)  # one pushes logits up, the other down


def test_losses_are_float32_under_autocast():
    x = torch.randn(4, 8, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        logits = torch.nn.functional.linear(x, torch.randn(8, 8))
        assert logits.dtype == torch.bfloat16
        for value in (real(logits), fake(logits), bernoulli_log_prob(logits, x), gaussian_log_prob(logits, 1.0, x)):
            assert value.dtype == torch.float32
