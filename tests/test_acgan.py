"""What makes the auxiliary classifier GAN that model: the class is named, by one player for both."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from isthmus.core import Batch, Spec
from isthmus.errors import ConfigError, DataError
from isthmus.losses.adversarial import fake, real
from isthmus.models.gans.acgan import ACGAN
from isthmus.nn.noise import Noise

SPEC = Spec(1, 16, 14, ("a", "b", "c"))
STILL = {"noise": 0.0, "dropout": 0.0}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def acgan(spec=SPEC, **changes):
    return ACGAN(**{"latent": 4, "features": 2} | changes).build(spec).train()


def batch(n=6, spec=SPEC):
    return Batch(2 * torch.rand(n, *spec.shape) - 1, torch.arange(n) % len(spec.classes))


def kinds(net, *wanted):
    return [m for m in net.modules() if isinstance(m, wanted)]


def played(model, data, seed=4):
    """Both turns of a round, and what the generator made in it."""
    torch.manual_seed(seed)
    turns = list(model.turns(iter([data])))
    torch.manual_seed(seed)
    return *turns, model.sample(len(data), data.label)


def test_the_networks_are_those_of_the_paper():
    model = acgan(Spec(3, 32, 32, tuple("0123456789")), latent=100, features=16, noise=0.1, dropout=0.5)
    down, up = kinds(model.discriminator, nn.Conv2d), kinds(model.generator, nn.ConvTranspose2d)
    assert [c.out_channels for c in down] == [16, 32, 64, 128, 256, 512]
    assert [c.stride[0] for c in down] == [2, 1] * 3
    assert {c.kernel_size for c in down} == {(3, 3)}
    assert len(kinds(model.discriminator, nn.BatchNorm2d)) == 5  # not at the input
    assert [m.p for m in kinds(model.discriminator, nn.Dropout)] == [0.5] * 6
    assert [m.deviation for m in kinds(model.discriminator, Noise)] == [0.1] * 6
    assert {m.negative_slope for m in kinds(model.discriminator, nn.LeakyReLU)} == {0.2}
    assert [c.in_channels for c in up] == [384, 192, 96]
    assert kinds(model.generator, nn.Linear)[0].in_features == 110
    assert kinds(model.discriminator, nn.Linear)[0].in_features == 512 * 4 * 4
    assert kinds(model.discriminator, nn.Linear)[0].out_features == 11


def test_weights_are_small():
    for layer in kinds(acgan(features=16), nn.Conv2d, nn.Linear, nn.ConvTranspose2d):
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.2)
        assert layer.bias is None or not layer.bias.any()


def test_the_discriminator_is_told_nothing_and_gives_source_and_class():
    model, data = acgan(), batch()
    source, named = model.judge(data.image)
    assert source.shape == (6, 1)
    assert named.shape == (6, 3)


def test_the_discriminator_maximises_both_likelihoods_of_real_and_of_generated_images():
    model, data = acgan(**STILL), batch()
    first, _, made = played(model, data)
    (truth, named), (forgery, called) = model.judge(data.image), model.judge(made)
    expected = {
        "real": real(truth),
        "fake": fake(forgery),
        "class of real": F.cross_entropy(named, data.label),
        "class of fake": F.cross_entropy(called, data.label),
    }
    assert first.player == "discriminator"
    torch.testing.assert_close(dict(first.losses), expected)


def test_the_generator_wants_the_class_to_be_right_and_the_source_to_be_wrong():
    model, data = acgan(**STILL), batch()
    _, second, made = played(model, data)
    source, called = model.judge(made)
    expected = {"adversarial": real(source), "class": F.cross_entropy(called, data.label)}
    assert second.player == "generator"
    torch.testing.assert_close(dict(second.losses), expected)


def test_a_discriminator_that_is_sure_costs_what_it_should():
    model, data = acgan(**STILL), batch(3)
    with torch.no_grad():
        model.discriminator.head[0].weight.zero_()
        model.discriminator.head[0].bias.copy_(torch.tensor([2.0, 0.0, 0.0, math.log(2)]))
    first, second, _ = played(model, data)
    right = (2 * math.log(4) + math.log(2)) / 3  # probabilities 1/4, 1/4, 1/2 of three images of each class
    softplus = math.log1p(math.exp(2))
    assert [value.item() for value in first.losses.values()] == pytest.approx([softplus - 2, softplus, right, right])
    assert [value.item() for value in second.losses.values()] == pytest.approx([softplus - 2, right])


def test_classes_weigh_as_they_are_told_for_both_players():
    data, terms = batch(), ("class of real", "class of fake", "class")
    model = acgan(**STILL)
    whole = [turn.losses for turn in played(model, data)[:2]]
    for weight in (0.0, 0.5):
        other = acgan(**STILL, classification=weight)
        other.load_state_dict(model.state_dict())
        for turn, losses in zip(played(other, data)[:2], whole, strict=True):
            for term, value in turn.losses.items():
                expected = weight * losses[term] if term in terms else losses[term]
                torch.testing.assert_close(value, expected, msg=term)


def test_each_player_learns_the_class_and_the_other_is_not_reached():
    model, data = acgan(**STILL), batch()
    first, second, _ = played(model, data)
    head = model.discriminator.head[0].weight
    for term in ("class of real", "class of fake"):
        (gradient,) = torch.autograd.grad(first.losses[term], head, retain_graph=True)
        assert gradient[1:].abs().max() > 0
        assert not gradient[0].any()
    assert torch.autograd.grad(second.losses["class"], list(model.generator.parameters()), retain_graph=True)
    with pytest.raises(RuntimeError, match="unused"):
        torch.autograd.grad(first.total, list(model.generator.parameters()))


def test_images_are_made_once_for_both_and_judged_three_times():
    model, calls = acgan(), []
    for name in ("generator", "discriminator"):
        model.get_submodule(name).register_forward_hook(lambda m, inputs, out, name=name: calls.append(name))
    list(model.turns(iter([batch()])))
    assert calls == ["generator", "discriminator", "discriminator", "discriminator"]


def test_what_is_asked_for_has_the_frequencies_of_the_data():
    model, seen = acgan(), []
    model.generator.register_forward_hook(lambda m, inputs, out: seen.append(inputs[0][:, 4:]))
    labels = torch.tensor([2, 2, 2, 2, 0, 2])
    list(model.turns(iter([Batch(batch().image, labels)])))
    assert torch.equal(seen[0], F.one_hot(labels, 3).float())


def test_noise_and_dropout_are_of_training_alone():
    model, data = acgan(noise=0.5), batch()
    assert not torch.equal(*(model.judge(data.image)[0] for _ in range(2)))
    model.eval()
    assert torch.equal(*(model.classify(data.image) for _ in range(2)))
    torch.testing.assert_close(model.classify(data.image), model.judge(data.image)[1].log_softmax(1))


def test_the_class_that_is_asked_for_is_drawn_and_any_where_none_is():
    model, seen = acgan().eval(), []
    model.generator.register_forward_hook(lambda m, inputs, out: seen.append(inputs[0][:, 4:].argmax(1)))
    model.sample(4, torch.tensor([2, 0, 1, 1]))
    model.sample(300)
    assert seen[0].tolist() == [2, 0, 1, 1]
    assert (seen[1].bincount(minlength=3) > 60).all()
    assert torch.equal(*model.sample(2, torch.tensor([1, 1]), temperature=0.0))


def test_players_are_adam_with_a_first_beta_of_a_half():
    for player in acgan(lr=1e-3).players().values():
        assert (player.optimizer, player.lr, player.settings) == ("Adam", 1e-3, {"betas": (0.5, 0.999)})


@pytest.mark.parametrize("shape", [(3, 7, 13), (1, 1, 1), (1, 2, 1), (4, 33, 20)])
def test_any_image_size(shape):
    model = acgan(Spec(*shape, classes=("a", "b")))
    assert model.sample(4).shape == (4, *shape)
    assert all(turn.total.isfinite() for turn in model.turns(iter([batch(4, model.spec)])))


def test_data_without_classes_are_refused():
    with pytest.raises(DataError, match="classes"):
        acgan(Spec(1, 6, 5))


@pytest.mark.parametrize(
    "changes", [{"latent": 0}, {"features": 0}, {"classification": -1.0}, {"noise": -0.1}, {"dropout": 1.0}]
)
def test_what_makes_no_sense_is_refused(changes):
    with pytest.raises(ConfigError, match=next(iter(changes))):
        ACGAN(**changes)
