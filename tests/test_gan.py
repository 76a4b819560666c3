"""What makes the adversarial game that game, and which of its parts go together."""

import random
from typing import get_args, get_type_hints

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from isthmus.core import Batch, Spec
from isthmus.errors import ConfigError
from isthmus.losses.adversarial import ObjectiveName, fake, objective, real
from isthmus.losses.penalty import dragan, gradient_penalty, zero_centred
from isthmus.models.gans.gan import GAN
from isthmus.nn.augment import Policy
from isthmus.nn.norm import Norm
from isthmus.nn.players import Network

SPEC = Spec(1, 6, 5)
SMALL = {"latent": 3, "hidden": 16, "features": 2}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def gan(spec=SPEC, **changes):
    return GAN(**SMALL | changes).build(spec)


def images(n=8, spec=SPEC):
    return 2 * torch.rand(n, *spec.shape) - 1


def batches(image):
    while True:
        yield Batch(image)


def play(model, image=None, lr=1e-3):
    """One round with plain steps; each turn after its own."""
    optimizers = {name: torch.optim.SGD(p.parameters(), lr=lr) for name, p in model.players().items()}
    for turn in model.turns(batches(images() if image is None else image)):
        parameters = model.players()[turn.player].parameters()
        turn.total.backward(inputs=parameters)
        optimizers[turn.player].step()
        optimizers[turn.player].zero_grad()
        yield turn


def parameters(net):
    return [p.detach().clone() for p in net.parameters()]


# --- the game


def test_the_discriminator_learns_from_equally_many_images_of_each_kind_the_generator_from_its_own():
    model, x = gan(), images()
    turns = model.turns(batches(x))
    torch.manual_seed(5)
    first, second = next(turns), next(turns)
    torch.manual_seed(5)
    made = model.sample(len(x))
    assert first.losses.keys() == {"real", "fake"}
    torch.testing.assert_close(first.losses["real"], real(model.discriminator(x)))
    torch.testing.assert_close(first.losses["fake"], fake(model.discriminator(made)))
    torch.testing.assert_close(second.losses["adversarial"], real(model.discriminator(made)))
    assert [first.player, second.player] == ["discriminator", "generator"]


def test_the_discriminators_turn_does_not_reach_the_generator():
    model = gan()
    turn = next(model.turns(batches(images())))
    with pytest.raises(RuntimeError, match="unused"):
        torch.autograd.grad(turn.total, list(model.generator.parameters()))


def test_the_generators_turn_goes_through_the_discriminator_as_it_is_now():
    model, x = gan(), images()
    turns = model.turns(batches(x))
    next(turns)
    with torch.no_grad():
        model.discriminator.head[0].bias.fill_(1e3)
    assert next(turns).losses["adversarial"] == 0


@pytest.mark.parametrize("steps", [1, 3])
def test_images_are_made_once_for_both_and_with_a_graph_only_for_the_generator(steps):
    model, graphs = gan(discriminator_steps=steps), []
    model.generator.register_forward_hook(lambda module, inputs, out: graphs.append(out.requires_grad))
    players = [turn.player for turn in play(model)]
    assert players == ["discriminator"] * steps + ["generator"]
    assert graphs == [False] * (steps - 1) + [True]


def backward_flops(model, player):
    """Of that player's turn, whose gradients the trainer asks for alone."""
    for turn in model.turns(batches(images())):
        if turn.player == player:
            with FlopCounterMode(display=False) as counter:
                turn.total.backward(inputs=model.players()[player].parameters())
            return counter.get_total_flops()
    raise AssertionError


def test_nobody_computes_gradients_that_no_one_uses():
    n, layers = 8, {}
    model = gan()
    for name in ("generator", "discriminator"):
        linear = [m for m in model.get_submodule(name).modules() if isinstance(m, nn.Linear)]
        layers[name] = [2 * n * m.weight.numel() for m in linear]  # of one product with the weights
    ours, first, *_ = sum(layers["generator"]), layers["generator"][0]
    theirs = sum(layers["discriminator"])
    assert backward_flops(model, "generator") == 2 * ours - first + theirs
    assert backward_flops(model, "discriminator") == 2 * (2 * theirs - layers["discriminator"][0])


@pytest.mark.parametrize("name", ["generator", "discriminator"])
def test_players_are_adam_with_a_small_first_beta(name):
    player = gan(lr=1e-3, momentum=0.3).players()[name]
    assert (player.optimizer, player.lr, player.settings["betas"]) == ("Adam", 1e-3, (0.3, 0.999))


