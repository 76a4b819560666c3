"""What makes DiscoGAN: features matched in their means, squares of what comes back, a curriculum, one turn in three."""

import itertools

import pytest
import torch
from torch import nn

from isthmus.core import Batch, Spec
from isthmus.errors import ConfigError, DataError
from isthmus.losses.adversarial import fake, real
from isthmus.models.translation.discogan import DiscoGAN, hidden_layers

SPEC = Spec(1, 16, 12)
NETWORKS = pytest.mark.parametrize("network", ["conv", "mlp"])


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def discogan(a=SPEC, b=SPEC, **changes):
    """In evaluation, where batch norms do not change between two looks."""
    return DiscoGAN(**{"features": 2, "depth": 2, "hidden": 5} | changes).build(a, b).eval()


def images(a=SPEC, b=SPEC, n=4):
    return tuple(2 * torch.rand(n, *spec.shape) - 1 for spec in (a, b))


def turns(model, *pairs):
    return model.turns(itertools.cycle([tuple(map(Batch, pair)) for pair in pairs]))


def test_one_turn_in_three_is_the_discriminators_and_each_has_new_images():
    model, seen = discogan(), []
    pairs = [images() for _ in range(3)]
    model.generators["b"].register_forward_hook(lambda _, inputs, out: seen.append(inputs[0]))
    assert [turn.player for turn in turns(model, *pairs)] == ["discriminator", "generator", "generator"]
    assert torch.equal(seen[0], pairs[0][0])
    for pair in pairs[1:]:
        assert any(torch.equal(x, pair[0]) for x in seen[1:])
    assert [turn.player for turn in turns(discogan(interval=2), *pairs)] == ["discriminator", "generator"]


@NETWORKS
def test_losses_by_hand(network):
    model, (a, b) = discogan(network=network, curriculum=0, share=0.3, adversarial=0.2, matching=0.7), images()
    game = turns(model, (a, b))
    made, truth = {"a": model.translate(b, "a"), "b": model.translate(a, "b")}, {"a": a, "b": b}
    discriminator, generator = next(game), next(game)
    for to, judge in model.discriminators.items():
        torch.testing.assert_close(discriminator.losses[f"real {to}"], 0.5 * real(judge(truth[to])))
        torch.testing.assert_close(discriminator.losses[f"fake {to}"], 0.5 * fake(judge(made[to])))
        torch.testing.assert_close(generator.losses[f"adversarial {to}"], 0.7 * 0.2 * real(judge(made[to])))
        pairs = zip(hidden_layers(judge, made[to])[1], hidden_layers(judge, truth[to])[1], strict=True)
        distance = sum(((x.mean(0) - y.mean(0)) ** 2).mean() for x, y in pairs)
        torch.testing.assert_close(generator.losses[f"matching {to}"], 0.7 * 0.7 * distance)
    for here, there in ("ab", "ba"):
        back = ((model.translate(made[there], here) - truth[here]) ** 2).mean()
        torch.testing.assert_close(generator.losses[f"reconstruction {here}"], 0.3 * back)
    assert len(generator.losses) == 6


@NETWORKS
def test_every_hidden_layer_of_a_discriminator_is_matched(network):
    model, (a, _) = discogan(*[Spec(1, 40, 30)] * 2, network=network), images(Spec(1, 40, 30))
    judge = model.discriminators["a"]
    logits, found = hidden_layers(judge, a)
    assert torch.equal(logits, judge(a))
    assert [x.shape[1] for x in found] == ([2, 4, 8] if network == "conv" else [5] * 4)


def test_means_of_features_are_over_the_batch_alone():
    """Batches with the same images in another order are alike, and those with the same mean of each image are not."""
    model, (a, b) = discogan(curriculum=0), images()
    model.generators["b"] = nn.Identity()
    game = turns(model, (a, b), (b.flip(0), b), (b.flip(2), b))
    next(game)
    same, flipped = next(game).losses["matching b"], next(game).losses["matching b"]
    assert same < 1e-10
    assert flipped > 1e-8


