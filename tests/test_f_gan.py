"""What makes the game that of an f-divergence: its bound, its conjugates, gradients at the same weights."""

import math
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
from torch import nn

from isthmus.core import Batch, Spec
from isthmus.data.mixture import DEVIATIONS, MEANS, REACH, WEIGHTS, mixture_density, mixture_points
from isthmus.errors import ConfigError
from isthmus.experiments.f_gan import ORDER, best, in_order, place
from isthmus.losses.adversarial import DIVERGENCES, DivergenceName
from isthmus.models.gans.f_gan import FGAN

SPEC, POINT = Spec(1, 6, 5), Spec(1, 1, 1)
SMALL = {"latent": 3, "hidden": 16, "units": 8, "features": 2}
NAMES = get_args(DivergenceName)
EVERY = pytest.mark.parametrize("name", NAMES)

# f(u), g_f(v) and f*(t) as tables 1, 2 and 6 of the paper print them; Jeffrey's f* has no elementary form.
PAPER = {
    "kl": (lambda u: u * u.log(), lambda v: v, lambda t: (t - 1).exp()),
    "reverse-kl": (lambda u: -u.log(), lambda v: -(-v).exp(), lambda t: -1 - (-t).log()),
    "pearson": (lambda u: (u - 1) ** 2, lambda v: v, lambda t: t**2 / 4 + t),
    "neyman": (lambda u: (1 - u) ** 2 / u, lambda v: 1 - (-v).exp(), lambda t: 2 - 2 * (1 - t).sqrt()),
    "squared-hellinger": (lambda u: (u.sqrt() - 1) ** 2, lambda v: 1 - (-v).exp(), lambda t: t / (1 - t)),
    "jensen-shannon": (
        lambda u: -(u + 1) * ((1 + u) / 2).log() + u * u.log(),
        lambda v: math.log(2) - (1 + (-v).exp()).log(),
        lambda t: -(2 - t.exp()).log(),
    ),
}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def fgan(spec=SPEC, **changes):
    return FGAN(**SMALL | changes).build(spec)


def images(n=8, spec=SPEC):
    return 2 * torch.rand(n, *spec.shape) - 1


def batches(image):
    while True:
        yield Batch(image)


def turns(model, image):
    """Both, with equal noise whenever it is called."""
    torch.manual_seed(5)
    return [(turn.player, dict(turn.losses)) for turn in model.turns(batches(image))]


def made(model, n):
    torch.manual_seed(5)
    return model.make(torch.randn(n, model.latent))


# --- the bound


def test_every_divergence_can_be_chosen():
    assert set(get_args(get_type_hints(FGAN)["divergence"])) == set(NAMES)


@pytest.mark.parametrize("name", PAPER)
def test_the_losses_are_those_that_the_papers_tables_give(name):
    model, x = fgan(divergence=name), images()
    _, activation, conjugate = PAPER[name]
    (_, ours), (_, theirs) = turns(model, x)
    truth, forgery = model.discriminator(x), model.discriminator(made(model, 8))
    torch.testing.assert_close(theirs["real"], -activation(truth).mean())
    torch.testing.assert_close(theirs["fake"], conjugate(activation(forgery)).mean())
    torch.testing.assert_close(ours["adversarial"], -activation(forgery).mean())


def test_jeffreys_conjugate_is_a_supremum():
    """f*(t) = sup over u of u t - f(u), of f(u) = (u - 1) log u."""
    model, x = fgan(divergence="jeffrey"), images()
    t = model.discriminator(made(model, 8)).double()
    u = torch.linspace(1e-4, 8, 200_001, dtype=torch.float64)
    supremum = (u * t - (u - 1) * u.log()).amax(1)
    torch.testing.assert_close(turns(model, x)[1][1]["fake"].double(), supremum.mean(), rtol=1e-5, atol=1e-5)


class Best(nn.Module):
    """The discriminator whose outputs have g_f(v) = f'(p / q), found by bisection, since g_f grows."""

    def __init__(self, name, p, q):
        super().__init__()
        self.name, self.p, self.q = name, p, q

    def forward(self, x):
        f, activation, _ = DIVERGENCES[self.name]
        value = x.detach().flatten(1).double()
        u = (self.p.log_prob(value) - self.q.log_prob(value)).exp().requires_grad_()
        (slope,) = torch.autograd.grad(f(u).sum(), u)
        low, high = torch.full_like(u, -30.0), torch.full_like(u, 30.0)
        for _ in range(80):
            middle = (low + high) / 2
            above = activation(middle) > slope
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        return low.detach() + 0 * x.flatten(1)


