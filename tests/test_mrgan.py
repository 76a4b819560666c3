"""What makes an MRGAN: an encoder's reconstructions regularise the game, or split it into manifold and diffusion."""

import pytest
import torch
import torch.nn.functional as F

from isthmus.core import Batch, Spec
from isthmus.errors import ConfigError
from isthmus.losses.adversarial import fake, real
from isthmus.models.gans.mrgan import MRGAN

SPEC = Spec(1, 6, 5)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def mrgan(spec=SPEC, **changes):
    return MRGAN(**{"latent": 3, "hidden": 16, "layers": 1, "features": 2} | changes).build(spec)


def images(n=8, spec=SPEC):
    return 2 * torch.rand(n, *spec.shape) - 1


def turns(model, *batches):
    torch.manual_seed(5)
    return model.turns(map(Batch, batches))


def noise():
    torch.manual_seed(5)
    return torch.randn(8, 3)


def gradients(turn, model):
    return torch.autograd.grad(turn.total, model.players()[turn.player].parameters(), retain_graph=True)


# --- regularised


def test_the_regularised_game_is_that_of_section_3():
    model, x = mrgan(network="mlp", distance=0.5, reward=0.25), images()
    judge, makers = turns(model, x)
    made, rebuilt = model.generator(noise()), model.generator(model.encoder(x))
    torch.testing.assert_close(
        judge.losses, {"real": real(model.discriminator(x)), "fake": fake(model.discriminator(made))}
    )
    torch.testing.assert_close(
        makers.losses,
        {
            "adversarial": real(model.discriminator(made)),
            "distance": 0.5 * F.mse_loss(rebuilt, x),
            "reward": 0.25 * real(model.discriminator(rebuilt)),
        },
    )
    assert [judge.player, makers.player] == ["discriminator", "generator"]


def test_the_reward_makes_reconstructions_real():
    """The paper prints + lambda_2 log D, to be lowered: that would make them unreal."""
    model, x = mrgan(network="mlp", distance=0.0, reward=1.0), images()
    _, makers = turns(model, x)
    adversarial = makers.losses["adversarial"]
    for p, g in zip(
        model.encoder.parameters(),
        torch.autograd.grad(makers.total - adversarial, [*model.encoder.parameters()]),
        strict=True,
    ):
        p.data -= 1e-2 * g / (g.norm() + 1e-12)
    assert real(model.discriminator(model.generator(model.encoder(x)))) < makers.losses["reward"]


def test_the_encoder_learns_from_the_regularisers_alone_the_generator_from_all():
    model, x = mrgan(network="mlp"), images()
    _, makers = turns(model, x)
    encoder, generator = ([*net.parameters()] for net in (model.encoder, model.generator))
    adversarial = makers.losses["adversarial"]
    assert torch.autograd.grad(adversarial, encoder, allow_unused=True, retain_graph=True) == (None,) * len(encoder)
    whole = torch.autograd.grad(makers.total, encoder, retain_graph=True)
    regularisers = makers.losses["distance"] + makers.losses["reward"]
    torch.testing.assert_close(whole, torch.autograd.grad(regularisers, encoder, retain_graph=True))
    for loss in makers.losses.values():
        assert all(g.any() for g in torch.autograd.grad(loss, generator, retain_graph=True))


def test_the_discriminator_of_the_regularised_game_never_sees_reconstructions():
    model, x = mrgan(network="mlp"), images()
    before = next(turns(model, x)).losses
    with torch.no_grad():
        for p in model.encoder.parameters():
            p.add_(1.0)
    torch.testing.assert_close(next(turns(model, x)).losses, before)


def test_without_regularisers_it_is_the_game_without_an_encoder():
    model, x = mrgan(network="mlp", distance=0.0, reward=0.0), images()
    _, makers = turns(model, x)
    assert makers.losses["distance"] == makers.losses["reward"] == 0
    assert makers.total == real(model.discriminator(model.generator(noise())))


