"""What makes a BiGAN: pairs are judged, both makers lower the exchanged loss, and no loss compares images."""

import pytest
import torch
from torch import nn

from isthmus.core import Batch, Spec
from isthmus.errors import ConfigError
from isthmus.losses.adversarial import fake, real
from isthmus.models.gans.bigan import BiGAN
from isthmus.nn.noise import uniform

SPEC = Spec(1, 6, 5)
NETWORKS = pytest.mark.parametrize("network", ["mlp", "conv"])


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def bigan(spec=SPEC, **changes):
    return BiGAN(**{"latent": 3, "hidden": 16, "features": 2} | changes).build(spec)


def images(n=8, spec=SPEC):
    return 2 * torch.rand(n, *spec.shape) - 1


def turns(model, x):
    torch.manual_seed(5)
    return model.turns(iter([Batch(x)]))


def pairs(model, x):
    """Logits of the encoder's pairs and of the generator's, through everything at once."""
    torch.manual_seed(5)
    z = uniform(torch.randn(len(x), 3))
    codes = torch.cat([uniform(model.standard(model.encoder(x))), z])
    return model.discriminator(torch.cat([x, model.generator(z)]), codes).chunk(2)


@NETWORKS
def test_real_is_the_encoders_pair_and_the_makers_exchange_the_labels(network):
    model, x = bigan(network=network), images()
    makers, judge = turns(model, x)
    truth, forgery = pairs(model, x)
    assert [makers.player, judge.player] == ["generator", "discriminator"]
    torch.testing.assert_close(judge.losses, {"real": real(truth), "fake": fake(forgery)})
    torch.testing.assert_close(makers.losses, {"encoder": fake(truth), "generator": real(forgery)})


@NETWORKS
def test_gradients_are_those_of_the_whole_game(network):
    model, x = bigan(network=network), images()
    players = model.players()
    ours = [torch.autograd.grad(turn.total, players[turn.player].parameters()) for turn in turns(model, x)]
    truth, forgery = pairs(model, x)
    wanted = fake(truth) + real(forgery), real(truth) + fake(forgery)
    for mine, total, name in zip(ours, wanted, ("generator", "discriminator"), strict=True):
        theirs = torch.autograd.grad(total, players[name].parameters(), retain_graph=True)
        torch.testing.assert_close(mine, theirs)


def test_each_maker_learns_from_its_own_pair():
    model, x = bigan(), images()
    model.discriminator.eval()  # in training, its normalisation lets either pair see the other
    truth, forgery = pairs(model, x)
    for loss, own, stranger in (
        (truth, model.encoder, model.generator),
        (forgery, model.generator, model.encoder),
    ):
        for net, learns in ((own, True), (stranger, False)):
            reached = torch.autograd.grad(loss.sum(), [*net.parameters()], retain_graph=True)
            assert any(g.any() for g in reached) == learns
    assert {id(p) for p in model.players()["generator"].parameters()} == {
        id(p) for net in (model.generator, model.encoder) for p in net.parameters()
    }


def test_one_forward_pass_and_all_move_at_the_same_weights():
    """A step in between changes nothing of what comes after."""
    model, x, seen = bigan(), images(), []
    for name in ("generator", "encoder", "discriminator"):
        model.get_submodule(name).register_forward_hook(lambda *_, name=name: seen.append(name))
    players = model.players()
    wanted = [torch.autograd.grad(t.total, players[t.player].parameters()) for t in turns(model, x)]
    assert sorted(seen) == ["discriminator", "encoder", "generator"]
    for turn, gradients in zip(turns(model, x), wanted, strict=True):
        parameters = players[turn.player].parameters()
        torch.testing.assert_close(torch.autograd.grad(turn.total, parameters), gradients)
        with torch.no_grad():
            for p in parameters:
                p.add_(0.1)


