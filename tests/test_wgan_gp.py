"""What makes the Wasserstein GAN with gradient penalty that model and not its neighbour."""

import pytest
import torch
from torch import nn

from isthmus.core import Batch, Spec
from isthmus.errors import ConfigError
from isthmus.losses.penalty import gradient_penalty
from isthmus.models.gans.wgan_gp import WGANGP

SPEC = Spec(1, 16, 14)
SMALL = {"latent": 4, "hidden": 16, "layers": 2, "features": 2, "critic_steps": 3}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def wgan_gp(spec=SPEC, **changes):
    return WGANGP(**SMALL | changes).build(spec).train()


def images(n=6, spec=SPEC):
    return 2 * torch.rand(n, *spec.shape) - 1


def batches(image):
    while True:
        yield Batch(image)


@pytest.mark.parametrize("network", ["mlp", "conv", "residual"])
@pytest.mark.parametrize("critic_norm", ["none", "layer"])
def test_an_output_of_the_critic_depends_on_its_own_image_alone(network, critic_norm):
    """So there is no batch normalisation in it, whatever the generator has."""
    model, x = wgan_gp(network=network, critic_norm=critic_norm, generator_norm="batch"), images().requires_grad_()
    outputs = model.critic(x)
    (gradient,) = torch.autograd.grad(outputs[2].sum(), x)
    assert gradient[2].abs().sum() > 0
    assert not gradient[[0, 1, 3, 4, 5]].any()
    norms = [m for m in model.critic.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert not norms
    assert any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in model.generator.modules())
    assert any(isinstance(m, nn.GroupNorm) for m in model.critic.modules()) == (critic_norm == "layer")


def test_the_critics_loss_is_equation_3():
    model, x, made = wgan_gp(penalty=7.0, target=0.8), images(), images()
    torch.manual_seed(2)
    losses = model.critic_losses(x, made)
    torch.manual_seed(2)
    expected = 7 * gradient_penalty(model.critic, x, made, 0.8)
    torch.testing.assert_close(losses["penalty"], expected)
    torch.testing.assert_close(losses["fake"] + losses["real"], model.critic(made).mean() - model.critic(x).mean())


def test_the_penalty_is_asked_for_between_the_two_kinds_of_images():
    model, x, made, seen = wgan_gp(), torch.full((6, *SPEC.shape), -0.5), torch.full((6, *SPEC.shape), 0.5), []
    model.critic.register_forward_hook(lambda module, inputs, out: seen.append(inputs[0].detach()))
    model.critic_losses(x, made)
    (place,) = (s for s in seen if not (s == s.flatten()[0]).all())
    assert (place.flatten(1).std(1) < 1e-6).all(), "one place for a whole image"
    assert place.min() > -0.5
    assert place.max() < 0.5


def test_one_sided_lets_small_gradients_be():
    flat, x = wgan_gp(one_sided=True), images()
    with torch.no_grad():
        for parameter in flat.critic.parameters():
            parameter.mul_(0.01)
    assert flat.critic_losses(x, images())["penalty"] == 0
    both = wgan_gp()
    both.load_state_dict(flat.state_dict())
    assert both.critic_losses(x, images())["penalty"].item() == pytest.approx(10, rel=0.1)


def test_a_critic_learns_slopes_of_norm_1_between_two_clouds():
    """Points in the plane; the ablation's slopes grow without end."""
    norms = {}
    for penalty in (10.0, 0.0):
        model = wgan_gp(Spec(1, 2, 1), network="mlp", hidden=32, penalty=penalty, lr=3e-3)
        player = model.players()["critic"]
        optimizer = torch.optim.Adam(player.parameters(), lr=player.lr, **player.settings)
        for _ in range(250):
            x, made = 0.1 * torch.randn(64, 1, 2, 1) - 0.5, 0.1 * torch.randn(64, 1, 2, 1) + 0.5
            optimizer.zero_grad()
            sum(model.critic_losses(x, made).values()).backward()
            optimizer.step()
        place = torch.lerp(x, made, torch.rand(64, 1, 1, 1)).requires_grad_()
        (gradient,) = torch.autograd.grad(model.critic(place).sum(), place)
        norms[penalty] = gradient.flatten(1).norm(dim=1).mean().item()
        if penalty:
            losses = model.critic_losses(x, made)
            estimate = -(losses["real"] + losses["fake"]).item()
            assert estimate == pytest.approx(2**0.5, rel=0.1)  # the distance of the clouds
    assert norms[10.0] == pytest.approx(1, abs=0.1)
    assert norms[0.0] > 5


def test_the_critics_turn_does_not_reach_the_generator():
    model = wgan_gp(critic_steps=1)
    turn = next(model.turns(batches(images())))
    with pytest.raises(RuntimeError, match="unused"):
        torch.autograd.grad(turn.total, list(model.generator.parameters()))


def test_only_the_last_images_have_a_graph_and_turns_come_in_order():
    model, graphs = wgan_gp(), []
    model.generator.register_forward_hook(lambda module, inputs, out: graphs.append(out.requires_grad))
    assert [turn.player for turn in model.turns(batches(images()))] == ["critic"] * 3 + ["generator"]
    assert graphs == [False, False, True]


@pytest.mark.parametrize(("network", "betas"), [("mlp", (0.5, 0.9)), ("conv", (0.5, 0.9)), ("residual", (0.0, 0.9))])
def test_players_are_those_of_the_paper(network, betas):
    for player in wgan_gp(network=network).players().values():
        assert (player.optimizer, player.lr, player.settings["betas"]) == ("Adam", 1e-4, betas)
        assert player.schedule(0.25) == (0.75 if network == "residual" else 1.0)


def test_the_critic_stays_eager():
    """A compiled network cannot be differentiated twice."""
    assert WGANGP.eager == ("critic",)


@pytest.mark.parametrize("option", ["latent", "hidden", "layers", "features", "critic_steps", "lr"])
def test_options_that_make_no_sense_are_refused(option):
    with pytest.raises(ConfigError, match=option):
        WGANGP(**{option: 0})


@pytest.mark.parametrize("option", ["penalty", "target"])
def test_norms_and_weights_are_not_negative(option):
    with pytest.raises(ConfigError, match=option):
        WGANGP(**{option: -1.0})
