"""What makes the conditional GAN that model: pairs of image and class are judged, and nobody names the class."""

import pytest
import torch
from torch import nn

from isthmus.core import Batch, Spec
from isthmus.errors import ConfigError, DataError
from isthmus.losses.adversarial import fake, real
from isthmus.models.gans.cgan import CGAN
from isthmus.nn.labels import one_hot
from isthmus.nn.maxout import Maxout

SPEC = Spec(1, 6, 5, ("a", "b", "c"))
NAMES = ("generator", "discriminator")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def cgan(spec=SPEC, **changes):
    return CGAN(**{"latent": 4, "hidden": 24, "dropout": 0.0, "generator_dropout": 0.0} | changes).build(spec).train()


def batch(n=6, spec=SPEC):
    return Batch(2 * torch.rand(n, *spec.shape) - 1, torch.arange(n) % len(spec.classes))


def linear(net):
    return [(m.in_features, m.out_features) for m in net.modules() if isinstance(m, nn.Linear)]


def test_a_maxout_unit_is_the_largest_of_its_pieces():
    layer, x = Maxout(3, 2, pieces=4), torch.randn(7, 3)
    pieces = (x @ layer.linear.weight.T + layer.linear.bias).view(7, 2, 4)
    torch.testing.assert_close(layer(x), pieces.max(2).values)
    (gradient,) = torch.autograd.grad(layer(x)[0, 0], layer.linear.weight)
    largest = pieces[0, 0].argmax()
    assert [row.any().item() for row in gradient] == [i == largest for i in range(8)]


def test_the_networks_are_those_of_the_paper():
    model = cgan(Spec(1, 28, 28, tuple("0123456789")), latent=100, hidden=1200)
    assert linear(model.generator) == [(100, 200), (10, 1000), (1200, 1200), (1200, 784)]
    assert linear(model.discriminator) == [(784, 240 * 5), (10, 50 * 5), (290, 240 * 4), (240, 1)]
    assert [m.pieces for m in model.discriminator.modules() if isinstance(m, Maxout)] == [5, 5, 4]
    drops = {net: [m.p for m in model.get_submodule(net).modules() if isinstance(m, nn.Dropout)] for net in NAMES}
    assert drops == {"generator": [0.0] * 2, "discriminator": [0.0] * 2}
    assert not [m for m in model.modules() if isinstance(m, nn.BatchNorm1d)]
    norms = [m for m in cgan(generator_norm="batch").modules() if isinstance(m, nn.BatchNorm1d)]
    assert [m.num_features for m in norms] == [24]


def test_the_class_is_as_loud_as_the_image_from_the_start():
    """A class is one input among hundreds: weights of the same size for all would let it be heard late."""
    model = cgan(Spec(1, 28, 28, tuple("0123456789")), hidden=600)
    seen = {}
    for name in ("image", "label"):
        branch = model.discriminator.get_submodule(name)
        branch.register_forward_hook(lambda m, inputs, out, name=name: seen.update({name: out.std(0).mean().item()}))
    data = batch(100, model.spec)
    model.discriminator(data.image, one_hot(data.label, 10))
    assert 0.5 < seen["label"] / seen["image"] < 4


def test_units_are_dropped_in_both_networks_as_they_were_asked_to():
    model = cgan(dropout=0.2, generator_dropout=0.4)
    for name, share in zip(NAMES, (0.4, 0.2), strict=True):
        assert {m.p for m in model.get_submodule(name).modules() if isinstance(m, nn.Dropout)} == {share}
    assert CGAN().config()["dropout"] == CGAN().config()["generator_dropout"] == 0.5
    assert not torch.equal(*(forward(model) for _ in range(2)))
    assert torch.equal(*(forward(model.eval()) for _ in range(2)))


def forward(model):
    torch.randn(3)  # so that the draws that drop units go on
    with torch.no_grad():
        y = one_hot(torch.tensor([0, 1]), 3)
        return model.discriminator(model.generator(torch.ones(2, 4), y), y)


def test_both_players_see_the_class_of_the_real_image_beside_the_generated_one():
    model, data, seen = cgan(), batch(), {name: [] for name in NAMES}
    for name in NAMES:
        model.get_submodule(name).register_forward_hook(lambda m, inputs, out, name=name: seen[name].append(inputs[1]))
    assert [turn.player for turn in model.turns(iter([data]))] == ["discriminator", "generator"]
    assert [len(ys) for ys in seen.values()] == [1, 3]  # images are made once for both
    assert all(torch.equal(y, one_hot(data.label, 3)) for ys in seen.values() for y in ys)