def test_the_reconstruction_counts_later():
    model, (a, b) = discogan(curriculum=10, first_share=0.01, share=0.5), images()
    back = ((model.translate(model.translate(a, "b"), "a") - a) ** 2).mean().item()
    for rounds, shares in ((0, (0.01, 0.01)), (3, (0.5, 0.5)), (2, (0.01, 0.01)), (100, (0.5, 0.5))):
        model.rounds = rounds
        _, *generator = turns(model, (a, b))
        assert [t.losses["reconstruction a"].item() / back for t in generator] == pytest.approx(shares)


def test_who_learns_from_what():
    model, (a, b) = discogan(), images()
    discriminator, generator, _ = turns(model, (a, b))
    with pytest.raises(RuntimeError, match="unused"):
        torch.autograd.grad(discriminator.total, [*model.generators.parameters()])
    for term, taught in {"adversarial b": "b", "matching b": "b", "matching a": "a", "reconstruction a": "ab"}.items():
        for to, net in model.generators.items():
            loss, parameters = generator.losses[term], [*net.parameters()]
            found = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True)
            assert all((g is not None) == (to in taught) for g in found), (term, to)


def test_one_side_is_judged_there_and_comes_back():
    model, pair = discogan(sides="one"), images()
    assert [*model.discriminators] == ["b"]
    discriminator, generator, _ = turns(model, pair)
    assert discriminator.losses.keys() == {"real b", "fake b"}
    assert generator.losses.keys() == {"adversarial b", "matching b", "reconstruction a"}
    assert model.translate(pair[1], "a").shape == pair[0].shape


def test_terms_without_weight_are_left_out():
    _, generator, _ = turns(discogan(first_share=0.0, share=0.0, matching=0.0), images())
    assert generator.losses.keys() == {"adversarial a", "adversarial b"}


def test_generators_lay_nothing_beside_what_comes_back():
    """All that a translation knows of the image has passed the smallest maps."""
    model, (a, _) = discogan(Spec(1, 16, 16), Spec(1, 16, 16), depth=4), images(Spec(1, 16, 16))
    net = model.generators["b"]
    net.falls[-1].register_forward_hook(lambda module, inputs, out: torch.zeros_like(out))
    made = net(a)
    torch.testing.assert_close(made, made[:1].expand_as(made))


def test_players_are_those_of_the_authors_code():
    model = discogan()
    for name, nets in (("generator", model.generators), ("discriminator", model.discriminators)):
        player = model.players()[name]
        assert {id(p) for p in player.parameters()} == {id(p) for p in nets.parameters()}
        assert (player.optimizer, player.lr) == ("Adam", 2e-4)
        assert player.settings == {"betas": (0.5, 0.999), "weight_decay": 1e-5}


@NETWORKS
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 13), (1, 2, 1), (4, 33, 20)])
def test_any_image_size(network, shape):
    a, b = Spec(*shape), Spec(1, *shape[1:])
    model, pair = discogan(a, b, network=network, depth=4).train(), images(a, b)
    assert all(turn.total.isfinite() for turn in turns(model, pair))
    assert model.translate(pair[0], "b").shape == pair[1].shape
    assert model.translate(pair[1], "a").shape == pair[0].shape


def test_domains_of_other_sizes_are_for_the_fully_connected():
    a, b = Spec(1, 8, 6), Spec(3, 5, 7)
    with pytest.raises(DataError, match="--size"):
        discogan(a, b)
    model, pair = discogan(a, b, network="mlp"), images(a, b)
    assert model.translate(pair[0], "b").shape == pair[1].shape


@pytest.mark.parametrize(
    ("options", "word"), [({"share": 1.5}, "share"), ({"interval": 1}, "interval"), ({"matching": -1.0}, "matching")]
)
def test_what_makes_no_sense_is_refused(options, word):
    with pytest.raises(ConfigError, match=word):
        DiscoGAN(**options)
