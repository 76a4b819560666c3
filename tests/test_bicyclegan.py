"""What makes BicycleGAN: two cycles through the style, of which the second does not teach the encoder."""

import pytest
import torch
import torch.nn.functional as F

from isthmus.core import Batch, Spec
from isthmus.errors import ConfigError, DataError
from isthmus.models.translation.bicyclegan import BicycleGAN

A, B = Spec(1, 20, 16, name="edges"), Spec(3, 20, 16, name="shoes")
WEIGHTS = {"l1": 3.0, "regression": 5.0, "kl": 7.0}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def bicyclegan(a=A, b=B, **changes):
    return BicycleGAN(**{"latent": 3, "features": 2, "patch": 1} | changes).build(a, b)


def pairs(n=3, a=A, b=B):
    """Two batches of pairs, as a round takes them."""
    return [tuple(Batch(2 * torch.rand(n, *spec.shape) - 1) for spec in (a, b)) for _ in range(2)]


def turns(model, given):
    torch.manual_seed(5)
    return model.turns(iter(given))


def scene(model, a, b):
    """What a round makes, in one graph: mean and log-variance, what is rebuilt, the drawn style and what it becomes."""
    torch.manual_seed(5)
    mean, log_variance = model.encoder(b).chunk(2, dim=1)
    code = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
    z = torch.randn(len(a), model.latent)
    return mean, log_variance, model.restyle(a, "b", code), z, model.restyle(a, "b", z)


def squares(maps, target):
    return sum((outputs - target).square().mean() for outputs in maps)


def terms(model, a, b):
    """All terms of eq. 8 with WEIGHTS."""
    mean, log_variance, rebuilt, z, made = scene(model, a, b)
    found = model.encoder(made)[:, :3]
    return {
        "kl": 7 * 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean(),
        "l1": 3 * (rebuilt - b).abs().mean(),
        "adversarial encoded": squares(model.discriminators["encoded"](rebuilt), 1),
        "adversarial random": squares(model.discriminators["random"](made), 1),
        "latent": 5 * (found - z).abs().mean(),
    }


def test_the_losses_are_those_of_the_paper():
    model, given = bicyclegan(**WEIGHTS), pairs()
    (a, b), (_, others) = ((x.image, y.image) for x, y in given)
    _, _, rebuilt, _, made = scene(model, a, b)
    wanted = terms(model, a, b)
    generator, discriminator = turns(model, given)
    assert (generator.player, discriminator.player) == ("generator", "discriminator")
    assert generator.losses.keys() == wanted.keys()
    torch.testing.assert_close(generator.total, sum(wanted.values()))
    torch.testing.assert_close(dict(generator.losses), wanted)
    encoded, random = model.discriminators["encoded"], model.discriminators["random"]
    wanted = {
        "real encoded": squares(encoded(b), 1) / 2,
        "fake encoded": squares(encoded(rebuilt), 0) / 2,
        "real random": squares(random(others), 1) / 2,
        "fake random": squares(random(made), 0) / 2,
    }
    torch.testing.assert_close(dict(discriminator.losses), wanted)


def test_the_latent_loss_moves_the_generator_and_not_the_encoder():
    model, given = bicyclegan(**WEIGHTS), pairs()
    a, b = (batch.image for batch in given[0])
    total, wanted = next(turns(model, given)).total, terms(model, a, b)
    for net, losses in ((model.generator, wanted.values()), (model.encoder, [wanted["kl"], wanted["l1"]])):
        parameters = [*net.parameters()]
        if net is model.encoder:
            losses = [*losses, wanted["adversarial encoded"]]
        ours = torch.autograd.grad(total, parameters, retain_graph=True)
        theirs = torch.autograd.grad(sum(losses), parameters, retain_graph=True)
        torch.testing.assert_close(ours, theirs)
    conspiracy = torch.autograd.grad(wanted["latent"], [*model.encoder.parameters()])
    assert any((g != 0).any() for g in conspiracy), "left alone, it would have moved the encoder"


def test_discriminators_give_no_gradient_to_what_they_judge():
    model, given = bicyclegan(), pairs()
    _, judged = turns(model, given)
    others = [*model.generator.parameters(), *model.encoder.parameters()]
    assert set(torch.autograd.grad(judged.total, others, allow_unused=True, retain_graph=True)) == {None}
    assert all(g is not None for g in torch.autograd.grad(judged.total, [*model.discriminators.parameters()]))


