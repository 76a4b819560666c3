"""What makes a VAE/GAN: which loss reaches which network, and what reconstructions are compared by."""

import math

import pytest
import torch
from torch import nn

from isthmus.core import Batch, Spec
from isthmus.errors import ConfigError
from isthmus.models.gans.vae_gan import VAEGAN

SPEC = Spec(1, 9, 8)
NETS = ("encoder", "decoder", "discriminator")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def vae_gan(spec=SPEC, **changes):
    return VAEGAN(**{"latent": 3, "features": 2} | changes).build(spec)


def images(n=6, spec=SPEC):
    return 2 * torch.rand(n, *spec.shape) - 1


def turns(model, x):
    torch.manual_seed(5)
    return model.turns(iter([Batch(x)]))


def terms(model, x):
    """L_prior, L_like and both players' adversarial terms, from one graph of everything."""
    torch.manual_seed(5)
    mean, log_variance = model.encoder(x).chunk(2, dim=1)
    z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
    rebuilt, made = model.decoder(z), model.decoder(torch.randn(len(x), 3))
    described = model.discriminator.features(torch.cat([x, rebuilt, made])).chunk(3)
    d = [model.discriminator.head(f).sigmoid() for f in described]
    prior = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
    missed = (described[1] - described[0].detach()).square().sum(1).mean()
    like = 0.5 * missed + 0.5 * math.log(2 * math.pi) * described[0].shape[1]
    return prior, like, rebuilt, [-d[0].log().mean(), *(-(1 - p).log().mean() for p in d[1:])]


def test_the_terms_are_those_of_the_paper():
    model, x = vae_gan(likeness=0.5), images()
    encoder, decoder, discriminator = turns(model, x)
    prior, like, _, (real, rebuilt, made) = terms(model, x)
    assert [t.player for t in (encoder, decoder, discriminator)] == [*NETS]
    torch.testing.assert_close(encoder.losses, {"prior": prior, "likeness": like})
    torch.testing.assert_close(decoder.losses, {"likeness": 0.5 * like, "samples": -made, "reconstructions": -rebuilt})
    torch.testing.assert_close(discriminator.losses, {"real": real, "samples": made, "reconstructions": rebuilt})


def test_each_network_gets_its_own_gradients_and_no_others():
    """The routing of algorithm 1: prior + like, gamma like - L_GAN, L_GAN."""
    model, x = vae_gan(likeness=0.5), images()
    players = model.players()
    ours = {t.player: torch.autograd.grad(t.total, players[t.player].parameters()) for t in turns(model, x)}
    prior, like, _, (real, fake_rebuilt, fake_made) = terms(model, x)
    wanted = {
        "encoder": prior + like,
        "decoder": 0.5 * like - fake_rebuilt - fake_made,
        "discriminator": real + fake_rebuilt + fake_made,
    }
    for name, total in wanted.items():
        theirs = torch.autograd.grad(total, players[name].parameters(), retain_graph=True)
        torch.testing.assert_close(ours[name], theirs)
    # and these are not the gradients of all the losses, which everybody would get from one backward pass
    everything = sum(wanted.values())
    for name in NETS:
        theirs = torch.autograd.grad(everything, players[name].parameters(), retain_graph=True)
        assert any(not torch.allclose(a, b, rtol=1e-2) for a, b in zip(ours[name], theirs, strict=True))


@pytest.mark.parametrize(
    ("player", "reached"),
    [("encoder", {"encoder"}), ("decoder", {"decoder"}), ("discriminator", {"discriminator"})],
)
def test_no_turn_can_reach_another_network(player, reached):
    """Not even if all gradients were asked for: GAN gradients end at the decoder, those of features before Dis."""
    model, x = vae_gan(), images()
    for turn in turns(model, x):
        if turn.player == player:
            turn.total.backward()
            assert {
                name for name in NETS if any(p.grad is not None for p in model.get_submodule(name).parameters())
            } == reached
            return
        torch.autograd.grad(turn.total, model.players()[turn.player].parameters())


def test_all_is_computed_forwards_once():
    model, x, seen = vae_gan(), images(), []
    watched = {name: model.get_submodule(name) for name in ("encoder", "decoder", "discriminator.features")}
    for name, net in watched.items():
        net.register_forward_hook(lambda *_, name=name: seen.append(name))
    for turn in turns(model, x):
        torch.autograd.grad(turn.total, model.players()[turn.player].parameters())
    assert sorted(seen) == ["decoder", "decoder", "discriminator.features", "encoder"]


