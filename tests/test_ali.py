"""What makes ALI: a stochastic encoder, one forward pass for both players, dropout and no norm in the discriminator."""

import pytest
import torch
from torch import nn

from isthmus.core import Batch, Spec
from isthmus.errors import ConfigError
from isthmus.losses.adversarial import fake, real
from isthmus.models.gans.ali import ALI
from isthmus.nn.maxout import Maxout

SPEC = Spec(1, 6, 5)
NETWORKS = pytest.mark.parametrize("network", ["mlp", "conv"])


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def ali(spec=SPEC, **changes):
    return ALI(**{"latent": 3, "hidden": 16, "features": 2, "units": 8} | changes).build(spec)


def images(n=8, spec=SPEC):
    return 2 * torch.rand(n, *spec.shape) - 1


def turns(model, x):
    torch.manual_seed(5)
    return model.turns(iter([Batch(x)]))


def pairs(model, x):
    """Logits of the encoder's pairs and of the generator's, through everything at once."""
    torch.manual_seed(5)
    z = torch.randn(len(x), 3)
    mean, log_deviation = model.encoder(x).chunk(2, dim=1)
    code = mean + log_deviation.exp() * torch.randn_like(mean)
    made = model.generator(z)
    return model.discriminator(torch.cat([x, made]), torch.cat([code, z])).chunk(2)


@NETWORKS
def test_losses_and_gradients_are_those_of_algorithm_1(network):
    """With dropout, of which both players must see the same."""
    model, x = ali(network=network), images()
    players, losses, ours = model.players(), [], []
    for turn in turns(model, x):
        losses.append(turn.losses)
        ours.append(torch.autograd.grad(turn.total, players[turn.player].parameters()))
    truth, forgery = pairs(model, x)
    wanted = {"encoder": fake(truth), "generator": real(forgery)}, {"real": real(truth), "fake": fake(forgery)}
    for mine, gradients, terms, name in zip(losses, ours, wanted, ("generator", "discriminator"), strict=True):
        torch.testing.assert_close(mine, terms)
        total = sum(terms.values())
        theirs = torch.autograd.grad(total, players[name].parameters(), retain_graph=True)
        torch.testing.assert_close(gradients, theirs)


def test_one_forward_pass_and_both_move_at_the_same_weights():
    """A step in between changes nothing of what comes after."""
    model, x, seen = ali(), images(), []
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


def test_the_discriminator_sees_draws_of_the_encoders_gaussian():
    model, x, seen = ali(), images(), []
    model.discriminator.register_forward_hook(lambda _, inputs, out: seen.append(inputs[1][:8]))
    for seed in (1, 2):
        torch.manual_seed(seed)
        list(model.turns(iter([Batch(x)])))
    assert not torch.equal(*seen)
    mean, log_variance = model.posterior(x)
    noise = (torch.stack(seen) - mean) / (0.5 * log_variance).exp()
    torch.manual_seed(1)
    torch.randn(8, 3)  # z
    torch.testing.assert_close(noise[0], torch.randn(8, 3), rtol=1e-4, atol=1e-4)


def test_the_deviation_is_learnt():
    model, x = ali(), images()
    makers = next(turns(model, x))
    (weight,) = torch.autograd.grad(makers.total, model.encoder.head[0].weight)
    assert (weight[3:] != 0).any(1).all()
    with torch.no_grad():
        model.encoder.head[0].bias[3:] = -1.0
        model.encoder.head[0].weight[3:] = 0.0
    torch.testing.assert_close(model.posterior(x)[1], torch.full((8, 3), -2.0))


def test_codes_are_means():
    model, x = ali().eval(), images()
    assert torch.equal(model.encode(x), model.posterior(x)[0])
    assert torch.equal(model.encode(x), model.encode(x))


@NETWORKS
def test_normalisation_dropout_and_maxout_are_where_the_paper_has_them(network):
    model = ali(Spec(1, 16, 16), network=network)

    def found(net, kind):
        return [m for m in net.modules() if isinstance(m, kind)]

    norms = (nn.BatchNorm1d, nn.BatchNorm2d)
    assert found(model.generator, norms)
    assert found(model.encoder, norms)
    assert not found(model.discriminator, norms)
    assert not found(model.encoder, nn.Dropout)
    assert not found(model.generator, nn.Dropout)
    assert {layer.p for layer in found(model.discriminator, nn.Dropout)} == {0.2, 0.5}
    assert found(model.discriminator, Maxout)
    assert {(p.optimizer, p.lr, p.settings["betas"]) for p in model.players().values()} == {
        ("Adam", 1e-4, (0.5, 0.999))
    }


@NETWORKS
def test_what_the_discriminator_is_given_is_dropped_out(network):
    """With none of the image and the code left, it sees nothing of them."""
    model = ali(network=network, dropout=0.999999, hidden_dropout=0.0)
    logits = [model.discriminator(images(), torch.randn(8, 3)) for _ in range(2)]
    assert torch.equal(*logits)
    model.eval()
    assert not torch.equal(*(model.discriminator(images(), torch.randn(8, 3)) for _ in range(2)))


def test_a_discriminator_without_norm_keeps_the_scale_of_what_it_is_given():
    model = ali(Spec(1, 16, 16), network="mlp", units=64).eval()
    logits = model.discriminator(images(64, Spec(1, 16, 16)), torch.randn(64, 3))
    assert 0.1 < logits.std() < 10


def test_without_the_code_the_discriminator_tells_the_encoder_nothing():
    model, x = ali(joint=False), images()
    makers = next(turns(model, x))
    assert all((g == 0).all() for g in torch.autograd.grad(makers.total, [*model.encoder.parameters()]))


@NETWORKS
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 13), (1, 2, 1), (4, 33, 20)])
def test_any_image_size(network, shape):
    model = ali(Spec(*shape), network=network).eval()
    x = images(4, Spec(*shape))
    assert model.sample(4).shape == model.decode(model.encode(x)).shape == x.shape


@pytest.mark.parametrize(("options", "word"), [({"units": 0}, "units"), ({"dropout": 1.0}, "dropout")])
def test_what_makes_no_sense_is_refused(options, word):
    with pytest.raises(ConfigError, match=word):
        ALI(**options)