def test_each_cycle_has_discriminators_of_its_own_at_two_sizes():
    model, sizes = bicyclegan(), []
    ids = {name: set(map(id, net.parameters())) for name, net in model.discriminators.items()}
    assert ids.keys() == {"encoded", "random"}
    assert not ids["encoded"] & ids["random"]
    for net in model.discriminators["random"].nets:
        net.register_forward_hook(lambda net, inputs, out: sizes.append(tuple(inputs[0].shape[2:])))
    model.judge("random", *(batch.image for batch in pairs()[0]))
    assert sizes == [(20, 16), (10, 8)]


@pytest.mark.parametrize("conditional", [False, True])
def test_discriminators_see_the_first_image_where_that_is_asked_for(conditional):
    model, ((a, b), (other, _)) = bicyclegan(conditional=conditional), pairs()
    ours, theirs = model.judge("encoded", a.image, b.image), model.judge("encoded", other.image, b.image)
    assert torch.equal(ours[0], theirs[0]) is not conditional


def test_networks_are_gone_through_once():
    model, seen = bicyclegan(), []
    for name in ("generator", "encoder", "discriminators.encoded", "discriminators.random"):
        model.get_submodule(name).register_forward_hook(lambda *_, name=name: seen.append(name))
    list(turns(model, pairs()))
    counts = {name: seen.count(name) for name in seen}
    # The encoder sees true and made images, a discriminator both, each once.
    assert counts == {"generator": 1, "encoder": 2, "discriminators.encoded": 2, "discriminators.random": 2}


def test_the_cvae_gan_alone_has_no_random_styles():
    model, given = bicyclegan(cycles="encoded", **WEIGHTS), pairs()
    generator, discriminator = turns(model, given)
    assert generator.losses.keys() == {"kl", "l1", "adversarial encoded"}
    assert discriminator.losses.keys() == {"real encoded", "fake encoded"}


def test_the_latent_regressor_alone_teaches_its_encoder():
    model, given = bicyclegan(cycles="random", regression=5.0), pairs()
    a = given[0][0].image
    generator, discriminator = turns(model, given)
    torch.manual_seed(5)
    z = torch.randn(3, 3)
    latent = 5 * F.l1_loss(model.encoder(model.restyle(a, "b", z))[:, :3], z)
    torch.testing.assert_close(generator.losses["latent"], latent)
    assert generator.losses.keys() == {"latent", "adversarial random"}
    assert discriminator.losses.keys() == {"real random", "fake random"}
    parameters = [*model.encoder.parameters()]
    ours = torch.autograd.grad(generator.total, parameters)
    torch.testing.assert_close(ours, torch.autograd.grad(latent, parameters))


@pytest.mark.parametrize(("enters", "given"), [("all", [3] * 5), ("input", [3, 0, 0, 0, 0])])
def test_the_style_enters_at_all_sizes_or_beside_the_image(enters, given):
    model = bicyclegan(enters=enters, features=2)
    widths = [fall[2].in_channels for fall in model.generator.falls]
    assert [width - plain for width, plain in zip(widths, [1, 2, 4, 8, 16], strict=True)] == given


def test_a_style_decides_and_nothing_else_is_random():
    model, a = bicyclegan().eval(), pairs(2)[0][0].image
    one, other = model.draw_style(2, "b"), model.draw_style(2, "b")
    assert torch.equal(model.restyle(a, "b", one), model.restyle(a, "b", one))
    assert not torch.equal(model.restyle(a, "b", one), model.restyle(a, "b", other))
    assert not torch.equal(model.translate(a, "b"), model.translate(a, "b"))


def test_the_style_of_an_image_is_the_encoders_mean():
    model, b = bicyclegan().eval(), pairs(2)[0][1].image
    assert torch.equal(model.style(b, "b"), model.encoder(b)[:, :3])
    assert model.targets == ("b",)
    drawn = model.draw_style(2000, "b")
    assert drawn.mean().abs() < 0.1
    assert drawn.std().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("size", [(8, 8), (7, 13), (33, 20)])
@pytest.mark.parametrize("upsampling", ["nearest", "transposed"])
def test_any_size_and_channels(size, upsampling):
    a, b = Spec(3, *size), Spec(4, *size)
    model, given = bicyclegan(a, b, upsampling=upsampling), pairs(1, a, b)
    assert model.translate(given[0][0].image, "b").shape == given[0][1].image.shape
    assert all(turn.total.isfinite() for turn in turns(model, given))


def test_domains_of_two_sizes_are_refused():
    with pytest.raises(DataError, match="--size"):
        BicycleGAN().build(A, Spec(3, 20, 20, name="shoes"))


@pytest.mark.parametrize(
    ("options", "word"),
    [({"latent": 0}, "latent"), ({"scales": 0}, "scales"), ({"kl": -1.0}, "kl"), ({"constant": 2.0}, "constant")],
)
def test_what_makes_no_sense_is_refused(options, word):
    with pytest.raises(ConfigError, match=word):
        BicycleGAN(**options)
