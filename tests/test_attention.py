"""Self-attention over the places of a map, by the paper's own sums."""

import pytest
import torch
from torch import nn

from isthmus.nn.attention import SelfAttention
from isthmus.nn.norm import constrained


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def attention(channels=16, gain=0.7):
    layer = SelfAttention(channels)
    with torch.no_grad():
        layer.gain.fill_(gain)
    return layer


def matrix(convolution):
    return convolution.weight.flatten(1)


def test_it_starts_as_the_identity_and_learns_to_be_more():
    layer, x = SelfAttention(16), torch.randn(2, 16, 5, 3)
    assert torch.equal(layer(x), x)
    layer(x).square().sum().backward()
    assert layer.gain.grad.abs() > 0
    assert not any(layer.get_submodule(name).weight.grad.any() for name in "fghv")  # until the gain is not 0


def test_what_a_place_sees_is_the_papers_sum_over_all_places():
    """Eq. 1 to 3: s_ij = f(x_i) . g(x_j), b_ji its softmax over i, o_j = v(sum_i b_ji h(x_i)), y = gain o + x."""
    layer, x = attention(), torch.randn(2, 16, 4, 3)
    flat = x.flatten(2)
    expected = torch.zeros_like(flat)
    for image, columns in enumerate(flat):
        for j in range(12):
            scores = torch.stack(
                [(matrix(layer.f) @ columns[:, i]) @ (matrix(layer.g) @ columns[:, j]) for i in range(12)]
            )
            b = scores.exp() / scores.exp().sum()
            seen = sum(b[i] * (matrix(layer.h) @ columns[:, i]) for i in range(12))
            expected[image, :, j] = 0.7 * matrix(layer.v) @ seen + columns[:, j]
            torch.testing.assert_close(layer.weights(x)[image, j], b)
    torch.testing.assert_close(layer(x), expected.view_as(x))


def test_each_place_spreads_the_same_attention():
    layer, x = attention(), 5 * torch.randn(3, 16, 4, 6)
    weights = layer.weights(x)
    assert weights.shape == (3, 24, 24)
    torch.testing.assert_close(weights.sum(2), torch.ones(3, 24))
    assert not torch.allclose(weights.sum(1), torch.ones(3, 24), atol=0.1)


def test_it_is_blind_to_where_places_are():
    layer, x = attention(), torch.randn(2, 16, 4, 3)
    order = torch.randperm(12)
    mixed = x.flatten(2)[:, :, order].view_as(x)
    torch.testing.assert_close(layer(mixed).flatten(2), layer(x).flatten(2)[:, :, order])


def test_every_place_depends_on_every_other_one():
    layer, x = attention(), torch.randn(1, 16, 6, 6, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(x)[0, :, 0, 0].sum(), x)
    assert (gradient.abs().sum(1) > 0).all()


def test_few_channels_compare_places():
    layer = SelfAttention(64)
    assert [tuple(layer.get_submodule(name).weight.shape[:2]) for name in "fghv"] == [
        (8, 64),
        (8, 64),
        (32, 64),
        (64, 32),
    ]
    assert SelfAttention(3)(torch.randn(1, 3, 2, 2)).shape == (1, 3, 2, 2)


def test_it_can_be_spectrally_normalised():
    layer = constrained(attention(), "spectral")
    assert [name for name, m in layer.named_modules() if nn.utils.parametrize.is_parametrized(m)] == [
        "f",
        "g",
        "h",
        "v",
    ]
    for _ in range(30):
        layer.v.weight  # noqa: B018  (each look is a power iteration)
    assert torch.linalg.svdvals(matrix(layer.v))[0].item() == pytest.approx(1, abs=0.02)
