"""Layers of flows: they invert, and their determinants are right."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Normal

from flow_helpers import trained, true_log_det
from isthmus.nn import flow

LAYERS = {
    "actnorm": lambda: flow.ActNorm(4),
    "conv": lambda: flow.InvertibleConv(4),
    "lu": lambda: flow.InvertibleConvLU(4),
    "shuffle": lambda: flow.shuffle(4),
    "reverse": lambda: flow.reverse(4),
    "affine": lambda: flow.Coupling(4, 5, affine=True),
    "additive": lambda: flow.Coupling(4, 5, affine=False),
    "split": lambda: flow.Split(4),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_invert_and_know_their_determinant(name):
    torch.manual_seed(0)
    layer = trained(LAYERS[name]())
    x = torch.randn(3, 4, 3, 2)
    y, _ = layer(x)
    assert y.shape == x.shape
    assert (layer.inverse(y) - x).abs().max() < 1e-4
    layer, x = layer.double(), x.double()
    log_dets = layer(x)[1].expand(3)
    for i in range(3):
        truth = true_log_det(lambda v: layer(v)[0], x[i : i + 1])
        assert log_dets[i].item() == pytest.approx(truth, abs=1e-6)
    constant = name in ("shuffle", "reverse", "additive")
    assert (abs(log_dets[0].item()) > 0.1) != constant, "the test is empty"


def test_a_convolution_counts_its_determinant_at_each_place():
    layer = trained(flow.InvertibleConv(4))
    one = torch.linalg.slogdet(layer.matrix)[1]
    assert one.abs() > 0.01
    for height, width in ((1, 1), (3, 5)):
        torch.testing.assert_close(layer(torch.zeros(2, 4, height, width))[1], height * width * one)


def test_the_lu_form_begins_as_the_same_rotation():
    for kind in (flow.InvertibleConv, flow.InvertibleConvLU):
        torch.manual_seed(7)
        layer = kind(6)
        torch.testing.assert_close(layer.matrix @ layer.matrix.T, torch.eye(6))
        assert layer(torch.zeros(1, 6, 3, 3))[1].abs() < 1e-5
    torch.manual_seed(7)
    torch.testing.assert_close(layer.matrix, flow.InvertibleConv(6).matrix)


def test_the_lu_form_stays_of_its_form():
    """Whatever is learned above L's diagonal, on it, or below U's counts for nothing."""
    layer = flow.InvertibleConvLU(6)
    before = layer.matrix.clone()
    with torch.no_grad():
        layer.lower += torch.ones(6, 6).triu()
        layer.upper += torch.ones(6, 6).tril()
    torch.testing.assert_close(layer.matrix, before)


@pytest.mark.parametrize("make", [flow.shuffle, flow.reverse])
def test_permutations_are_permutations(make):
    layer = make(12)
    x = torch.arange(12.0).view(1, 12, 1, 1)
    assert sorted(layer(x)[0].flatten().tolist()) == list(range(12))
    assert not torch.equal(layer(x)[0], x)
    assert (make is flow.reverse) == torch.equal(layer(x)[0], x.flip(1))
    assert "order" in layer.state_dict(), "the order must come back with the weights"


@pytest.mark.parametrize("affine", [True, False])
def test_couplings_begin_as_almost_nothing(affine):
    layer = flow.Coupling(4, 5, affine)
    x = torch.randn(2, 4, 3, 3)
    y, log_det = layer(x)
    scale = flow.LEAST + (1 - flow.LEAST) / (1 + math.exp(-2)) if affine else 1.0
    torch.testing.assert_close(y, torch.cat([scale * x[:, :2], x[:, 2:]], dim=1))
    torch.testing.assert_close(log_det, torch.full((2,), 2 * 9 * math.log(scale)))


def test_couplings_change_one_half_as_the_other_says():
    layer = trained(flow.Coupling(4, 5, affine=True))
    x = torch.randn(1, 4, 3, 3)
    first, second = x.clone(), x.clone()
    first[:, :2] += 1
    second[:, 2:] += 1
    scale, _ = layer.scale_and_shift(x[:, 2:])
    torch.testing.assert_close(layer(first)[0] - layer(x)[0], F.pad(scale, (0, 0, 0, 0, 0, 2)))
    assert not torch.allclose(layer(second)[0][:, :2], layer(x)[0][:, :2])


def test_couplings_scale_within_bounds_whatever_their_network_says():
    """With exp one large weight turns all into NaN; with a sigmoid that reaches 0, what the inverse gives."""
    layer = trained(flow.Coupling(4, 5, affine=True))
    with torch.no_grad():
        layer.net[-1].weight[:2] *= 1000
    x = 100 * torch.randn(2, 4, 3, 3)
    scale, _ = layer.scale_and_shift(x[:, 2:])
    assert scale.min() == flow.LEAST
    assert scale.max() == 1
    y, log_det = layer(x)
    assert log_det.isfinite().all()
    torch.testing.assert_close(layer.inverse(y), x, rtol=0, atol=1e-6 * y.abs().max().item() / flow.LEAST)


def test_the_second_half_leaves_as_its_gaussian_expects():
    layer = trained(flow.Split(4))
    x = torch.randn(3, 4, 3, 3)
    y, log_det = layer(x)
    mean, log_scale = layer.prior(x[:, :2]).chunk(2, dim=1)
    expected = Normal(mean, log_scale.exp()).log_prob(x[:, 2:]).flatten(1).sum(1)
    torch.testing.assert_close(Normal(0.0, 1.0).log_prob(y[:, 2:]).flatten(1).sum(1) + log_det, expected)
    assert torch.equal(y[:, :2], x[:, :2])


def test_what_does_not_vary_is_not_blown_up():
    layer = flow.ActNorm(2)
    x = torch.cat([torch.full((2, 1, 3, 3), 5.0), torch.randn(2, 1, 3, 3)], dim=1)
    layer.measure(x)
    torch.testing.assert_close(layer(x)[0][:, 0], torch.zeros(2, 3, 3))
    assert layer.log_scale[0] == 0


@pytest.mark.parametrize(("before", "after", "kernel"), [(2, 7, 3), (7, 2, 3), (5, 5, 3), (5, 4, 1)])
def test_convolutions_as_products_are_convolutions(before, after, kernel):
    given = torch.randn(2, before, 5, 3), torch.randn(after, before, kernel, kernel), torch.randn(after)
    given = [tensor.double().requires_grad_() for tensor in given]
    ours, torchs = flow.convolved(*given), F.conv2d(*given, padding="same")
    torch.testing.assert_close(ours, torchs)
    pull = torch.randn_like(torchs)
    for gradient, expected in zip(*(torch.autograd.grad(y, given, pull) for y in (ours, torchs)), strict=True):
        torch.testing.assert_close(gradient, expected)