def test_the_discriminator_finds_the_ratio_of_densities():
    """Proposition 1: the best D is p / (p + q); of two Gaussians on a line, far from and near each other."""
    model = gan(Spec(1, 1, 1), hidden=64, layers=2)
    (p_mean, p_deviation), (q_mean, q_deviation) = (0.3, 0.25), (-0.2, 0.4)
    player = model.players()["discriminator"]
    optimizer = torch.optim.Adam(player.parameters(), lr=3e-3, betas=(0.9, 0.999), fused=True)
    for step in range(700):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / 700)
        x, made = (m + d * torch.randn(512, 1, 1, 1) for m, d in ((p_mean, p_deviation), (q_mean, q_deviation)))
        total = sum(model.discriminator_losses(x, made).values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    x = torch.linspace(-1.0, 0.9, 300)
    p, q = (
        torch.distributions.Normal(*law).log_prob(x).exp() for law in ((p_mean, p_deviation), (q_mean, q_deviation))
    )
    d = model.discriminator(x.view(-1, 1, 1, 1)).sigmoid().flatten()
    assert (d - p / (p + q)).abs().max() < 0.08


def test_where_the_discriminator_is_sure_only_the_non_saturating_generator_learns():
    model, other = gan(), gan(objective="minimax")
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        for each in (model, other):
            each.discriminator.head[0].bias.fill_(-10.0)
    norms = []
    for each in (model, other):
        torch.manual_seed(3)
        *_, turn = each.turns(batches(images()))
        gradients = torch.autograd.grad(turn.total, list(each.generator.parameters()))
        norms.append(torch.cat([g.flatten() for g in gradients]).norm())
    assert norms[0] > 100 * norms[1] > 0


@pytest.mark.parametrize("network", get_args(Network))
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 13), (1, 1, 1), (4, 33, 20), (1, 2, 1)])
def test_any_image_size(network, shape):
    model = gan(Spec(*shape), network=network)
    assert model.sample(4).shape == (4, *shape)
    assert model.sample(4).abs().max() <= 1
    assert model.discriminator(images(4, Spec(*shape))).shape == (4, 1)


def test_samples_are_decoded_noise():
    model = gan()
    torch.manual_seed(2)
    drawn = model.sample(5, temperature=0.5)
    torch.manual_seed(2)
    torch.testing.assert_close(drawn, model.decode(0.5 * torch.randn(5, 3)))


# --- its parts


def test_the_options_are_those_of_the_parts():
    hints = get_type_hints(GAN)
    names = {name for part in get_args(ObjectiveName) for name in (get_args(part) or (part,))}
    assert set(get_args(hints["objective"])) == names
    assert set(get_args(hints["norm"])) == set(get_args(hints["generator_norm"])) == set(get_args(Norm))
    assert set(get_args(hints["augment"])) == set(get_args(Policy))
    assert set(get_args(hints["network"])) == set(get_args(Network))


REFUSED = [
    ({"objective": "wasserstein"}, "slope"),
    ({"objective": "wasserstein", "penalty": "r1"}, "slope"),
    ({"objective": "wasserstein", "norm": "layer"}, "slope"),
    *[({"norm": "batch", "penalty": p}, "whole batch") for p in ("gradient", "one-sided", "dragan", "r1", "r2")],
    ({"norm": "spectral", "penalty": "clipping"}, "clipping"),
    ({"norm": "instance"}, "no maps"),
    ({"generator_norm": "instance"}, "no maps"),
    ({"augment": "adaptive", "objective": "wasserstein", "penalty": "gradient"}, "sign"),
    ({"weight": 0.0}, "weight"),
    ({"target": -1.0}, "target"),
    ({"weight_clip": 0.0}, "weight_clip"),
    ({"momentum": 1.0}, "momentum"),
    ({"overfitting": 1.0}, "overfitting"),
    ({"discriminator_steps": 0}, "discriminator_steps"),
]


@pytest.mark.parametrize(("changes", "reason"), REFUSED)
def test_what_makes_no_sense_is_refused_in_one_sentence_that_says_why(changes, reason):
    with pytest.raises(ConfigError, match=reason) as error:
        GAN(**changes)
    assert "\n" not in str(error.value)
    assert ". " not in str(error.value)


def combinations(count=150):
    """Random choices of every part; those that are refused are among them."""
    hints, chance = get_type_hints(GAN), random.Random(0)
    parts = ("network", "objective", "penalty", "norm", "generator_norm", "augment")
    return [{part: chance.choice(get_args(hints[part])) for part in parts} for _ in range(count)]


def test_whatever_is_not_refused_can_be_played():
    played = 0
    for changes in combinations():
        try:
            model = gan(Spec(3, 8, 6), weight_clip=0.05, **changes)
        except ConfigError:
            continue
        for turn in play(model.train(), images(4, model.spec), lr=1e-6):
            assert turn.total.isfinite(), changes
            assert turn.total.dtype == torch.float32
        assert ("penalty" in next(model.turns(batches(images(4, model.spec)))).losses) == (
            changes["penalty"] not in ("none", "clipping")
        )
        played += 1
    assert 60 < played < 150, "about half of all combinations make sense"