def test_the_losses_are_those_of_pairs_and_of_no_classifier():
    model, data = cgan(), batch()
    y = one_hot(data.label, 3)
    torch.manual_seed(4)
    first, second = model.turns(iter([data]))
    torch.manual_seed(4)
    made = model.sample(6, data.label)
    torch.testing.assert_close(first.losses["real"], real(model.discriminator(data.image, y)))
    torch.testing.assert_close(first.losses["fake"], fake(model.discriminator(made, y)))
    torch.testing.assert_close(second.losses["adversarial"], real(model.discriminator(made, y)))
    assert (first.losses.keys(), second.losses.keys()) == ({"real", "fake"}, {"adversarial"})
    assert model.discriminator(made, y).shape == (6, 1)


def test_an_image_is_judged_by_the_class_beside_it():
    model, data = cgan(), batch()
    judged = [model.discriminator(data.image, one_hot(data.label.roll(k), 3)) for k in (0, 1)]
    assert not torch.allclose(*judged)
    (gradient,) = torch.autograd.grad(judged[0].sum(), model.discriminator.label.linear.weight)
    assert gradient.abs().max() > 0


def test_without_the_condition_the_discriminator_cannot_tell_classes():
    model, data, seen = cgan(conditional=False), batch(), []
    model.discriminator.register_forward_hook(lambda m, inputs, out: seen.append(inputs[1]))
    list(model.turns(iter([data])))
    assert len(seen) == 3
    assert not torch.stack(seen).any()
    torch.manual_seed(0)
    one = model.sample(2, torch.tensor([0, 0]))
    torch.manual_seed(0)
    assert not torch.allclose(one, model.sample(2, torch.tensor([1, 1])))  # the generator still sees the class


def test_the_discriminators_turn_does_not_reach_the_generator():
    model = cgan()
    turn = next(model.turns(iter([batch()])))
    with pytest.raises(RuntimeError, match="unused"):
        torch.autograd.grad(turn.total, list(model.generator.parameters()))


def test_the_generator_is_judged_by_the_discriminator_as_it_is_now():
    model = cgan()
    turns = model.turns(iter([batch()]))
    next(turns)
    with torch.no_grad():
        model.discriminator.joint[-1].bias.fill_(1e3)
    assert next(turns).losses["adversarial"] == 0


def test_players_are_adam_with_a_first_beta_of_a_half():
    for player in cgan(lr=1e-3).players().values():
        assert (player.optimizer, player.lr, player.settings) == ("Adam", 1e-3, {"betas": (0.5, 0.999)})
        assert [player.schedule(done) for done in (0.0, 0.5, 1.0)] == pytest.approx([1, 0.1**0.5, 0.1])


def test_noise_is_uniform_with_variance_1_and_0_at_temperature_0():
    model, seen = cgan(latent=4), []
    model.generator.register_forward_hook(lambda m, inputs, out: seen.append(inputs[0]))
    model.sample(5000)
    model.sample(3, temperature=0.0)
    z, middle = seen
    assert 1.72 < z.abs().max() <= 3**0.5 + 1e-6
    assert z.mean().item() == pytest.approx(0, abs=0.03)
    assert z.var().item() == pytest.approx(1, abs=0.03)
    assert (middle == 0).all()


def test_the_class_that_is_asked_for_is_drawn_and_any_where_none_is():
    model, seen = cgan(), []
    model.generator.register_forward_hook(lambda m, inputs, out: seen.append(inputs[1].argmax(1)))
    model.sample(4, torch.tensor([2, 0, 1, 1]))
    model.sample(300)
    assert seen[0].tolist() == [2, 0, 1, 1]
    assert (seen[1].bincount(minlength=3) > 60).all()


@pytest.mark.parametrize("shape", [(3, 7, 13), (1, 1, 1), (1, 2, 1)])
def test_any_image_size(shape):
    model = cgan(Spec(*shape, classes=("a", "b")), hidden=6)
    images = model.sample(4)
    assert images.shape == (4, *shape)
    assert images.abs().max() <= 1
    assert all(turn.total.isfinite() for turn in model.turns(iter([batch(4, model.spec)])))


def test_data_without_classes_are_refused():
    with pytest.raises(DataError, match="classes"):
        cgan(Spec(1, 6, 5))


@pytest.mark.parametrize(
    "changes", [{"latent": 0}, {"hidden": 5}, {"dropout": 1.0}, {"generator_dropout": -0.1}, {"lr": 0.0}]
)
def test_what_makes_no_sense_is_refused(changes):
    with pytest.raises(ConfigError, match=next(iter(changes))):
        CGAN(**changes)
