"""Adversarial losses against closed forms, numerical suprema and integrals, in float64."""

import math
from typing import get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import lambertw

from isthmus.losses.adversarial import (
    DIVERGENCES,
    DivergenceName,
    ObjectiveName,
    fake,
    high,
    hinge_fake,
    hinge_real,
    low,
    objective,
    real,
    saturating,
    squared_to,
)

OBJECTIVES = [name for part in get_args(ObjectiveName) for name in (get_args(part) or (part,))]
NAMES = pytest.mark.parametrize("name", OBJECTIVES)
DIVERGENCE = pytest.mark.parametrize("name", DIVERGENCES)
V = torch.linspace(-3, 3, 61, dtype=torch.float64)
X = torch.linspace(-12, 12, 40_001, dtype=torch.float64)


def normal(mean, deviation):
    return torch.exp(-0.5 * ((X - mean) / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))


P, Q = normal(0.0, 1.0), normal(0.5, 1.3)


def integral(values):
    return torch.trapezoid(values, X)


def test_every_divergence_has_a_name():
    assert set(get_args(DivergenceName)) == set(DIVERGENCES)
    assert set(OBJECTIVES) > set(DIVERGENCES)


@pytest.mark.parametrize(
    ("loss", "formula"),
    [
        (real, lambda v: -torch.log(1 / (1 + torch.exp(-v)))),
        (fake, lambda v: -torch.log(1 - 1 / (1 + torch.exp(-v)))),
        (saturating, lambda v: torch.log(1 - 1 / (1 + torch.exp(-v)))),
        (high, lambda v: -v),
        (low, lambda v: v),
        (hinge_real, lambda v: torch.maximum(torch.zeros_like(v), 1 - v)),
        (hinge_fake, lambda v: torch.maximum(torch.zeros_like(v), 1 + v)),
        (squared_to(1), lambda v: (v - 1) ** 2 / 2),
        (squared_to(0), lambda v: v**2 / 2),
    ],
)
def test_losses_are_means_of_their_formulas_with_their_derivatives(loss, formula):
    v = V[torch.randperm(len(V))][:60].view(20, 3, 1).requires_grad_()
    torch.testing.assert_close(loss(v), formula(v).mean(), rtol=1e-9, atol=1e-12)
    ours, theirs = (torch.autograd.grad(f, v)[0] for f in (loss(v), formula(v).mean()))
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("loss", [real, fake, saturating])
def test_sure_discriminators_cost_finite_amounts(loss):
    v = torch.tensor([-1e4, 1e4], requires_grad=True)
    value = loss(v)
    (gradient,) = torch.autograd.grad(value, v)
    assert value.isfinite()
    assert gradient.isfinite().all()


@NAMES
def test_losses_of_low_precision_are_taken_in_float32(name):
    v = torch.linspace(-1, 1, 301).bfloat16()
    cost = objective(name)
    for loss in (cost.real, cost.fake, cost.generator):
        assert loss(v).dtype == torch.float32
        assert loss(v) == loss(v.float())
        assert loss(v.double()).dtype == torch.float64


def test_a_saturating_generator_learns_nothing_from_a_sure_discriminator():
    v = torch.full((5,), -12.0, dtype=torch.float64, requires_grad=True)
    minimax, other = (torch.autograd.grad(objective(name).generator(v), v)[0] for name in ("minimax", "non-saturating"))
    torch.testing.assert_close((minimax / other), torch.full_like(v, math.exp(-12)), rtol=1e-6, atol=0)


@NAMES
def test_a_generator_wants_higher_outputs(name):
    v = torch.linspace(-0.4, 0.4, 9, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(objective(name).generator(v), v)
    assert (gradient < 0).all()


@NAMES
def test_outputs_are_undecided_where_both_kinds_of_images_are_as_likely(name):
    cost, v = objective(name), torch.linspace(-2, 2, 4001, dtype=torch.float64)
    both = elementwise(cost.real, v) + elementwise(cost.fake, v)
    if cost.undecided is None:
        torch.testing.assert_close(both, torch.zeros_like(both))
    elif name == "hinge":  # flat from -1 to 1
        assert both[(v - cost.undecided).abs().argmin()] == both.min()
    else:
        assert v[both.argmin()].item() == pytest.approx(cost.undecided, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "best"),
    [
        ("non-saturating", lambda p, q: torch.log(p / q)),  # D = p / (p + q)
        ("minimax", lambda p, q: torch.log(p / q)),
        ("least-squares", lambda p, q: p / (p + q)),
        ("hinge", lambda p, q: torch.sign(p - q)),
    ],
)
def test_the_best_discriminator_of_each_density_is_the_papers(name, best):
    cost = objective(name)
    for p, q in ((0.9, 0.2), (0.1, 0.5), (0.3, 0.31)):
        v = torch.linspace(-4, 4, 80_001, dtype=torch.float64)
        total = p * elementwise(cost.real, v) + q * elementwise(cost.fake, v)
        expected = best(torch.tensor(p), torch.tensor(q)).item()
        assert v[total.argmin()].item() == pytest.approx(expected, abs=2e-4)