@pytest.mark.parametrize("exchanged", [False, True])
@EVERY
def test_at_the_best_discriminator_the_bound_is_the_divergence(name, exchanged):
    """Within 2 % of quadrature, for data of N(0.1, 0.3^2) and a model of N(0, 0.28^2)."""
    model = fgan(POINT, latent=1, network="affine", divergence=name, exchanged=exchanged).double()
    with torch.no_grad():
        model.generator[0].weight.fill_(0.28)
    p, q = torch.distributions.Normal(0.1, 0.3), torch.distributions.Normal(0.0, 0.28)
    first, second = (q, p) if exchanged else (p, q)
    quantiles = (torch.arange(20_001, dtype=torch.float64) + 0.5) / 20_001
    model.discriminator = Best(name, first, second)
    noise = torch.special.ndtri(quantiles)[:, None]
    model.make = lambda code: model.generator(noise)
    (_, _), (_, losses) = turns(model, p.icdf(quantiles).view(-1, 1, 1, 1))
    x = torch.linspace(-2.5, 2.5, 40_001, dtype=torch.float64)
    f = PAPER[name][0] if name in PAPER else lambda u: (u - 1) * u.log()
    density, other = first.log_prob(x).exp(), second.log_prob(x).exp()
    divergence = torch.trapezoid(other * f(density / other), x)
    assert -sum(losses.values()).item() == pytest.approx(divergence.item(), rel=0.02)


# --- the game


@EVERY
@pytest.mark.parametrize("exchanged", [False, True])
def test_a_generator_that_lowers_the_bound_plays_against_the_discriminators_very_term(name, exchanged):
    model, x = fgan(divergence=name, generator_loss="lower", exchanged=exchanged), images()
    (_, ours), (_, theirs) = turns(model, x)
    torch.testing.assert_close(ours["adversarial"], -theirs["fake"], rtol=0, atol=0)


@EVERY
def test_exchanged_the_roles_of_real_and_generated_images_are(name):
    model, x = fgan(divergence=name), images()
    other = fgan(divergence=name, exchanged=True)
    other.load_state_dict(model.state_dict())
    first = turns(model, x)[1][1]
    second = turns(other, made(model, 8).detach())[1][1]  # of equal images both terms are of the same outputs
    same = turns(model, made(model, 8).detach())[1][1]
    assert second["real"] == same["fake"]
    assert second["fake"] == same["real"]
    assert first["fake"] == same["fake"]


@pytest.mark.parametrize("loss", ["raise", "lower"])
def test_both_follow_gradients_at_the_same_weights(loss):
    """Algorithm 1: what the discriminator sees was made before the generator moved."""
    model, x = fgan(generator_loss=loss), images()
    expected = turns(model, x)
    torch.manual_seed(5)
    game = model.turns(batches(x))
    assert next(game).player == "generator"
    with torch.no_grad():
        for parameter in model.generator.parameters():
            parameter.mul_(-3)
    second = next(game)
    assert second.player == "discriminator"
    assert dict(second.losses) == expected[1][1]
    assert next(game, None) is None


def test_each_turn_reaches_its_own_player_and_images_are_made_and_judged_once():
    model, forwards = fgan(), []
    for name in model.players():
        model.get_submodule(name).register_forward_hook(lambda *_, name=name: forwards.append(name))
    game = model.turns(batches(images()))
    for own, other in (("generator", "discriminator"), ("discriminator", "generator")):
        total = next(game).total
        mine = torch.autograd.grad(total, list(model.get_submodule(own).parameters()), retain_graph=True)
        assert any(g.abs().sum() > 0 for g in mine)
        if other == "generator":
            with pytest.raises(RuntimeError, match="unused"):
                torch.autograd.grad(total, list(model.generator.parameters()))
    assert forwards == ["generator", "discriminator", "discriminator"]


def test_both_players_are_adam_at_the_papers_rate():
    for player in FGAN().build(SPEC).players().values():
        assert (player.optimizer, player.lr, player.settings["betas"]) == ("Adam", 2e-4, (0.5, 0.999))


# --- the networks