def test_what_is_made_once_serves_both_players():
    model, x, seen = mrgan(), images(), []
    for name in ("generator", "encoder", "discriminator"):
        model.get_submodule(name).register_forward_hook(lambda *_, name=name: seen.append(name))
    for turn in turns(model, x):
        gradients(turn, model)
    assert sorted(seen) == ["discriminator"] * 4 + ["encoder"] + ["generator"] * 2


# --- manifold and diffusion


def test_the_manifold_step_and_the_diffusion_step_have_a_discriminator_each():
    model = mrgan(network="mlp", form="manifold-diffusion", distance=0.5)
    x, other = images(), images()
    first, makers, second, spread = turns(model, x, other)
    assert [t.player for t in (first, makers, second, spread)] == [
        "manifold",
        "generator",
        "discriminator",
        "diffusion",
    ]
    rebuilt, made = model.generator(model.encoder(x)), model.generator(noise())
    torch.testing.assert_close(first.losses, {"real": real(model.manifold(x)), "fake": fake(model.manifold(rebuilt))})
    torch.testing.assert_close(
        makers.losses,
        {"distance": 0.5 * F.mse_loss(rebuilt, x), "adversarial": real(model.manifold(rebuilt))},
    )
    again = model.generator(model.encoder(other))
    torch.testing.assert_close(
        second.losses, {"real": real(model.discriminator(again)), "fake": fake(model.discriminator(made))}
    )
    torch.testing.assert_close(spread.losses, {"adversarial": real(model.discriminator(made))})


def test_the_diffusion_step_sees_the_manifold_as_it_is_after_its_step():
    model, x = mrgan(network="mlp", form="manifold-diffusion"), images()
    game = turns(model, x, x)
    next(game), next(game)
    with torch.no_grad():
        for p in model.generator.parameters():
            p.mul_(0.5)
    rebuilt = model.generator(model.encoder(x))
    torch.testing.assert_close(next(game).losses["real"], real(model.discriminator(rebuilt)))


def test_diffusion_moves_the_generator_alone_and_no_real_image_is_shown_to_its_discriminator():
    model, x = mrgan(network="mlp", form="manifold-diffusion"), images()
    *_, second, spread = turns(model, x, x)
    players = model.players()
    assert players["diffusion"].parameters() == [*model.generator.parameters()]
    assert set(players["generator"].parameters()) == {*model.generator.parameters(), *model.encoder.parameters()}
    for turn in (second, spread):
        reached = torch.autograd.grad(turn.total, [*model.encoder.parameters()], allow_unused=True, retain_graph=True)
        assert reached == (None,) * len(reached)
    seen = []
    model.discriminator.register_forward_hook(lambda _, inputs, out: seen.append(inputs[0]))
    list(turns(model, x, x))
    assert not any(torch.equal(image, x) for image in seen)


# --- both


def test_codes_and_noise_are_one():
    model, x = mrgan().eval(), images()
    torch.testing.assert_close(model.decode(model.encode(x)), model.generator(model.encoder(x)))
    torch.manual_seed(2)
    drawn = model.sample(5, temperature=0.5)
    torch.manual_seed(2)
    torch.testing.assert_close(drawn, model.decode(0.5 * torch.randn(5, 3)))


@pytest.mark.parametrize("network", ["mlp", "conv"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 13), (1, 2, 1), (4, 33, 20)])
def test_any_image_size(network, shape):
    model = mrgan(Spec(*shape), network=network).eval()
    x = images(4, Spec(*shape))
    assert model.sample(4).shape == model.decode(model.encode(x)).shape == x.shape


@pytest.mark.parametrize(
    ("options", "word"), [({"latent": 0}, "latent"), ({"distance": -1.0}, "distance"), ({"reward": -1.0}, "reward")]
)
def test_what_makes_no_sense_is_refused(options, word):
    with pytest.raises(ConfigError, match=word):
        MRGAN(**options)