@pytest.mark.parametrize("name", ["hinge", "least-squares", "kl"])
def test_each_player_has_its_part_of_the_objective(name):
    model, x = gan(objective=name), images()
    torch.manual_seed(5)
    first, second = model.turns(batches(x))
    torch.manual_seed(5)
    made, cost = model.discriminator(model.sample(len(x))), objective(name)
    torch.testing.assert_close(first.losses["real"], cost.real(model.discriminator(x)))
    torch.testing.assert_close(first.losses["fake"], cost.fake(made))
    torch.testing.assert_close(second.losses["adversarial"], cost.generator(made))


def test_the_penalty_is_the_one_that_was_chosen_times_its_weight():
    x, made = images(), images()
    expected = {
        "gradient": lambda d: gradient_penalty(d, x, made, 0.5),
        "one-sided": lambda d: gradient_penalty(d, x, made, 0.5, one_sided=True),
        "dragan": lambda d: dragan(d, x, 0.5),
        "r1": lambda d: zero_centred(d(x.requires_grad_()), x),
        "r2": lambda d: zero_centred(d(made.requires_grad_()), made),
    }
    model = gan()
    for penalty, value in expected.items():
        other = gan(penalty=penalty, weight=3.0, target=0.5)
        other.load_state_dict(model.state_dict())
        torch.manual_seed(4)
        ours = other.discriminator_losses(x.detach(), made.detach())["penalty"]
        torch.manual_seed(4)
        torch.testing.assert_close(ours, 3 * value(model.discriminator), msg=penalty)


def test_clipping_follows_each_step_of_the_discriminator():
    model = gan(penalty="clipping", weight_clip=0.02, discriminator_steps=2)
    largest = [max(p.abs().max().item() for p in model.discriminator.parameters()) for _ in play(model)]
    assert largest[0] > 0.02  # as the first step left it, before the game goes on
    assert 0.02 < largest[1] < 0.03  # as the second did
    assert largest[2] == pytest.approx(0.02)
    assert max(p.abs().max().item() for p in model.generator.parameters()) > 0.1


NORMS = {"batch": nn.BatchNorm2d, "layer": nn.GroupNorm, "instance": nn.GroupNorm}


@pytest.mark.parametrize("network", ["conv", "residual"])
@pytest.mark.parametrize("norm", get_args(Norm))
def test_norms_are_where_they_were_asked_for_and_nowhere_else(network, norm):
    spec = Spec(3, 16, 16)
    model = gan(spec, network=network, norm=norm)
    other = gan(spec, network=network, generator_norm=norm)
    for net, plain in ((model.discriminator, model.generator), (other.generator, other.discriminator)):
        kinds = {kind for m in net.modules() for kind in (nn.BatchNorm2d, nn.GroupNorm) if isinstance(m, kind)}
        assert kinds == ({NORMS[norm]} if norm in NORMS else set())
        groups = {m.num_groups == 1 for m in net.modules() if isinstance(m, nn.GroupNorm)}
        assert groups == ({norm == "layer"} if norm in ("layer", "instance") else set())
        spectral = [m for m in net.modules() if nn.utils.parametrize.is_parametrized(m)]
        layers = [m for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
        assert len(spectral) == (len(layers) if norm == "spectral" else 0)
        assert not any(isinstance(m, nn.BatchNorm2d | nn.GroupNorm) for m in plain.modules())


@pytest.mark.parametrize("norm", ["none", "spectral"])
def test_weights_are_initialised_whatever_the_norm(norm):
    """A weight that is divided by its norm lies elsewhere, where it is easily missed."""
    model = gan(Spec(3, 28, 28), network="conv", features=16, norm=norm)
    weights = [p for name, p in model.discriminator.named_parameters() if "weight" in name]
    assert len(weights) == 3
    for weight in weights:
        assert weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert all((p == 0).all() for name, p in model.discriminator.named_parameters() if name.endswith("bias"))


def test_all_images_are_augmented_before_the_discriminator_sees_them():
    model, seen = gan(augment="differentiable"), []
    model.augmentation.forward = lambda x: x + 100
    model.discriminator.register_forward_hook(lambda module, inputs, out: seen.append(inputs[0].min().item()))
    assert len(list(model.turns(batches(images())))) == 2
    assert len(seen) == 3
    assert min(seen) > 90


@pytest.mark.parametrize(("name", "undecided"), [("non-saturating", 0.0), ("least-squares", 0.5), ("kl", 1.0)])
def test_adaptive_augmentation_sees_overfitting_from_where_the_objective_is_undecided(name, undecided):
    for above in (True, False):
        model = gan(augment="adaptive", objective=name).train()
        model.augmentation.probability.fill_(0.5)
        with torch.no_grad():
            model.discriminator.head[0].weight.zero_()
            model.discriminator.head[0].bias.fill_(undecided + (0.1 if above else -0.1))
        for _ in range(4):
            next(model.turns(batches(images())))
        assert (model.augmentation.probability > 0.5) == above


def test_a_round_moves_both_players():
    model = gan()
    before = {name: parameters(model.get_submodule(name)) for name in model.players()}
    assert len(list(play(model))) == 2
    for name, old in before.items():
        assert not any(torch.equal(a, b) for a, b in zip(old, parameters(model.get_submodule(name)), strict=True))
