"""What makes pix2pix: pairs judged patch by patch beside what they were made of, L1, skips, and dropout as noise."""

import pytest
import torch
from torch import nn

from isthmus.core import Batch, Spec
from isthmus.errors import ConfigError, DataError
from isthmus.models.translation.pix2pix import Pix2Pix

A, B = Spec(3, 20, 16, name="maps"), Spec(1, 20, 16, name="photos")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def pix2pix(a=A, b=B, **changes):
    return Pix2Pix(**{"features": 2, "patch": 1} | changes).build(a, b)


def pair(n=3, a=A, b=B):
    return tuple(Batch(2 * torch.rand(n, *spec.shape) - 1) for spec in (a, b))


def turns(model, given):
    return model.turns(iter([given]))


def nudged(parameters, by=0.05):
    with torch.no_grad():
        for p in parameters:
            p.add_(by * torch.randn_like(p))


def test_the_losses_are_those_of_the_paper():
    model, (a, b) = pix2pix(dropout=0.0, adversarial=2.0, l1=7.0), pair()
    made = model.translate(a.image, "b")
    true, untrue = (model.discriminator(torch.cat([a.image, x], dim=1)).sigmoid() for x in (b.image, made))
    discriminator, generator = turns(model, (a, b))
    assert (discriminator.player, generator.player) == ("discriminator", "generator")
    wanted = {"real": -true.log().mean() / 2, "fake": -(1 - untrue).log().mean() / 2}
    torch.testing.assert_close(discriminator.losses, wanted)
    torch.testing.assert_close(
        generator.losses, {"adversarial": -2 * untrue.log().mean(), "l1": 7 * (made - b.image).abs().mean()}
    )


def test_the_generator_meets_the_discriminator_that_has_moved():
    """D first, then G; what G has made serves both, and D gives it no gradient."""
    model, given, made = pix2pix(l1=0.0), pair(), []
    model.generator.register_forward_hook(lambda net, inputs, out: made.append(out))
    game = turns(model, given)
    judged = next(game)
    reached = torch.autograd.grad(judged.total, [*model.generator.parameters()], allow_unused=True, retain_graph=True)
    assert set(reached) == {None}
    nudged(model.discriminator.parameters())
    cheat = next(game)
    logits = model.discriminator(given[0].image, made[0])
    torch.testing.assert_close(cheat.total, -logits.sigmoid().log().mean())
    assert len(made) == 1
    assert all((g != 0).any() for g in torch.autograd.grad(cheat.total, [model.generator.falls[0][2].weight]))


def test_pairs_are_judged_unless_the_discriminator_is_blind_to_the_first():
    (a, b), (other, _) = pair(), pair()
    sees, blind = pix2pix(), pix2pix(conditional=False)
    assert not torch.equal(sees.judge(a.image, b.image), sees.judge(other.image, b.image))
    assert torch.equal(blind.judge(a.image, b.image), blind.judge(other.image, b.image))
    assert blind.discriminator.layers[0][0][1].in_channels == 1


@pytest.mark.parametrize("skips", [True, False])
def test_skips_carry_over_what_does_not_pass_the_bottleneck(skips):
    model, image = pix2pix(dropout=0.0, skips=skips), pair(1)[0].image
    innermost = model.generator.falls[-1]
    innermost.register_forward_hook(lambda net, inputs, out: torch.zeros_like(out))
    assert torch.equal(model.translate(image, "b"), model.translate(-image, "b")) is not skips


def test_dropout_is_the_noise_and_stays():
    model, image = pix2pix().eval(), pair(1)[0].image
    assert not torch.equal(model.translate(image, "b"), model.translate(image, "b"))
    model = pix2pix(dropout=0.0).eval()
    assert torch.equal(model.translate(image, "b"), model.translate(image, "b"))


def test_an_image_is_translated_alike_in_any_company_and_in_use():
    """Statistics of the batch would make it depend on the others, running ones on the mode."""
    model, image = pix2pix(dropout=0.0), pair(4)[0].image
    together = model.train().translate(image, "b")
    torch.testing.assert_close(model.eval().translate(image[1:2], "b"), together[1:2])
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules())


def test_the_u_net_ends_at_one_pixel_or_earlier():
    model, sizes = pix2pix(), []
    model.generator.falls[-1].register_forward_hook(lambda net, inputs, out: sizes.append(out.shape[2:]))
    model.translate(pair(1)[0].image, "b")
    assert sizes == [(1, 1)]
    assert len(model.generator.falls) == 5
    assert len(pix2pix(depth=2).generator.falls) == 2


def test_without_its_weight_there_is_no_discriminator():
    model, (a, b) = pix2pix(adversarial=0.0, dropout=0.0), pair()
    (turn,) = turns(model, (a, b))
    torch.testing.assert_close(turn.losses, {"l1": 100 * (model.translate(a.image, "b") - b.image).abs().mean()})
    assert [*model.players()] == ["generator"]
    assert not any(name.startswith("discriminator") for name, _ in model.named_parameters())
    _, cheat = turns(pix2pix(l1=0.0), pair())
    assert cheat.losses.keys() == {"adversarial"}


def test_adam_and_its_schedule():
    for player in pix2pix(constant=0.6).players().values():
        assert (player.optimizer, player.lr, player.settings) == ("Adam", 2e-4, {"betas": (0.5, 0.999)})
        assert [player.schedule(p) for p in (0.0, 0.6, 0.8, 1.0)] == pytest.approx([1, 1, 0.5, 0])


def test_weights_are_small_at_first():
    for layer in pix2pix(features=16).modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 4000:
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_only_the_second_domain_is_learnt():
    assert pix2pix().targets == ("b",)
    assert pix2pix().ends("b") == (A, B)


@pytest.mark.parametrize("size", [(8, 8), (7, 13), (33, 20), (1, 5)])
@pytest.mark.parametrize("upsampling", ["nearest", "transposed"])
def test_any_size_and_channels(size, upsampling):
    a, b = Spec(4, *size), Spec(3, *size)
    model, given = pix2pix(a, b, upsampling=upsampling), pair(2, a, b)
    assert model.translate(given[0].image, "b").shape == given[1].image.shape
    assert all(turn.total.isfinite() for turn in turns(model, given))


def test_domains_of_two_sizes_are_refused():
    with pytest.raises(DataError, match="--size"):
        Pix2Pix().build(A, Spec(1, 20, 20, name="photos"))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"features": 0}, "features"),
        ({"patch": -1}, "patch"),
        ({"dropout": 1.0}, "dropout"),
        ({"constant": 2.0}, "constant"),
        ({"adversarial": 0.0, "l1": 0.0}, "nothing to learn"),
    ],
)
def test_what_makes_no_sense_is_refused(options, word):
    with pytest.raises(ConfigError, match=word):
        Pix2Pix(**options)
