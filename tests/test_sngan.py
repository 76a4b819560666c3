"""What makes the spectrally normalised GAN that model and not its neighbour."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from isthmus.core import Batch, Spec
from isthmus.errors import ConfigError
from isthmus.models.gans.sngan import SNGAN
from isthmus.nn.norm import Spectral, constrained
from isthmus.nn.residual import Down, Pool, Up
from isthmus.training.checkpoint import load_weights, weights

SPEC = Spec(3, 12, 10)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def sngan(spec=SPEC, **changes):
    return SNGAN(**{"latent": 4, "features": 3} | changes).build(spec).train()


def images(n=6, spec=SPEC):
    return 2 * torch.rand(n, *spec.shape) - 1


def batches(image):
    while True:
        yield Batch(image)


def layers(net, kind):
    return [m for m in net.modules() if isinstance(m, kind)]


LINEAR = nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding


def top(layer):
    """The largest singular value of the weight as it is used, as a matrix with a row for each output."""
    weight = layer.weight.detach()
    weight = weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else weight
    return torch.linalg.svdvals(weight.flatten(1))[0].item()


def step(model, rounds=20, lr=1e-2):
    """Rounds of the game in which weights move far."""
    optimizers = {n: torch.optim.Adam(p.parameters(), lr, (0.0, 0.9)) for n, p in model.players().items()}
    for _ in range(rounds):
        for turn in model.turns(batches(images())):
            turn.total.backward(inputs=model.players()[turn.player].parameters())
            optimizers[turn.player].step()
            optimizers[turn.player].zero_grad()


# --- spectral normalisation


@pytest.mark.parametrize(
    "layer", [nn.Linear(7, 5), nn.Conv2d(3, 6, 3), nn.ConvTranspose2d(4, 6, 4), nn.Embedding(6, 4)], ids=str
)
def test_weights_are_divided_by_their_largest_singular_value(layer):
    before = top(layer)
    plain = layer.weight.detach().clone()
    constrained(layer, "spectral")
    for _ in range(100):
        weight = layer.weight
    torch.testing.assert_close(weight.detach(), plain / before, rtol=1e-3, atol=1e-3)


def test_a_forward_pass_in_training_is_one_power_iteration_and_in_evaluation_none():
    layer = constrained(nn.Linear(30, 20, bias=False), "spectral")
    spectral, w = layer.parametrizations.weight[0], layer.parametrizations.weight.original.detach()
    u = spectral.u.clone()
    v = nn.functional.normalize(w.T @ u, dim=0)
    layer(torch.zeros(1, 30))
    torch.testing.assert_close(spectral.u, nn.functional.normalize(w @ v, dim=0))
    layer.eval()
    kept = spectral.u.clone()
    first, second = layer.weight, layer.weight
    assert torch.equal(spectral.u, kept)
    assert torch.equal(first, second)


def test_the_derivative_of_the_norm_passes_through_the_weight_alone():
    """Eq. 12: with the singular vectors u and v fixed, sigma changes by u v^T."""
    layer = constrained(nn.Linear(5, 4, bias=False).double(), "spectral")
    for _ in range(200):
        _ = layer.weight
    original = layer.parametrizations.weight.original
    u, s, vt = torch.linalg.svd(original.detach(), full_matrices=False)
    direction = torch.randn(4, 5, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((layer.weight * direction).sum(), original)
    expected = direction / s[0] - (direction * original.detach()).sum() / s[0] ** 2 * torch.outer(u[:, 0], vt[0])
    torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-8)


def test_an_average_over_the_training_is_normalised_too():
    """Its vectors are averages of unit vectors, which are shorter; and its weights are others."""
    model = sngan()
    average = copy.deepcopy(model).eval()
    for _ in range(40):
        step(model, rounds=1, lr=3e-3)
        with torch.no_grad():
            for ours, theirs in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
                if ours.is_floating_point():
                    ours.lerp_(theirs, 0.05)
    shortened = [m.u.norm().item() for m in layers(average, Spectral)]
    assert min(shortened) < 0.97
    for layer in layers(average.discriminator, LINEAR):
        assert top(layer) == pytest.approx(1, abs=0.1)


def test_the_vectors_are_saved_with_the_weights(tmp_path):
    model, other = sngan(), sngan()
    step(model)
    (tmp_path / "weights").write_bytes(weights(model))
    load_weights(other, tmp_path / "weights")
    x = images()
    assert torch.equal(model.discriminator(x), other.discriminator(x))  # in training, where they are iterated


# --- the model


@pytest.mark.parametrize("network", ["conv", "residual"])
def test_every_layer_of_the_discriminator_is_normalised_and_none_of_the_generator(network):
    model = sngan(network=network)
    assert all(is_parametrized(layer) for layer in layers(model.discriminator, LINEAR))
    assert not any(is_parametrized(layer) for layer in layers(model.generator, LINEAR))
    step(model)
    for layer in layers(model.discriminator, LINEAR):
        assert 0.9 <= top(layer) <= 1.1
    assert layers(model.generator, nn.BatchNorm2d)
    assert not layers(model.discriminator, nn.BatchNorm2d | nn.GroupNorm)
    plain = sngan(network=network, spectral=False)
    assert not any(is_parametrized(layer) for layer in plain.modules())


def test_the_slope_of_the_standard_discriminator_is_bounded_by_its_layers():
    """The singular value of the matrix bounds that of a convolution by the root of how often an input is seen."""
    model = sngan().eval()
    step(model.train())
    model.eval()
    bound = 1.0
    for layer in layers(model.discriminator, LINEAR):
        seen = (layer.kernel_size[0] / layer.stride[0]) if isinstance(layer, nn.Conv2d) else 1
        bound *= top(layer) * seen
    x, y = images(200), images(200)
    slope = (model.discriminator(x) - model.discriminator(y)).abs().squeeze(1) / (x - y).flatten(1).norm(dim=1)
    assert slope.max() <= 1.05 * bound


def test_losses_are_hinges():
    model, x = sngan().eval(), images()
    with torch.no_grad():
        model.discriminator.head[0].bias.fill_(0.4)
    torch.manual_seed(1)
    first, second = model.turns(batches(x))
    torch.manual_seed(1)
    made = model.discriminator(model.sample(len(x)))
    torch.testing.assert_close(first.losses["real"], (1 - model.discriminator(x)).clamp(min=0).mean())
    torch.testing.assert_close(first.losses["fake"], (1 + made).clamp(min=0).mean())
    torch.testing.assert_close(second.losses["adversarial"], -made.mean())
    with pytest.raises(RuntimeError, match="unused"):
        torch.autograd.grad(first.total, list(model.generator.parameters()))


def test_the_standard_networks_are_those_of_table_3():
    model = sngan(Spec(3, 32, 32), features=64)
    assert [type(m) for m in layers(model.generator, nn.Linear | nn.ConvTranspose2d | nn.Conv2d)] == [
        nn.Linear,
        *[nn.ConvTranspose2d] * 3,
        nn.Conv2d,
    ]
    assert model.generator[0].out_features == 4 * 4 * 512
    assert [m.out_channels for m in layers(model.generator, nn.ConvTranspose2d)] == [256, 128, 64]
    seen = layers(model.discriminator, nn.Conv2d)
    assert [(m.out_channels, m.kernel_size[0], m.stride[0]) for m in seen] == [
        (64, 3, 1),
        (64, 4, 2),
        (128, 3, 1),
        (128, 4, 2),
        (256, 3, 1),
        (256, 4, 2),
        (512, 3, 1),
    ]
    assert {m.negative_slope for m in layers(model.discriminator, nn.LeakyReLU)} == {0.1}
    assert model.discriminator.width == 4 * 4 * 512


def test_the_residual_networks_are_those_of_table_4():
    model = sngan(Spec(3, 32, 32), network="residual", features=8)
    assert model.generator[0].out_features == 4 * 4 * 16
    assert [up.size for up in layers(model.generator, Up)] == [(8, 8), (16, 16), (32, 32)]
    downs = layers(model.discriminator, Down)
    assert [isinstance(d.pool, nn.AvgPool2d) for d in downs] == [True, True, False, False]
    assert not isinstance(downs[0].body[0], nn.ReLU | nn.Identity)
    (pool,) = layers(model.discriminator, Pool)
    x = torch.randn(2, 8, 3, 3)
    torch.testing.assert_close(pool(x), x.clamp(min=0).sum((2, 3)))
    assert model.discriminator.head[0].bias is None


def test_rates_fall_to_0():
    for network, betas in (("conv", (0.5, 0.999)), ("residual", (0.0, 0.9))):
        for player in sngan(network=network).players().values():
            assert (player.lr, player.settings["betas"]) == (2e-4, betas)
            assert [player.schedule(done) for done in (0.0, 0.5, 1.0)] == [1.0, 0.5, 0.0]


@pytest.mark.parametrize("steps", [1, 5])
def test_the_discriminator_has_as_many_steps_as_asked_for(steps):
    model = sngan(discriminator_steps=steps)
    players = [turn.player for turn in model.turns(batches(images()))]
    assert players == ["discriminator"] * steps + ["generator"]


@pytest.mark.parametrize("network", ["conv", "residual"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 13), (1, 1, 1), (4, 33, 20)])
def test_any_image_size(network, shape):
    model = sngan(Spec(*shape), network=network)
    assert model.sample(3).shape == (3, *shape)
    assert model.discriminator(images(3, Spec(*shape))).shape == (3, 1)


@pytest.mark.parametrize("option", ["latent", "features", "discriminator_steps", "lr"])
def test_options_that_make_no_sense_are_refused(option):
    with pytest.raises(ConfigError, match=option):
        SNGAN(**{option: 0})
