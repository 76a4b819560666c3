"""What makes a game steadier: kernels of a batch, a network's past, a batch that stays, and a start by data."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector
from torch.nn.utils.parametrizations import weight_norm

from isthmus.nn.noise import Noise
from isthmus.nn.steady import History, MinibatchDiscrimination, Virtual, VirtualBatchNorm, initialise


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


# --- minibatch discrimination


def test_nearness_by_hand():
    layer = MinibatchDiscrimination(2, kernels=2, dims=1)
    with torch.no_grad():
        layer.tensor.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
    e = torch.exp(-torch.tensor([1.0, 6.0]))
    expected = torch.tensor([[e[0] + 1, 1 + e[1]], [2 * e[0], 1 + e[1]], [1 + e[0], 2 * e[1]]])
    found = layer(x)
    assert torch.equal(found[:, :2], x)
    torch.testing.assert_close(found[:, 2:], expected - 1)  # less the bias
    assert (layer.bias == -1).all()


def test_nearness_is_the_sum_over_all_others_for_each_kernel():
    layer, x = MinibatchDiscrimination(6, kernels=4, dims=3), torch.randn(5, 6)
    m = layer.tensor(x).view(5, 4, 3)
    for i in range(5):
        others = [(-(m[i] - m[j]).abs().sum(1)).exp() for j in range(5) if j != i]
        torch.testing.assert_close(layer.near(x)[i], sum(others))


def test_an_example_alone_is_near_to_none():
    layer = MinibatchDiscrimination(3)
    assert layer.near(torch.randn(1, 3)).abs().max() == 0


def test_images_that_are_alike_learn_to_be_different():
    """Without the layer examples that are nearly the same have nearly the same gradient, and stay together."""
    layer = MinibatchDiscrimination(4, kernels=20)
    x = (torch.randn(1, 4) + 0.01 * torch.randn(8, 4)).requires_grad_()
    (gradient,) = torch.autograd.grad(layer(x)[:, 4:].sum(), x)
    assert gradient.abs().max() > 1
    step = x.detach() - 1e-3 * gradient
    assert torch.pdist(step).mean() > torch.pdist(x.detach()).mean()
    assert (gradient - gradient.mean(0)).norm(dim=1).min() > 0.1 * gradient.norm(dim=1).max()


# --- the start by data


def test_the_nearest_is_brought_to_distance_two_and_nearness_to_zero():
    layer, x = MinibatchDiscrimination(6, kernels=4, dims=3), 5 * torch.randn(30, 6)
    layer.measure(x)
    distance = layer.distances(x) + torch.diag(torch.full((30,), torch.inf))
    torch.testing.assert_close(distance.amin(2).mean(1), torch.full((4,), 2.0))
    torch.testing.assert_close(layer(x)[:, 6:].mean(0), torch.zeros(4), atol=1e-5, rtol=0)


def test_weight_normalised_layers_begin_with_standard_outputs_one_after_the_other():
    net = nn.Sequential(
        *(weight_norm(nn.Conv2d(1, 3, 3)), nn.ReLU(), nn.Flatten()),
        *(weight_norm(nn.Linear(48, 5)), nn.ReLU(), MinibatchDiscrimination(5, 7), weight_norm(nn.Linear(12, 2))),
    )
    x, seen, others = 3 + 2 * torch.rand(40, 1, 6, 6), [], [p.clone() for p in net[0].parameters()]
    initialise(net, x)
    for layer in (net[0], net[3], net[6]):
        layer.register_forward_hook(lambda module, inputs, out: seen.append(out.transpose(0, 1).flatten(1)))
    net(x)
    assert len(seen) == 3
    for outputs in seen:
        torch.testing.assert_close(outputs.mean(1), torch.zeros(len(outputs)), atol=1e-4, rtol=0)
        torch.testing.assert_close(outputs.std(1), torch.ones(len(outputs)), atol=1e-3, rtol=0)
    directions = [name for name, _ in net[0].named_parameters()].index("parametrizations.weight.original1")
    assert torch.equal(others[directions], list(net[0].parameters())[directions])  # lengths and biases alone changed


def test_the_start_leaves_no_hooks_and_no_graph():
    net = nn.Sequential(weight_norm(nn.Linear(3, 4)), MinibatchDiscrimination(4, 2))
    initialise(net, torch.randn(20, 3))
    before = [p.clone() for p in net.parameters()]
    net(torch.randn(20, 3)).sum().backward()
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert all(p.grad is not None for p in net.parameters())


# --- historical averaging


def test_the_cost_is_the_squared_distance_from_the_mean_of_all_that_was():
    net, values = nn.Linear(2, 1), []
    history = History(net)
    for step in range(4):
        with torch.no_grad():
            for p in net.parameters():
                p.fill_(float(step**2))
        values.append(float(step**2))
        mean = sum(values) / len(values)
        assert history(net).item() == pytest.approx(3 * (values[-1] - mean) ** 2)


def test_the_past_is_a_constant_to_the_gradient():
    net = nn.Linear(2, 1)
    history = History(net)
    first = parameters_to_vector(net.parameters()).detach().clone()
    history(net)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(1.0)
    gradients = torch.autograd.grad(history(net), list(net.parameters()))
    now = parameters_to_vector(net.parameters()).detach()
    torch.testing.assert_close(parameters_to_vector(gradients), 2 * (now - (first + now) / 2))


def test_the_past_is_saved_and_no_parameter():
    history = History(nn.Linear(2, 1))
    assert history.state_dict().keys() == {"mean", "count"}
    assert not list(history.parameters())


# --- virtual batch normalisation


@pytest.mark.parametrize("shape", [(3,), (3, 4, 5)])
def test_the_reference_is_normalised_as_a_batch_is(shape):
    layer, x = VirtualBatchNorm(3, 6), 2 + 3 * torch.randn(6, *shape)
    plain = (nn.BatchNorm1d if len(shape) == 1 else nn.BatchNorm2d)(3)
    torch.testing.assert_close(layer(x), plain(x))


@pytest.mark.parametrize("shape", [(3,), (3, 4, 5)])
def test_an_example_is_normalised_by_the_reference_and_itself(shape):
    layer, reference, x = VirtualBatchNorm(3, 6), torch.randn(6, *shape), 2 + torch.randn(*shape)
    both = torch.cat([reference, x[None]]).transpose(0, 1).flatten(1)
    view = (3, *[1] * (len(shape) - 1))
    mean, variance = both.mean(1).view(view), both.var(1, correction=0).view(view)
    expected = (x - mean) / (variance + 1e-5).sqrt()
    torch.testing.assert_close(layer(torch.cat([reference, x[None]]))[-1], expected)


def test_gain_and_bias_are_of_channels():
    layer, x = VirtualBatchNorm(2, 4), torch.randn(7, 2, 3, 3)
    before = layer(x)
    with torch.no_grad():
        layer.gain.copy_(torch.tensor([1.0, 2.0]))
        layer.bias.copy_(torch.tensor([0.0, 5.0]))
    torch.testing.assert_close(layer(x)[:, 0], before[:, 0])
    torch.testing.assert_close(layer(x)[:, 1], 2 * before[:, 1] + 5)


def test_values_far_from_zero_are_normalised_and_finite_in_few_digits():
    layer, x = VirtualBatchNorm(2, 30), 1000 + torch.randn(40, 2)
    assert layer(x).isfinite().all()
    half = (10 + torch.randn(40, 2)).bfloat16()
    assert layer(half).dtype == torch.bfloat16
    torch.testing.assert_close(layer(half).float(), layer(half.float()), atol=2e-2, rtol=1e-2)


def virtual(*layers):
    return Virtual(nn.Sequential(*layers), torch.randn(10, 4))


def test_an_example_does_not_depend_on_the_others_of_its_batch():
    net = virtual(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 6), nn.BatchNorm1d(6))
    z = torch.randn(5, 4)
    assert net(z).shape == (5, 6)
    torch.testing.assert_close(net(z)[:1], net(z[:1]))
    before = net(z)
    net.reference.mul_(2)
    assert not torch.allclose(net(z), before)  # but on the reference


def test_all_batch_normalisations_become_virtual():
    net = virtual(
        nn.Linear(4, 8),
        nn.Unflatten(1, (2, 2, 2)),
        nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3)),
        *(nn.Flatten(), nn.BatchNorm1d(12)),
    )
    kinds = [type(m) for m in net.modules()]
    assert kinds.count(VirtualBatchNorm) == 3
    assert nn.BatchNorm1d not in kinds
    assert nn.BatchNorm2d not in kinds
    assert net(torch.randn(3, 4)).shape == (3, 12)
    assert "reference" in net.state_dict()


# --- noise


def test_noise_is_of_its_deviation_and_of_training_alone():
    layer, x = Noise(0.3), torch.zeros(20_000)
    assert layer(x).std().item() == pytest.approx(0.3, rel=0.03)
    assert layer.eval()(x) is x
    assert Noise(0.0)(x) is x