def test_players_move_at_the_same_weights():
    """Steps in between change nothing of what comes after."""
    model, x = vae_gan(), images()
    wanted = [torch.autograd.grad(t.total, model.players()[t.player].parameters()) for t in turns(model, x)]
    for turn, gradients in zip(turns(model, x), wanted, strict=True):
        parameters = model.players()[turn.player].parameters()
        torch.testing.assert_close(torch.autograd.grad(turn.total, parameters), gradients)
        with torch.no_grad():
            for p in parameters:
                p.add_(0.1)


def test_features_of_all_images_are_normalised_as_one_batch():
    """By itself each batch would have the same mean and deviation, and blur would cost nothing."""
    model, x, sizes = vae_gan(), images(), []
    for layer in model.discriminator.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.register_forward_hook(lambda _, inputs, out: sizes.append(len(inputs[0])))
    list(turns(vae_gan(), x))
    list(turns(model, x))
    assert set(sizes) <= {3 * len(x)}
    deep = vae_gan(Spec(1, 16, 16))
    for layer in deep.discriminator.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.register_forward_hook(lambda _, inputs, out: sizes.append(len(inputs[0])))
    list(turns(deep, images(4, Spec(1, 16, 16))))
    assert sizes[-1] == 12


def test_samples_alone_may_count_as_generated():
    model, x = vae_gan(reconstructions=False), images()
    _, decoder, discriminator = turns(model, x)
    _, like, _, (real, _, made) = terms(model, x)
    torch.testing.assert_close(decoder.losses, {"likeness": 0.01 * like, "samples": -made})
    torch.testing.assert_close(discriminator.losses, {"real": real, "samples": made})


def test_pixels_may_be_compared_instead():
    model, x = vae_gan(similarity="pixels"), images()
    encoder = next(turns(model, x))
    *_, rebuilt, _ = terms(model, x)
    wanted = 0.5 * (rebuilt - x).square().flatten(1).sum(1).mean() + 36 * math.log(2 * math.pi)
    torch.testing.assert_close(encoder.losses["likeness"], wanted)


def test_the_decoder_may_lower_minus_log_dis():
    model, x = vae_gan(adversary="non-saturating"), images()
    _, decoder, _ = turns(model, x)
    *_, (_, rebuilt, made) = terms(model, x)  # -log(1 - p), of which there are as many as images
    assert decoder.losses["samples"] > 0
    assert not torch.allclose(decoder.losses["samples"], -made)
    assert not torch.allclose(decoder.losses["reconstructions"], -rebuilt)


@pytest.mark.parametrize(
    ("costs", "decoder", "discriminator"),
    [
        ((0.7, 0.6, 0.8), True, True),
        ((0.2, 0.7, 0.7), True, False),  # too sure of real images
        ((0.7, 0.1, 0.3), True, False),  # of generated ones, on average
        ((1.2, 0.7, 0.7), False, True),
        ((0.7, 0.7, 1.5), False, True),
        ((0.2, 1.2, 1.2), True, True),  # both, and none would ever move again
    ],
)
def test_who_is_too_far_ahead_waits(costs, decoder, discriminator):
    assert [bool(m) for m in vae_gan().moves(*map(torch.tensor, costs))] == [decoder, discriminator]
    assert all(vae_gan(margin=math.inf).moves(*map(torch.tensor, costs)))


def test_who_waits_has_losses_and_no_gradient(monkeypatch):
    model, x = vae_gan(), images()
    wanted = [turn.losses for turn in turns(model, x)]
    for waiting in (1, 2):
        monkeypatch.setattr(model, "moves", lambda *_, w=waiting: (torch.tensor(w != 1), torch.tensor(w != 2)))
        for place, (turn, losses) in enumerate(zip(turns(model, x), wanted, strict=True)):
            torch.testing.assert_close(turn.losses, losses)
            gradients = torch.autograd.grad(turn.total, model.players()[turn.player].parameters())
            assert any(g.any() for g in gradients) == (place != waiting)


def test_players_are_rmsprop():
    assert {(p.optimizer, p.lr) for p in vae_gan().players().values()} == {("RMSprop", 3e-4)}


def test_codes_are_means_and_samples_decoded_noise():
    model, x = vae_gan().eval(), images()
    assert torch.equal(model.encode(x), model.posterior(x)[0])
    torch.manual_seed(2)
    drawn = model.sample(5, temperature=0.5)
    torch.manual_seed(2)
    torch.testing.assert_close(drawn, model.decode(0.5 * torch.randn(5, 3)))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 13), (4, 33, 20)])
def test_any_image_size(shape):
    model = vae_gan(Spec(*shape)).eval()
    x = images(4, Spec(*shape))
    assert model.sample(4).shape == model.decode(model.encode(x)).shape == x.shape


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ConfigError, match="likeness"):
        VAEGAN(likeness=0.0)
