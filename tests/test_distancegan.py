"""What makes DistanceGAN: distances that are standardised and kept, one side, two steps of the discriminator."""

import pytest
import torch
from torch import nn

from isthmus.core import Batch, Spec
from isthmus.data.images import Images
from isthmus.errors import ConfigError, DataError
from isthmus.models.translation.distancegan import DistanceGAN, between, within

SPEC = Spec(1, 8, 6)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def distancegan(a=SPEC, b=SPEC, **changes):
    return DistanceGAN(**{"features": 2, "blocks": 1, "patch": 1} | changes).build(a, b).train()


def images(a=SPEC, b=SPEC, n=4):
    return tuple(2 * torch.rand(n, *spec.shape) - 1 for spec in (a, b))


def data(spec=SPEC, n=9, seed=0):
    pixels = torch.randint(256, (n, *spec.shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    return Images(pixels, spec)


def turns(model, a, b):
    return list(model.turns(iter([(Batch(a), Batch(b))])))


def pairs(x):
    """Mean absolute differences, one pair after the other."""
    return [(x[i] - x[j]).abs().mean() for i in range(len(x)) for j in range(i + 1, len(x))]


def halves(x):
    rows = x.shape[2] // 2
    return [(image[:, :rows] - image[:, image.shape[1] - rows :]).abs().mean() for image in x]


def test_distances_by_hand():
    x = torch.randn(5, 3, 7, 4)
    torch.testing.assert_close(between(x), torch.stack(pairs(x)))
    torch.testing.assert_close(within(x), torch.stack(halves(x)))
    assert len(between(x[:1])) == 0


def test_statistics_are_of_training_images_in_the_models_range():
    model, domains = distancegan(self_distance=1.0), (data(seed=1), data(seed=2))
    model.prepare(*domains)
    for name, domain in zip("ab", domains, strict=True):
        x = domain.batch(torch.arange(9)).image
        for measured, distance in ((model.between, pairs), (model.within, halves)):
            values = torch.stack(distance(x))
            torch.testing.assert_close(measured[name].mean, values.mean())
            torch.testing.assert_close(measured[name].deviation, values.std(correction=0))


def test_statistics_are_of_so_many_images_and_the_same_each_time():
    model, other = distancegan(items=4), distancegan(items=4)
    model.prepare(data(n=40), data(n=40))
    torch.manual_seed(99)
    other.prepare(data(n=40), data(n=40))
    assert torch.equal(model.between["a"].mean, other.between["a"].mean)
    whole = distancegan(items=40)
    whole.prepare(data(n=40), data(n=40))
    assert not torch.equal(model.between["a"].mean, whole.between["a"].mean)


def test_the_generators_loss_by_hand():
    model, (a, b) = distancegan(pairwise=0.3, self_distance=0.7, sides="both", cycle=5.0), images()
    model.prepare(data(seed=1), data(seed=2))
    *_, generator = turns(model, a, b)
    real, made = {"a": a, "b": b}, {"a": model.translate(b, "a"), "b": model.translate(a, "b")}
    wanted = {}
    for here, there in ("ab", "ba"):
        wanted[f"adversarial {there}"] = ((model.discriminators[there](made[there]) - 1) ** 2).mean()
        wanted[f"cycle {here}"] = 5 * (model.translate(made[there], here) - real[here]).abs().mean()
        for term, weight, measured, distance in (
            ("distance", 0.3, model.between, pairs),
            ("self distance", 0.7, model.within, halves),
        ):
            terms = [
                ((x - measured[here].mean) / measured[here].deviation)
                - ((y - measured[there].mean) / measured[there].deviation)
                for x, y in zip(distance(real[here]), distance(made[there]), strict=True)
            ]
            wanted[f"{term} {here}"] = weight * torch.stack(terms).abs().mean()
    torch.testing.assert_close(generator.losses, wanted)


def test_the_discriminators_step_for_real_images_comes_before_that_for_translations():
    model, (a, b) = distancegan(), images()
    played = turns(model, a, b)
    assert [turn.player for turn in played] == ["discriminator", "discriminator", "generator"]
    judge = model.discriminators["b"]
    torch.testing.assert_close(played[0].losses, {"real b": ((judge(b) - 1) ** 2).mean()})
    torch.testing.assert_close(played[1].losses, {"fake b": (judge(model.translate(a, "b")) ** 2).mean()})
    with pytest.raises(RuntimeError, match="unused"):
        torch.autograd.grad(played[1].total, [*model.generators.parameters()])


def test_one_side_has_no_way_back():
    model, calls = distancegan(), []
    assert model.targets == ("b",)
    assert [*model.generators] == [*model.discriminators] == ["b"]
    model.generators["b"].register_forward_hook(lambda *_: calls.append(1))
    *_, generator = turns(model, *images())
    assert generator.losses.keys() == {"adversarial b", "distance a"}
    assert len(calls) == 1, "one pass serves all three turns"
    assert distancegan(sides="both").targets == ("a", "b")


def test_distances_of_each_side_teach_its_own_generator():
    model = distancegan(sides="both", self_distance=1.0)
    model.prepare(data(seed=1), data(seed=2))
    *_, generator = turns(model, *images())
    for term, taught in {"distance a": "b", "distance b": "a", "self distance a": "b", "self distance b": "a"}.items():
        for to, net in model.generators.items():
            loss, parameters = generator.losses[term], [*net.parameters()]
            found = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True)
            assert all((g is not None) == (to == taught) for g in found), (term, to)


def test_a_map_that_keeps_distances_costs_nothing():
    """Negatives are as far apart as the images, in pairs and in halves."""

    class Negative(nn.Module):
        def forward(self, x):
            return -x / 2

    model, a = distancegan(self_distance=1.0), data(seed=1)
    negatives = Images(255 - a.pixels, SPEC)
    model.prepare(a, negatives)
    for measured in (model.between["b"], model.within["b"]):
        measured.mean.mul_(0.5)
        measured.deviation.mul_(0.5)
    model.generators["b"] = Negative()
    *_, generator = turns(model, a.batch(torch.arange(4)).image, images()[1])
    assert generator.losses["distance a"] < 1e-5
    assert generator.losses["self distance a"] < 1e-5


def test_self_distance_works_with_single_images_and_pairs_do_not():
    pair = images(n=1)
    with pytest.raises(ConfigError, match="--batch-size 2"):
        turns(distancegan(), *pair)
    assert all(turn.total.isfinite() for turn in turns(distancegan(pairwise=0.0, self_distance=1.0), *pair))


def test_images_without_distances_are_refused():
    flat = Images(torch.zeros(5, *SPEC.shape, dtype=torch.uint8), SPEC)
    with pytest.raises(DataError, match="equally far"):
        distancegan().prepare(data(), flat)
    with pytest.raises(DataError, match="one row"):
        distancegan(Spec(1, 1, 8), Spec(1, 1, 8), self_distance=1.0)


def test_players_are_those_of_the_authors_code():
    for player in distancegan().players().values():
        assert (player.optimizer, player.lr, player.settings) == ("Adam", 2e-4, {"betas": (0.5, 0.999)})
        assert player.schedule(1.0) == 1
    for player in distancegan(constant=0.5).players().values():
        assert [player.schedule(t) for t in (0.0, 0.5, 0.75, 1.0)] == [1, 1, 0.5, 0]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 13), (1, 2, 1), (4, 33, 20)])
def test_any_image_size(shape):
    a, b = Spec(*shape), Spec(1, *shape[1:])
    model, pair = distancegan(a, b, self_distance=1.0, patch=3), images(a, b)
    model.prepare(data(a), data(b))
    assert all(turn.total.isfinite() for turn in turns(model, *pair))
    assert model.translate(pair[0], "b").shape == pair[1].shape


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"cycle": 1.0}, "--sides both"),
        ({"pairwise": -1.0}, "pairwise"),
        ({"items": 1}, "items"),
        ({"constant": 2.0}, "part"),
    ],
)
def test_what_makes_no_sense_is_refused(options, word):
    with pytest.raises(ConfigError, match=word):
        DistanceGAN(**options)