def test_the_networks_of_digits_are_those_of_the_paper():
    model = FGAN().build(Spec(1, 28, 28))
    kinds = [type(m) for m in model.generator if not isinstance(m, nn.Unflatten)]
    assert kinds == [nn.Linear, nn.BatchNorm1d, nn.ReLU] * 2 + [nn.Linear, nn.Tanh]
    assert [type(m) for m in model.discriminator] == [nn.Flatten, *[nn.Linear, nn.ELU] * 2, nn.Linear]
    for net, sizes, scale in (
        (model.generator, [(1200, 100), (1200, 1200), (784, 1200)], 0.05),
        (model.discriminator, [(240, 784), (240, 240), (1, 240)], 0.005),
    ):
        layers = [m for m in net if isinstance(m, nn.Linear)]
        assert [tuple(m.weight.shape) for m in layers] == sizes
        for layer in layers:
            assert layer.weight.abs().max().item() == pytest.approx(scale, rel=0.05)
            assert layer.weight.std().item() == pytest.approx(scale / math.sqrt(3), rel=0.1)
            assert layer.bias is None or not layer.bias.any()


def test_noise_is_uniform_and_codes_are_gaussian():
    model, seen = fgan().eval(), []
    model.generator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    torch.manual_seed(2)
    drawn = model.sample(4000)
    torch.manual_seed(2)
    torch.testing.assert_close(drawn, model.decode(torch.randn(4000, 3)))
    values = seen[0].flatten().sort().values
    torch.testing.assert_close(values, torch.linspace(-1, 1, len(values)), rtol=0, atol=0.04)


def test_an_affine_generator_is_a_gaussian():
    model = fgan(Spec(1, 2, 1), latent=2, network="affine")
    weight, bias = model.generator[0].weight, model.generator[0].bias
    with torch.no_grad():
        bias.copy_(torch.tensor([0.1, -0.2]))
    code = torch.randn(5, 2)
    torch.testing.assert_close(model.make(code).flatten(1), code @ weight.T + bias)
    assert model.decode(1e3 * code).abs().max() == 1
    assert (weight.T @ weight).allclose(0.15**2 * torch.eye(2), atol=1e-6)


@pytest.mark.parametrize("network", ["mlp", "conv", "affine"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 13), (1, 1, 1)])
def test_any_image_size(network, shape):
    model = fgan(Spec(*shape), network=network)
    assert model.sample(4).shape == (4, *shape)
    assert model.discriminator(images(4, Spec(*shape))).shape == (4, 1)


@pytest.mark.parametrize("change", [{"latent": 0}, {"units": 0}, {"hidden": -1}, {"lr": 0.0}, {"momentum": 1.0}])
def test_what_makes_no_sense_is_refused(change):
    (name,) = change
    with pytest.raises(ConfigError, match=f"^{name} must"):
        FGAN(**change)


# --- the points and their best fits


def test_points_have_the_moments_of_their_mixture():
    pixels, labels = mixture_points(20_000)
    x = REACH * (pixels.ravel() / 127.5 - 1)
    mean = WEIGHTS @ MEANS
    deviation = math.sqrt(WEIGHTS @ (DEVIATIONS**2 + MEANS**2) - mean**2)
    assert x.mean() == pytest.approx(mean, abs=0.003)
    assert x.std() == pytest.approx(deviation, abs=0.003)
    assert np.bincount(labels) / 20_000 == pytest.approx(WEIGHTS)
    grid = np.linspace(-REACH, REACH, 4001)
    assert np.trapezoid(mixture_density(grid), grid) == pytest.approx(1, abs=1e-4)
    assert np.trapezoid(grid * mixture_density(grid), grid) == pytest.approx(mean, abs=1e-3)


def test_the_best_fits_are_those_of_the_paper():
    """Its means and deviations; that of the Kullback-Leibler divergence has the moments of the data."""
    paper = {
        "pearson": (0.5737, 1.9274),
        "kl": (1.0100, 1.8308),
        "jensen-shannon": (1.3070, 1.7542),
        "jeffrey": (1.3218, 1.7034),
        "reverse-kl": (1.5782, 1.6319),
    }
    assert tuple(paper) == ORDER
    for name, (mean, deviation) in paper.items():
        assert best(name) == pytest.approx((mean, deviation), abs=1.5e-3)


def test_the_order_is_of_neighbours():
    found = {"a": {"deviation": 3.0}, "b": {"deviation": 2.0}, "c": {"deviation": 2.5}}
    assert in_order(found, ("a", "c", "b")) == 1
    assert in_order(found, ("a", "b", "c")) == 0.5


def test_a_fit_is_read_off_the_generator():
    model = fgan(POINT, latent=1, network="affine")
    with torch.no_grad():
        model.generator[0].weight.fill_(-0.25)
        model.generator[0].bias.fill_(0.5)
    assert place(model) == (4.0, 2.0)