def test_codes_and_noise_fill_the_same_range():
    model, x, seen = bigan(), images(), []
    with torch.no_grad():
        model.encoder.head[0].weight.mul_(1e3)
    model.discriminator.register_forward_hook(lambda _, inputs, out: seen.append(inputs[1]))
    list(turns(model, x))
    assert max(code.abs().max() for code in seen) <= 1
    noise = model.noise(20_000)
    assert noise.mean().abs() < 0.02
    assert (noise.var() - 1 / 3).abs() < 0.01  # of U(-1, 1)


def test_the_encoder_cannot_choose_the_scale_of_its_codes():
    """Else it drives them to the border of the range, where it no longer learns."""
    model, x = bigan(), images(64)
    codes = model.encode(x)
    torch.testing.assert_close(codes.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(codes.var(0, correction=0), torch.ones(3), atol=0.05, rtol=0)
    with torch.no_grad():
        model.encoder.head[0].weight.mul_(100)
        model.encoder.head[0].bias.add_(3)
    torch.testing.assert_close(model.encode(x), codes, atol=0.05, rtol=0.05)


def test_a_pair_is_not_normalised_among_its_own_kind():
    """What sets the encoder's pairs off as a whole must not be taken away before they are judged."""
    model, x, inside = bigan(), images(64), []
    norm = next(m for m in model.discriminator.modules() if isinstance(m, nn.BatchNorm1d))
    norm.register_forward_hook(lambda _, inputs, out: inside.append(out))
    list(turns(model, x + 3))
    truth, forgery = inside[0].chunk(2)
    torch.testing.assert_close(torch.cat([truth, forgery]).mean(0), norm.bias, atol=1e-5, rtol=0)
    assert (truth.mean(0) - forgery.mean(0)).abs().max() > 0.5


def test_codes_of_the_toolkit_are_what_the_noise_is_made_of():
    model = bigan().eval()
    torch.manual_seed(2)
    drawn = model.sample(5, temperature=0.5)
    torch.manual_seed(2)
    torch.testing.assert_close(drawn, model.decode(0.5 * torch.randn(5, 3)))
    x = images()
    torch.testing.assert_close(model.decode(model.encode(x)), model.generator(uniform(model.encode(x))))


def test_the_encoder_is_a_function():
    model, x = bigan(), images()
    torch.testing.assert_close(model.encode(x), model.encode(x), rtol=0, atol=0)


def test_without_the_code_the_discriminator_tells_the_encoder_nothing():
    model, x = bigan(joint=False), images()
    assert torch.equal(model.judge(x, torch.zeros(8, 3)), model.judge(x, torch.ones(8, 3)))
    makers = next(turns(model, x))
    assert all((g == 0).all() for g in torch.autograd.grad(makers.total, [*model.encoder.parameters()]))
    assert not torch.equal(bigan().judge(x, torch.zeros(8, 3)), bigan().judge(x, torch.ones(8, 3)))


def test_the_learning_rate_stays_and_then_falls_to_a_hundredth():
    for player in bigan().players().values():
        assert [player.schedule(t) for t in (0.0, 0.5, 1.0)] == pytest.approx([1, 1, 0.01])
        assert player.schedule(0.75) == pytest.approx(0.1)
        assert (player.optimizer, player.lr) == ("Adam", 2e-4)
        assert player.settings == {"betas": (0.5, 0.999), "weight_decay": 2.5e-5}
    assert bigan(constant=1.0).players()["generator"].schedule(1.0) == 1


@NETWORKS
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 13), (1, 2, 1), (4, 33, 20)])
def test_any_image_size(network, shape):
    model = bigan(Spec(*shape), network=network).eval()
    x = images(4, Spec(*shape))
    assert model.sample(4).shape == model.decode(model.encode(x)).shape == x.shape


@pytest.mark.parametrize(
    ("options", "word"), [({"latent": 0}, "latent"), ({"constant": 1.5}, "part"), ({"weight_decay": -1.0}, "negative")]
)
def test_what_makes_no_sense_is_refused(options, word):
    with pytest.raises(ConfigError, match=word):
        BiGAN(**options)
