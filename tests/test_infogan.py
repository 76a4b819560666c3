"""What makes InfoGAN that model: who tells the code, who is paid for it, and what a code is."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from isthmus.core import Autoencodes, Batch, Spec
from isthmus.core.operations import code_size, manifold
from isthmus.data.images import Images
from isthmus.errors import ConfigError
from isthmus.experiments.infogan import measure, slant_and_width
from isthmus.losses.adversarial import fake, real
from isthmus.models.gans.infogan import InfoGAN

SPEC = Spec(1, 16, 14)
SMALL = {"latent": 5, "categories": 4, "features": 2, "hidden": 16}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def infogan(spec=SPEC, **changes):
    return InfoGAN(**SMALL | changes).build(spec).train()


def images(n=8, spec=SPEC):
    return 2 * torch.rand(n, *spec.shape) - 1


def kinds(net, *wanted):
    return [m for m in net.modules() if isinstance(m, wanted)]


def played(model, x, seed=4):
    """Both turns of a round, and the code that was drawn in it."""
    torch.manual_seed(seed)
    turns = list(model.turns(iter([Batch(x)])))
    torch.manual_seed(seed)
    return *turns, model.draw(len(x))


def ids(*nets):
    return {id(p) for net in nets for p in net.parameters()}


def test_the_networks_are_those_of_the_paper():
    model = InfoGAN().build(Spec(1, 28, 28))
    trunk, told, made = model.discriminator, model.recognition, model.generator
    assert [(c.in_channels, c.out_channels) for c in kinds(trunk, nn.Conv2d)] == [(1, 64), (64, 128)]
    assert [(m.in_features, m.out_features) for m in kinds(trunk, nn.Linear)] == [(128 * 7 * 7, 1024), (1024, 1)]
    assert [(m.in_features, m.out_features) for m in kinds(told, nn.Linear)] == [(1024, 128), (128, 12)]
    assert [(m.in_features, m.out_features) for m in kinds(made, nn.Linear)] == [(74, 1024), (1024, 128 * 7 * 7)]
    assert [(c.in_channels, c.out_channels) for c in kinds(made, nn.ConvTranspose2d)] == [(128, 64), (64, 1)]
    assert len(kinds(trunk, nn.BatchNorm2d, nn.BatchNorm1d)) == 2
    assert len(kinds(told, nn.BatchNorm1d)) == 1
    assert len(kinds(made, nn.BatchNorm2d, nn.BatchNorm1d)) == 3


def test_every_layer_is_initialised_alike():
    for layer in kinds(infogan(features=16, hidden=200), nn.Linear, nn.Conv2d, nn.ConvTranspose2d):
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.25)


def test_q_stands_on_the_features_of_the_discriminator_and_moves_with_it():
    model = infogan()
    players = model.players()
    assert {id(p) for p in players["discriminator"].parameters()} == ids(model.discriminator, model.recognition)
    assert {id(p) for p in players["generator"].parameters()} == ids(model.generator)
    assert (players["discriminator"].lr, players["generator"].lr) == (2e-4, 1e-3)
    assert all(p.optimizer == "Adam" and p.settings == {"betas": (0.5, 0.999)} for p in players.values())
    first, _, _ = played(model, images())
    for term in ("categorical", "continuous"):
        trunk = torch.autograd.grad(
            first.losses[term], list(model.discriminator.features.parameters()), retain_graph=True
        )
        assert all(g.abs().max() > 0 for g in trunk), f"Q's {term} does not teach the features it stands on"


def test_the_generator_is_paid_through_a_q_that_its_turn_does_not_move():
    _, second, _ = played(model := infogan(), images())
    for term in ("categorical", "continuous"):
        gradients = torch.autograd.grad(second.losses[term], list(model.generator.parameters()), retain_graph=True)
        assert all(g.abs().max() > 0 for g in gradients)
    assert ids(model.recognition).isdisjoint({id(p) for p in model.players()["generator"].parameters()})


def test_information_is_told_from_generated_images_alone():
    model, seen = infogan(), []
    model.recognition.register_forward_hook(lambda m, inputs, out: seen.append(len(inputs[0])))
    calls = []
    model.generator.register_forward_hook(lambda m, inputs, out: calls.append("generator"))
    model.discriminator.features.register_forward_hook(lambda m, inputs, out: calls.append("features"))
    first, _, _ = played(model, images())
    assert seen == [8, 8]  # the generated images of each turn, never the real ones
    assert calls == ["generator", *["features"] * 3]  # made once for both, and one trunk for both verdicts
    with pytest.raises(RuntimeError, match="unused"):
        torch.autograd.grad(first.total, list(model.generator.parameters()))


def test_the_losses_are_the_game_and_what_q_does_not_know():
    x = images()
    model = infogan(information=0.5, continuous_information=0.25)
    first, second, code = played(model, x)
    made = model.generate(*code)
    verdict, told = model.judge(made)
    categorical, continuous = model.surprise(told, *code[1:])
    expected = {"real": real(model.discriminator(x)), "fake": fake(verdict)}
    torch.testing.assert_close(dict(first.losses), expected | {"categorical": categorical, "continuous": continuous})
    expected = {"adversarial": real(verdict), "categorical": 0.5 * categorical, "continuous": 0.25 * continuous}
    torch.testing.assert_close(dict(second.losses), expected)


def test_without_pay_q_learns_all_the_same_and_the_generator_does_not():
    model = infogan(information=0.0, continuous_information=0.0)
    first, second, _ = played(model, images())
    taught = torch.autograd.grad(first.losses["categorical"], list(model.recognition.parameters()), retain_graph=True)
    assert all(g.abs().max() > 0 for g in taught)
    paid = torch.autograd.grad(
        second.losses["categorical"] + second.losses["continuous"], list(model.generator.parameters())
    )
    assert not any(g.any() for g in paid)


def test_information_in_nats_by_hand():
    model = infogan(categorical=2, categories=4, continuous=2)
    chosen = torch.tensor([[0, 1], [2, 3]])
    numbers = torch.tensor([[0.5, -1.0], [0.0, 0.0]])
    nothing = torch.zeros(2, 10)
    lost, surprise = model.surprise(nothing, chosen, numbers)
    assert lost.item() == pytest.approx(0.0, abs=1e-6)  # Q knows nothing: L_I is 0
    assert surprise.item() == pytest.approx(0.5 * (0.25 + 1.0) / 2)
    sure = torch.cat([1e3 * F.one_hot(chosen, 4).flatten(1), numbers], dim=1)
    lost, surprise = model.surprise(sure, chosen, numbers)
    assert lost.item() == pytest.approx(-2 * math.log(4))  # all that two categories have to tell
    assert surprise.item() == 0
    halves = torch.zeros(2, 10)
    halves[:, :8] = (torch.tensor([3.0, 1.0, 1.0, 1.0]).log()).repeat(2)
    first = model.surprise(halves, torch.zeros(2, 2, dtype=torch.int64), numbers)[0]
    assert first.item() == pytest.approx(2 * (math.log(2) - math.log(4)))  # the right one has 3 of 6 each time


def test_the_bound_is_below_the_information_of_a_known_channel():
    """A category that arrives unchanged with probability 0.7: I = H(c) - H(c | x), reached by the true Q."""
    model = infogan(categories=4, continuous=0)
    keep = torch.full((4, 4), 0.1) + 0.6 * torch.eye(4)  # p(seen | c), and p(c | seen)
    chosen = torch.arange(4).repeat(10_000)[:, None]
    seen = torch.multinomial(keep, 10_000, replacement=True).T.flatten()
    information = math.log(4) + (keep[0] * keep[0].log()).sum().item()
    best = -model.surprise(keep.log()[seen], chosen, torch.zeros(len(seen), 0))[0].item()
    wrong = -model.surprise((2 * keep.log())[seen], chosen, torch.zeros(len(seen), 0))[0].item()
    assert best == pytest.approx(information, abs=0.02)
    assert wrong < best - 0.02


def test_codes_are_drawn_from_their_prior():
    z, chosen, numbers = infogan(categorical=2).draw(20_000)
    assert (z.shape, chosen.shape, numbers.shape) == ((20_000, 5), (20_000, 2), (20_000, 2))
    for part in (z, numbers):
        assert part.abs().max() <= 1
        assert part.var().item() == pytest.approx(1 / 3, abs=0.01)
    assert chosen.flatten().bincount(minlength=4).float().div(40_000).sub(0.25).abs().max() < 0.02
    z, chosen, numbers = infogan().draw(300, temperature=0.0)
    assert not z.any()
    assert not numbers.any()
    assert (chosen[:, 0].bincount(minlength=4) > 40).all()  # the category is part of no spread


def test_a_code_is_noise_then_categories_then_numbers():
    model, seen = infogan(categorical=2).eval(), []
    model.generator.register_forward_hook(lambda m, inputs, out: seen.append(inputs[0]))
    assert code_size(model) == 5 + 2 * 4 + 2
    code = torch.zeros(1, 15)
    code[0, :5] = 1.0
    code[0, [5 + 3, 9 + 1]] = torch.tensor([0.1, 2.0])  # the largest of each part counts
    code[0, 13:] = torch.tensor([-1.0, 9.0])
    model.decode(code)
    share = math.erf(1 / math.sqrt(2))  # of N(0, 1) within a deviation
    expected = [*[share] * 5, 0, 0, 0, 1, 0, 1, 0, 0, -share, 1]
    torch.testing.assert_close(seen[0], torch.tensor([expected]))


def test_what_q_tells_is_a_code_that_decodes_to_it():
    model, x, seen = infogan(categorical=2).eval(), images(3), []
    with torch.no_grad():
        model.recognition[-1].weight.mul_(20)
    code = model.encode(x)
    logits, means = model.split(model.judge(x)[1])
    assert code.shape == (3, 15)
    assert not code[:, :5].any()
    assert torch.equal(code[:, 5:13], F.one_hot(logits.argmax(2), 4).flatten(1).float())
    model.generator.register_forward_hook(lambda m, inputs, out: seen.append(inputs[0]))
    model.decode(code)
    torch.testing.assert_close(seen[0][:, 5:13], code[:, 5:13])
    torch.testing.assert_close(seen[0][:, 13:], means.clamp(-0.999, 0.999), atol=1e-5, rtol=1e-4)
    assert not isinstance(model, Autoencodes)  # z is lost: that is no reconstruction


def test_numbers_are_traversed_at_equally_probable_places():
    model, seen = infogan().eval(), []
    model.generator.register_forward_hook(lambda m, inputs, out: seen.append(inputs[0]))
    model.decode(manifold(code_size(model), 4, dims=(9, 10)))
    (given,) = seen
    torch.testing.assert_close(given[:4, 9], torch.tensor([-0.75, -0.25, 0.25, 0.75]))
    torch.testing.assert_close(given[::4, 10], torch.tensor([0.75, 0.25, -0.25, -0.75]))
    assert (given[:, 5:9].sum(1) == 1).all()  # of one category
    assert not given[:, :5].any()


def test_samples_are_decoded_codes():
    model = infogan().eval()
    torch.manual_seed(3)
    drawn = model.sample(4, torch.tensor([0, 0, 0, 0]), temperature=0.5)
    torch.manual_seed(3)
    torch.testing.assert_close(drawn, model.generate(*model.draw(4, 0.5)))


# --- what the experiment measures


def shown(labels, spec):
    """Pictures whose brightness is their class."""
    pixels = (60 * labels).to(torch.uint8)[:, None, None, None].expand(-1, *spec.shape)
    return Images(pixels.contiguous(), spec, labels)


def test_clusters_are_named_on_training_images_and_judged_on_others(monkeypatch):
    spec = Spec(1, 16, 14, ("a", "b", "c", "d"))
    model, labels = infogan(spec).eval(), torch.arange(40) % 4

    def encode(image, turned=3):  # a category for each brightness, in another order
        category = (torch.round((image[:, 0, 0, 0] + 1) * 127.5 / 60).long() + turned) % 4
        return F.pad(F.one_hot(category, 4).float(), (5, 2))

    monkeypatch.setattr(model, "encode", encode)
    train, test = shown(labels, spec), shown(labels[:30], spec)
    assert measure(model, [train], [test], 0)["clusters"]["accuracy"] == 1
    wrong = replace(test, labels=(test.labels + 1) % 4)  # the best naming of test images would hide this
    assert measure(model, [train], [wrong], 0)["clusters"]["accuracy"] == 0


def test_information_and_what_numbers_move_are_measured_on_generated_images(monkeypatch):
    """A generator that draws its code: the category as brightness, the first number as slant."""
    spec = Spec(1, 28, 28, ("a", "b", "c", "d"))
    model = infogan(spec).eval()
    y, x = torch.meshgrid(torch.arange(28.0) - 13.5, torch.arange(28.0) - 13.5, indexing="ij")

    def generate(z, chosen, numbers):
        stroke = (-(x + numbers[:, :1, None] * y).square() / 4).exp() * (y.abs() < 8)
        return 2 * (stroke * (0.4 + 0.2 * chosen[:, :, None]))[:, None] - 1

    def judge(image):
        category = ((image.amax((1, 2, 3)) + 1) / 2 * 5 - 2).round().clamp(0, 3).long()
        return None, 1e3 * F.pad(F.one_hot(category, 4).float(), (0, 2))

    monkeypatch.setattr(model, "generate", generate)
    monkeypatch.setattr(model, "judge", judge)
    found = measure(model, [shown(torch.arange(8) % 4, spec)], [shown(torch.arange(8) % 4, spec)], 0)
    assert found["information"]["nats"] == pytest.approx(math.log(4), abs=1e-4)
    assert found["numbers"]["slant"] > 0.95
    assert found["numbers"]["width"] < 0.5


@pytest.mark.parametrize("lean", [0.0, 0.3, -0.4])
def test_slant_and_width_of_a_stroke(lean):
    y, x = torch.meshgrid(torch.arange(61.0) - 30, torch.arange(61.0) - 28, indexing="ij")
    stroke = (-(x + lean * y).square() / (2 * 2.0**2)).exp() * (y.abs() < 20)
    slant, width = slant_and_width(2 * stroke[None, None] - 1)
    assert slant.item() == pytest.approx(lean, abs=0.01)
    assert width.item() == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize("shape", [(3, 7, 13), (1, 1, 1), (1, 2, 1)])
def test_any_image_size_and_any_code(shape):
    for changes in ({}, {"continuous": 0}, {"categorical": 3, "categories": 2}):
        model = infogan(Spec(*shape), **changes)
        assert model.sample(4).shape == (4, *shape)
        for turn in model.turns(iter([Batch(images(4, model.spec))])):
            assert turn.total.isfinite()


@pytest.mark.parametrize(
    "changes", [{"latent": 0}, {"categories": 1}, {"categorical": 0}, {"continuous": -1}, {"information": -1.0}]
)
def test_what_makes_no_sense_is_refused(changes):
    with pytest.raises(ConfigError, match=next(iter(changes)).removesuffix("s")):
        InfoGAN(**changes)
