"""What makes Improved GAN that model: a classifier with a class for what is generated, and each of its techniques."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from isthmus.core import Batch, Spec
from isthmus.data.images import Images
from isthmus.errors import ConfigError, DataError
from isthmus.losses.adversarial import fake, real, saturating
from isthmus.models.gans.improved_gan import ImprovedGAN
from isthmus.nn.noise import Noise
from isthmus.nn.steady import MinibatchDiscrimination, VirtualBatchNorm

SPEC = Spec(1, 8, 7, ("a", "b", "c"))
SMALL = {"latent": 4, "hidden": 16, "features": 4, "labelled": 2}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def data(n=60, spec=SPEC):
    chance = torch.Generator().manual_seed(7)
    pixels = torch.randint(256, (n, *spec.shape), dtype=torch.uint8, generator=chance)
    return Images(pixels, spec, torch.arange(n) % len(spec.classes) if spec.classes else None)


def improved(spec=SPEC, **changes):
    """A model that has chosen its images, and whose networks draw no noise."""
    model = ImprovedGAN(**SMALL | changes).build(spec)
    model.prepare(data(spec=spec))
    for layer in model.modules():
        if isinstance(layer, Noise):
            layer.deviation = 0.0
    return model.train()


def images(n=8, spec=SPEC):
    return 2 * torch.rand(n, *spec.shape) - 1


def played(model, x, seed=4):
    torch.manual_seed(seed)
    turns = list(model.turns(iter([Batch(x)])))
    torch.manual_seed(seed)
    return *turns, model.sample(len(x))


def kinds(net, *wanted):
    return [m for m in net.modules() if isinstance(m, wanted)]


# --- the classifier


def test_the_logit_of_what_is_generated_is_0():
    """Softmax over K + 1 logits, the last of them 0, by hand: D is the share of the first K."""
    model, x = improved(unlabelled=1.0), images()
    first, _, made = played(model, x)
    for term, image, wanted in (("real", x, lambda p: 1 - p[:, -1]), ("fake", made, lambda p: p[:, -1])):
        logits = model.discriminator(image)
        p = torch.cat([logits, torch.zeros(len(x), 1)], dim=1).softmax(1)
        torch.testing.assert_close(first.losses[term], -wanted(p).log().mean())


def test_few_images_teach_their_classes_and_the_others_are_never_asked_for_theirs():
    model = improved()
    first, _, _ = played(model, images())  # a batch without labels
    torch.manual_seed(4)
    model.sample(8)
    chosen = torch.randint(len(model.known), (8,))
    expected = F.cross_entropy(model.discriminator(model.known.image[chosen]), model.known.label[chosen])
    torch.testing.assert_close(first.losses["class"], expected)
    assert first.losses.keys() == {"class", "real", "fake"}


def test_what_others_teach_weighs_as_it_is_told():
    model, x = improved(unlabelled=0.5), images()
    whole = played(model, x)[0].losses
    other = improved(unlabelled=0.25)
    other.load_state_dict(model.state_dict())
    half = played(other, x)[0].losses
    torch.testing.assert_close(half["class"], whole["class"])
    torch.testing.assert_close(half["real"] + half["fake"], (whole["real"] + whole["fake"]) / 2)


def test_without_weight_the_others_are_not_looked_at():
    model, seen = improved(unlabelled=0.0), []
    model.discriminator.features.register_forward_hook(lambda m, inputs, out: seen.append(inputs[0]))
    first = next(model.turns(iter([Batch(images(8) + 100)])))
    assert first.losses.keys() == {"class"}
    assert len(seen) == 1
    assert seen[0].max() < 50


def test_all_that_the_discriminator_learns_from_passes_it_at_once():
    model, passed = improved(), []
    model.discriminator.features.register_forward_hook(lambda m, inputs, out: passed.append(len(inputs[0])))
    next(model.turns(iter([Batch(images(8))])))
    assert passed == [3 * 8]


def test_classes_are_told_by_the_first_logits():
    model, x = improved().eval(), images()
    torch.testing.assert_close(model.classify(x).exp(), model.discriminator(x).softmax(1))
    assert model.classify(x).shape == (8, 3)


# --- which images' classes are known


def test_equally_many_of_each_class_are_chosen_by_the_seed_alone():
    source = data()

    def chosen(**changes):
        model = ImprovedGAN(**SMALL | {"labelled": 4} | changes).build(SPEC)
        model.prepare(source)
        return model.known

    known = chosen()
    assert known.label.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    everything = source.batch(torch.arange(60))
    for image, label in zip(known.image, known.label, strict=True):
        places = [i for i in range(60) if torch.equal(everything.image[i], image)]
        assert everything.label[places[0]] == label
    assert len(known.image.flatten(1).unique(dim=0)) == 12
    torch.manual_seed(99)
    assert torch.equal(chosen().image, known.image)
    assert not torch.equal(chosen(labelled_seed=1).image, known.image)


def test_too_few_images_of_a_class_are_refused_by_name():
    model = ImprovedGAN(**SMALL | {"labelled": 21}).build(SPEC)
    with pytest.raises(DataError, match="class a has 20 images, fewer than --labelled 21"):
        model.prepare(data())


def test_data_without_classes_are_learned_from_images_alone():
    plain = Spec(1, 8, 7)
    with pytest.raises(DataError, match="--labelled 0"):
        ImprovedGAN(**SMALL).build(plain)
    model = improved(plain, labelled=0)
    first, _, made = played(model, x := images())
    assert first.losses.keys() == {"real", "fake"}
    assert model.discriminator(x).shape == (8, 1)
    torch.testing.assert_close(first.losses["real"], 0.5 * real(model.discriminator(x)))
    torch.testing.assert_close(first.losses["fake"], 0.5 * fake(model.discriminator(made)))


def test_a_model_that_has_learned_is_not_initialised_again():
    model = ImprovedGAN(**SMALL).build(SPEC)
    fresh = [p.detach().clone() for p in model.discriminator.parameters()]
    model.prepare(data())
    first = [p.detach().clone() for p in model.discriminator.parameters()]
    assert not all(torch.equal(a, b) for a, b in zip(fresh, first, strict=True))
    other = ImprovedGAN(**SMALL).build(SPEC)
    other.load_state_dict(model.state_dict())
    other.prepare(data())
    assert all(torch.equal(a, b) for a, b in zip(first, other.discriminator.parameters(), strict=True))
    assert other.known.image.shape == (6, 1, 8, 7)
    assert not any("known" in name for name in model.state_dict())


# --- feature matching and its neighbours


def test_the_generator_matches_the_mean_features_and_nothing_else():
    model, x = improved(), images()
    _, second, made = played(model, x)
    gap = model.discriminator.features(made).mean(0) - model.discriminator.features(x).mean(0)
    assert second.losses.keys() == {"feature matching"}
    torch.testing.assert_close(second.losses["feature matching"], gap.square().mean())
    head = list(model.discriminator.head.parameters())
    assert torch.autograd.grad(second.total, head, allow_unused=True) == (None,) * len(head)


def test_features_are_those_of_the_discriminator_after_its_turn():
    model, x = improved(), images()
    turns = model.turns(iter([Batch(x)]))
    next(turns)
    with torch.no_grad():
        for name, p in model.discriminator.features.named_parameters():
            if not name.endswith("original1"):  # lengths and biases; a direction of length 0 would be none
                p.zero_()
    assert next(turns).losses["feature matching"] == 0


def test_real_features_are_no_part_of_the_generators_graph():
    model, seen = improved(), []
    model.discriminator.features.register_forward_hook(lambda m, inputs, out: seen.append(out.requires_grad))
    turns = model.turns(iter([Batch(images())]))
    next(turns)
    del seen[:]
    next(turns)
    assert seen == [False, True]


@pytest.mark.parametrize(("name", "cost"), [("adversarial", real), ("saturating", saturating)])
def test_other_generators_raise_the_share_of_the_classes(name, cost):
    model = improved(generator_loss=name)
    _, second, made = played(model, images())
    expected = cost(model.discriminator(made).logsumexp(1))
    torch.testing.assert_close(dict(second.losses), {"adversarial": expected})


def test_images_are_made_once_for_both_and_the_first_turn_does_not_reach_the_generator():
    model, calls = improved(), []
    model.generator.register_forward_hook(lambda m, inputs, out: calls.append(1))
    turns = list(model.turns(iter([Batch(images())])))
    assert [turn.player for turn in turns] == ["discriminator", "generator"]
    assert calls == [1]
    with pytest.raises(RuntimeError, match="unused"):
        torch.autograd.grad(turns[0].total, list(model.generator.parameters()))


# --- the other techniques


def test_only_the_label_of_real_images_is_smoothed():
    model, x = improved(), images()
    sharp = played(model, x)[0].losses
    other = improved(real_label=0.9)
    other.load_state_dict(model.state_dict())
    smooth = played(other, x)[0].losses
    logits = model.discriminator(x).logsumexp(1)
    target = torch.full_like(logits, 0.9)
    torch.testing.assert_close(smooth["real"], 0.5 * F.binary_cross_entropy_with_logits(logits, target))
    torch.testing.assert_close(smooth["fake"], sharp["fake"])
    torch.testing.assert_close(smooth["class"], sharp["class"])


def test_the_discriminator_sees_the_batch_where_it_is_asked_to():
    x = images()
    for minibatch in (False, True):
        model = improved(minibatch=minibatch)
        together, alone = model.discriminator(x), torch.cat([model.discriminator(image[None]) for image in x])
        assert torch.allclose(together, alone, atol=1e-5) != minibatch
        assert len(kinds(model, MinibatchDiscrimination)) == minibatch
    first, _, made = played(model, x)
    each = [model.discriminator(image).logsumexp(1) for image in (x, made)]  # each kind of images in its own batch
    torch.testing.assert_close(first.losses["real"], 0.5 * real(each[0]))
    torch.testing.assert_close(first.losses["fake"], 0.5 * fake(each[1]))


def test_each_player_is_held_to_its_own_past():
    model, x = improved(history=3.0), images()
    first, second, _ = played(model, x)
    assert (first.losses["history"], second.losses["history"]) == (0, 0)  # there is no other past yet
    with torch.no_grad():
        for p in model.generator.parameters():
            p.add_(1.0)
    first, second, _ = played(model, x)
    count = sum(p.numel() for p in model.generator.parameters())
    assert first.losses["history"].item() == pytest.approx(0, abs=1e-6)
    assert second.losses["history"].item() == pytest.approx(3 * count / 4, rel=1e-4)  # half-way: (1/2)^2 each
    assert "history" not in played(improved(), x)[0].losses


def test_the_generator_is_normalised_by_a_batch_that_stays():
    for network in ("mlp", "conv"):
        model = improved(norm="virtual", network=network)
        assert len(kinds(model.generator, VirtualBatchNorm)) == len(
            kinds(improved(network=network).generator, nn.BatchNorm1d, nn.BatchNorm2d)
        )
        assert not kinds(model.generator, nn.BatchNorm1d, nn.BatchNorm2d)
        z = torch.randn(5, 4)
        torch.testing.assert_close(model.decode(z)[:1], model.decode(z[:1]), atol=1e-5, rtol=1e-4)


# --- networks


def test_the_networks_for_digits_are_those_of_the_authors():
    model = ImprovedGAN().build(Spec(1, 28, 28, tuple("0123456789")))
    linear = [(m.in_features, m.out_features) for m in kinds(model.discriminator, nn.Linear)]
    assert linear == [(784, 1000), (1000, 500), (500, 250), (250, 250), (250, 250), (250, 10)]
    assert all(is_parametrized(m, "weight") for m in kinds(model.discriminator, nn.Linear))
    assert [m.deviation for m in kinds(model.discriminator, Noise)] == [0.6, *[0.5] * 5]  # the pixels span 2, not 1
    assert [(m.in_features, m.out_features) for m in kinds(model.generator, nn.Linear)] == [
        (100, 500),
        (500, 500),
        (500, 784),
    ]
    assert len(kinds(model.generator, nn.BatchNorm1d)) == len(kinds(model.generator, nn.Softplus)) == 2
    assert not kinds(model.discriminator, nn.BatchNorm1d)


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_weights_keep_the_lengths_of_the_start_except_in_the_last_layer(network):
    net = ImprovedGAN(network=network).build(Spec(3, 32, 32, tuple("0123456789"))).discriminator
    lengths = [p for name, p in net.named_parameters() if name.endswith("weight.original0")]
    assert [p.requires_grad for p in lengths] == [False] * (len(lengths) - 1) + [True]


def test_the_networks_for_photographs_are_those_of_the_authors():
    model = ImprovedGAN(network="conv").build(Spec(3, 32, 32, tuple("0123456789")))
    convs = kinds(model.discriminator, nn.Conv2d)
    assert [c.out_channels for c in convs] == [96] * 3 + [192] * 6
    assert [c.kernel_size[0] for c in convs] == [3] * 7 + [1] * 2
    assert [c.stride[0] for c in convs] == [1, 1, 2, 1, 1, 2, 1, 1, 1]
    assert [m.p for m in kinds(model.discriminator, nn.Dropout)] == [0.2, 0.5, 0.5]
    assert all(is_parametrized(m, "weight") for m in kinds(model.discriminator, nn.Conv2d, nn.Linear))


def test_the_rate_falls_in_the_last_third():
    for player in improved().players().values():
        assert (player.optimizer, player.lr, player.settings) == ("Adam", 3e-3, {"betas": (0.5, 0.999)})
        assert [player.schedule(done) for done in (0.0, 0.5, 2 / 3, 1.0)] == pytest.approx([1, 1, 1, 0])
        assert player.schedule(5 / 6) == pytest.approx(0.5)


def test_noise_is_uniform_in_the_unit_cube_and_codes_are_gaussian():
    model, seen = improved().eval(), []
    model.generator.register_forward_hook(lambda m, inputs, out: seen.append(inputs[0]))
    model.sample(5000)
    model.decode(torch.tensor([[0.0, 1.0, -1.0, 9.0]]))
    share = math.erf(1 / math.sqrt(2)) / 2
    assert 0 <= seen[0].min() < 0.01
    assert 0.99 < seen[0].max() <= 1
    assert seen[0].var().item() == pytest.approx(1 / 12, abs=0.005)
    torch.testing.assert_close(seen[1], torch.tensor([[0.5, 0.5 + share, 0.5 - share, 1.0]]))


@pytest.mark.parametrize("network", ["mlp", "conv"])
@pytest.mark.parametrize("shape", [(3, 7, 13), (1, 1, 1), (1, 2, 1)])
def test_any_image_size_with_all_techniques(network, shape):
    spec = Spec(*shape, classes=("a", "b"))
    all_of_them = {"minibatch": True, "history": 0.1, "norm": "virtual", "real_label": 0.9}
    model = improved(spec, network=network, **all_of_them)
    assert model.sample(4).shape == (4, *shape)
    assert all(turn.total.isfinite() for turn in model.turns(iter([Batch(images(4, spec))])))


@pytest.mark.parametrize(
    "changes",
    [
        {"latent": 0},
        {"labelled": -1},
        {"unlabelled": -0.1},
        {"history": -1.0},
        {"real_label": 1.1},
        {"real_label": 0.5},
        {"labelled": 0, "unlabelled": 0.0},
    ],
)
def test_what_makes_no_sense_is_refused(changes):
    with pytest.raises(ConfigError, match=next(iter(changes))):
        ImprovedGAN(**changes)