def elementwise(loss, v):
    """A loss that is a mean, of each value: its derivative by what each weighs."""
    return torch.vmap(loss)(v)


def test_the_game_of_equal_densities_is_worth_log_4():
    v = torch.zeros(7, dtype=torch.float64)
    cost = objective("non-saturating")
    assert -(cost.real(v) + cost.fake(v)).item() == pytest.approx(-math.log(4))


def test_the_optimal_game_is_twice_the_jensen_shannon_divergence_less_log_4():
    v = torch.log(P / Q)
    value = -integral(P * F.softplus(-v) + Q * F.softplus(v))
    m = (P + Q) / 2
    js = 0.5 * integral(P * torch.log(P / m) + Q * torch.log(Q / m))
    assert value.item() == pytest.approx((2 * js - math.log(4)).item(), abs=1e-9)


@DIVERGENCE
def test_conjugates_are_suprema(name):
    """f*(t) = sup of u t - f(u), taken on a fine grid of u > 0; of pearson the paper's is that over all u."""
    f, activation, conjugate = DIVERGENCES[name]
    u = torch.logspace(-12, 12, 400_001, dtype=torch.float64)
    u = torch.cat([-u, u]) if name == "pearson" else u
    v = V[::4]
    for t, value in zip(activation(v), conjugate(v), strict=True):
        assert value.item() == pytest.approx((u * t - f(u)).max().item(), rel=1e-6, abs=1e-6)


@DIVERGENCE
def test_conjugates_have_the_derivatives_that_finite_differences_have(name):
    conjugate, step = DIVERGENCES[name].conjugate, 1e-6
    v = V.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(conjugate(v).sum(), v)
    torch.testing.assert_close(gradient, (conjugate(V + step) - conjugate(V - step)) / (2 * step), rtol=1e-7, atol=1e-7)


def test_jeffreys_conjugate_is_the_one_of_table_6():
    t = torch.linspace(-30, 30, 601, dtype=torch.float64)
    w = lambertw(np.exp(1 - t.numpy())).real
    expected = torch.from_numpy(w + 1 / w) + t - 2
    torch.testing.assert_close(DIVERGENCES["jeffrey"].conjugate(t), expected, rtol=1e-9, atol=1e-9)


@DIVERGENCE
def test_generating_functions_are_convex_and_0_at_1(name):
    f = DIVERGENCES[name].generator
    u = torch.linspace(0.05, 8, 500, dtype=torch.float64)
    assert f(torch.ones((), dtype=torch.float64)).abs() < 1e-12
    assert (f(u)[2:] - 2 * f(u)[1:-1] + f(u)[:-2] > 0).all()


def best_output(name):
    """v with g_f(v) = f'(p / q), by bisection; activations rise."""
    u = (P / Q).requires_grad_()
    (slope,) = torch.autograd.grad(DIVERGENCES[name].generator(u).sum(), u)
    below, above = torch.full_like(X, -1e4), torch.full_like(X, 1e4)
    for _ in range(80):
        middle = (below + above) / 2
        under = DIVERGENCES[name].activation(middle) < slope
        below, above = torch.where(under, middle, below), torch.where(under, above, middle)
    return below


@DIVERGENCE
def test_the_best_discriminator_reaches_the_divergence_and_all_others_stay_below(name):
    f, activation, conjugate = DIVERGENCES[name]
    divergence, v = integral(Q * f(P / Q)), best_output(name)

    def bound(v):
        return integral(P * activation(v) - Q * conjugate(v))

    assert divergence > 0.01
    assert bound(v).item() == pytest.approx(divergence.item(), rel=1e-5)
    for other in (v + 0.1, v - 0.1, v + 0.3 * torch.sin(X), torch.zeros_like(v)):
        assert bound(other) < divergence


@DIVERGENCE
def test_the_objective_of_a_divergence_is_its_bound(name):
    _, activation, conjugate = DIVERGENCES[name]
    cost = objective(name)
    torch.testing.assert_close(cost.real(V) + cost.fake(V), conjugate(V).mean() - activation(V).mean())
    torch.testing.assert_close(cost.generator(V), -activation(V).mean())
