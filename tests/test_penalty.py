"""Penalties against gradients taken one example at a time, in float64."""

import pytest
import torch
from torch import nn

from isthmus.losses.penalty import clip_weights, dragan, gradient_penalty, norm_to, squared_norms, zero_centred

SHAPE = (2, 3, 4)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def critic():
    net = nn.Sequential(nn.Flatten(), nn.Linear(24, 9), nn.Tanh(), nn.Linear(9, 1)).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(3)
    return net


class Seen:
    """A critic that remembers where it was asked."""

    def __init__(self, critic):
        self.critic, self.places = critic, []

    def __call__(self, x):
        self.places.append(x.detach())
        return self.critic(x)


def images(n=5):
    return torch.randn(n, *SHAPE, dtype=torch.float64)


def linear(norm):
    """A critic whose gradient has that norm everywhere."""
    w = torch.randn(24, dtype=torch.float64)
    w = (norm * w / w.norm()).requires_grad_()
    return w, lambda x: x.flatten(1) @ w


def norms(critic, x):
    """|grad D| of each example, asked for alone."""
    found = []
    for one in x.detach().split(1):
        one.requires_grad_()
        found.append(torch.autograd.grad(critic(one).squeeze(), one)[0].norm())
    return torch.stack(found)


def test_squared_norms_are_of_each_example_and_of_all_its_inputs(critic):
    x = images().requires_grad_()
    torch.testing.assert_close(squared_norms(critic(x), x), norms(critic, x).square())
    z = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    both = squared_norms(critic(x).squeeze(1) * z.sum(1), x, z)
    expected = (norms(critic, x) * z.sum(1)).square() + 6 * critic(x).squeeze(1).square()
    torch.testing.assert_close(both, expected)


def test_zero_centred_is_half_the_mean_square_whatever_the_size_of_the_batch(critic):
    x = images().requires_grad_()
    torch.testing.assert_close(zero_centred(critic(x), x), 0.5 * norms(critic, x).square().mean())
    twice = x.detach().repeat(2, 1, 1, 1).requires_grad_()
    torch.testing.assert_close(zero_centred(critic(twice), twice), zero_centred(critic(x), x))


def test_zero_centred_reaches_the_discriminators_weights():
    w, critic = linear(1.7)
    x = images().requires_grad_()
    (gradient,) = torch.autograd.grad(zero_centred(critic(x), x), w)
    torch.testing.assert_close(gradient, w)  # of |w|^2 / 2


@pytest.mark.parametrize("target", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("norm", [0.5, 1.0, 3.0])
def test_a_linear_critic_pays_by_its_slope_on_both_sides_or_on_one(norm, target):
    w, critic = linear(norm)
    x = images()
    torch.testing.assert_close(norm_to(critic, x, target).item(), (norm - target) ** 2)
    torch.testing.assert_close(norm_to(critic, x, target, one_sided=True).item(), max(norm - target, 0.0) ** 2)
    (gradient,) = torch.autograd.grad(norm_to(critic, x, target), w)
    torch.testing.assert_close(gradient, 2 * (norm - target) * w / norm, rtol=1e-9, atol=1e-9)


def test_the_gradient_penalty_is_taken_between_pairs_at_one_place_for_all_values(critic):
    real, fake, seen = images(400), images(400), Seen(critic)
    value = gradient_penalty(seen, real, fake)
    (place,) = seen.places
    share = ((place - real) / (fake - real)).flatten(1)
    torch.testing.assert_close(share, share[:, :1].expand_as(share), rtol=1e-6, atol=1e-6)
    assert ((share >= 0) & (share <= 1)).all()
    assert share[:, 0].mean().item() == pytest.approx(0.5, abs=0.05)  # uniform
    assert share[:, 0].std().item() == pytest.approx(12**-0.5, abs=0.02)
    torch.testing.assert_close(value, (norms(critic, place) - 1).square().mean())


def test_dragan_is_taken_around_real_examples_within_half_their_deviation(critic):
    real, seen = images(300), Seen(critic)
    value = dragan(seen, real, target=0.5)
    (place,) = seen.places
    step = place - real
    assert (step >= 0).all()
    assert step.max() <= 0.5 * real.std(correction=0)
    assert step.max() > 0.4 * real.std(correction=0)
    torch.testing.assert_close(value, (norms(critic, place) - 0.5).square().mean())


@pytest.mark.parametrize("penalty", [gradient_penalty, lambda critic, real, fake: dragan(critic, real)])
def test_penalties_move_the_critic_and_nobody_else(critic, penalty):
    generator = nn.Linear(3, 24).double()
    real = images(4).requires_grad_()
    penalty(critic, real, generator(torch.randn(4, 3, dtype=torch.float64)).view(4, *SHAPE)).backward()
    assert real.grad is None
    assert all(p.grad is None for p in generator.parameters())
    assert all(p.grad.abs().sum() > 0 for name, p in critic.named_parameters() if name != "3.bias")


def test_a_flat_critic_has_a_finite_gradient():
    w = torch.zeros(24, requires_grad=True)
    (gradient,) = torch.autograd.grad(norm_to(lambda x: x.flatten(1) @ w, images(3).float()), w)
    assert gradient.isfinite().all()


def test_penalties_are_float32_in_low_precision():
    net = nn.Sequential(nn.Flatten(), nn.Linear(24, 8), nn.ReLU(), nn.Linear(8, 1))
    with torch.autocast("cpu", torch.bfloat16):
        value = gradient_penalty(net, images(4).float(), images(4).float())
    assert value.dtype == torch.float32
    value.backward()
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)


def test_clipping_holds_every_parameter_and_leaves_what_is_small():
    net = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 1))
    before = [p.clone() for p in net.parameters()]
    clip_weights(net, 0.1)
    for p, old in zip(net.parameters(), before, strict=True):
        torch.testing.assert_close(p, old.clamp(-0.1, 0.1))
        assert p.requires_grad
    assert net[1].weight.max() == torch.tensor(0.1)
