"""What makes a UNIT: layers next to the code are the same Parameters, and ten terms of VAEs, GANs and cycles."""

import pytest
import torch

from isthmus.core import Batch, Spec
from isthmus.errors import ConfigError, DataError
from isthmus.losses.adversarial import fake, real
from isthmus.models.translation.unit import UNIT, noisy

CLASSES = ("0", "1", "2")
A, B = Spec(1, 12, 10, CLASSES), Spec(3, 12, 10, CLASSES)
WAYS = (("a", "b"), ("b", "a"))


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def unit(**changes):
    return UNIT(**{"features": 4, "blocks": 2, "judged": 1} | changes).build(A, B)


def batches(n=3):
    return tuple(Batch(2 * torch.rand(n, *s.shape) - 1, torch.arange(n) if s is A else None) for s in (A, B))


def turns(model, pair):
    torch.manual_seed(5)
    return dict(model.turns(iter([pair])))


def ids(*modules):
    return {id(p) for module in modules for p in module.parameters()}


def by_hand(model, pair):
    """All that is made in a round, with the noise in the order in which it is drawn."""
    torch.manual_seed(5)
    x = {of: batch.image for of, batch in zip("ab", pair, strict=True)}
    mean = {of: model.last[of](model.encoder[of](x[of])) for of in "ab"}
    code = {of: mean[of] + torch.randn_like(mean[of]) for of in "ab"}
    made = {(of, to): model.generator[to](model.first[to](code[of]), (12, 10)) for of in "ab" for to in "ab"}
    again = {of: model.last[to](model.encoder[to](made[of, to])) for of, to in WAYS}
    back = {of: model.generator[of](model.first[of](noisy(again[of])), (12, 10)) for of in "ab"}
    return x, mean, made, again, back


def test_all_ten_terms_of_the_generators():
    model, pair = unit(), batches()
    losses = turns(model, pair)["generator"]
    x, mean, made, again, back = by_hand(model, pair)
    wanted = {}
    for of, to in WAYS:
        wanted |= {
            f"adversarial {to}": 10 * real(model.discriminator[to](made[of, to])),
            f"kl {of}": 0.1 * mean[of].square().mean(),
            f"image {of}": 100 * (made[of, of] - x[of]).abs().mean(),
            f"cycle kl {of}": 0.1 * again[of].square().mean(),
            f"cycle {of}": 100 * (back[of] - x[of]).abs().mean(),
        }
    torch.testing.assert_close(losses, wanted)
    assert len(losses) == 10


def test_without_cycles_nothing_comes_back():
    model, calls = unit(cycle=0.0, cycle_kl=0.0), []
    model.generator["a"].register_forward_hook(lambda *_: calls.append(1))
    losses = dict(model.turns(iter([batches()])))["generator"]
    assert {name.split()[0] for name in losses} == {"adversarial", "kl", "image"}
    assert len(calls) == 2  # its own images, and those of b


@pytest.mark.parametrize("name", ["adversarial", "kl", "rebuild", "cycle_kl", "cycle"])
def test_each_weight_belongs_to_two_terms(name):
    pair = batches()
    whole, less = (turns(unit(**change), pair)["generator"] for change in ({}, {name: 0.0}))
    term = {"rebuild": "image", "cycle_kl": "cycle kl"}.get(name, name)
    assert {key for key in whole if less[key] == 0} == {f"{term} a", f"{term} b"}


def test_discriminators_judge_translations_and_no_reconstructions():
    model, pair = unit(), batches()
    losses = turns(model, pair)["discriminator"]
    x, _, made, _, _ = by_hand(model, pair)
    wanted = {}
    for of, to in WAYS:
        wanted[f"real {to}"] = 10 * real(model.discriminator[to](x[to]))
        wanted[f"fake {to}"] = 10 * fake(model.discriminator[to](made[of, to]))
    torch.testing.assert_close(losses, wanted)
    reached = torch.autograd.grad(sum(losses.values()), model.players()["generator"].parameters(), allow_unused=True)
    assert reached == (None,) * len(reached)


def test_the_layers_next_to_the_code_are_the_same_parameters():
    model = unit(shared=2, blocks=3)
    assert ids(model.last["a"]) == ids(model.last["b"])
    assert ids(model.first["a"]) == ids(model.first["b"])
    assert len(model.last["a"]) == len(model.first["a"]) == 2
    for own in (model.encoder, model.generator, model.discriminator):
        assert ids(own["a"]).isdisjoint(ids(own["b"]))
    parameters = model.players()["generator"].parameters()
    assert len(parameters) == len(set(map(id, parameters)))
    assert ids(model.last, model.first) <= set(map(id, parameters))


def test_shared_layers_learn_from_both_domains():
    model, pair = unit(), batches()
    losses = turns(model, pair)["generator"]
    for of in "ab":
        for net in (model.last["a"], model.first["a"]):
            gradients = torch.autograd.grad(losses[f"image {of}"], [*net.parameters()], retain_graph=True)
            assert all(g.abs().sum() > 0 for g in gradients)


def test_without_sharing_nothing_is():
    model = unit(sharing=False, adapt=1.0)
    for nets in (model.last, model.first, model.encoder, model.generator, model.discriminator):
        assert ids(nets["a"]).isdisjoint(ids(nets["b"]))


def test_noise_of_variance_1_and_none_in_use():
    x = noisy(torch.full((100_000,), 3.0))
    assert x.mean() == pytest.approx(3, abs=0.02)
    assert x.std() == pytest.approx(1, abs=0.02)
    model, (a, _) = unit().eval(), batches()
    wanted = model.generator["b"](model.first["b"](model.mean(a.image, "a")), (12, 10))
    assert torch.equal(model.translate(a.image, "b"), wanted)


def test_everything_is_made_once():
    model, seen = unit(), []
    for name in ("encoder", "generator", "discriminator"):
        for net in getattr(model, name).values():
            net.register_forward_hook(lambda *_, name=name: seen.append(name))
    list(model.turns(iter([batches()])))
    assert (seen.count("encoder"), seen.count("generator")) == (4, 6)


def test_to_adapt_discriminators_share_all_layers_but_the_first_and_a_classifier():
    model = unit(adapt=10.0, judged=2)
    a, b = model.discriminator["a"], model.discriminator["b"]
    assert ids(a.layers[1:], a.head) == ids(b.layers[1:], b.head)
    assert ids(a.layers[0]).isdisjoint(ids(b.layers[0]))
    assert ids(model.classifier) <= set(map(id, model.players()["discriminator"].parameters()))
    assert ids(model.classifier).isdisjoint(set(map(id, model.players()["generator"].parameters())))


def test_to_adapt_first_layers_begin_alike_where_domains_have_as_many_channels():
    a, b = UNIT(features=4, blocks=2, judged=1, adapt=10.0).build(A, Spec(1, 12, 10)).discriminator.values()
    x = torch.randn(2, 1, 12, 10)
    assert torch.equal(a(x), b(x))
    assert ids(a.layers[0]).isdisjoint(ids(b.layers[0]))


def test_to_adapt_classes_are_told_of_a_alone_and_both_images_of_a_code_have_one_feature():
    model, pair = unit(adapt=10.0, alike=2.0), batches()
    played = turns(model, pair)
    x, _, made, _, _ = by_hand(model, pair)

    def feature(image, of):
        return model.discriminator[of].features(image)[-1]

    guess = model.classifier(feature(x["a"], "a").flatten(1)).log_softmax(1)
    losses = played["discriminator"]
    torch.testing.assert_close(losses["class"], -10 * guess[range(3), range(3)].mean())
    for of, to in WAYS:
        wanted = 2 * (feature(made[of, of], of) - feature(made[of, to], to)).abs().flatten(1).sum(1).mean()
        torch.testing.assert_close(losses[f"alike {of}"], wanted)
        both = model.discriminator[to](torch.cat([made[of, to], made[to, to]]))
        torch.testing.assert_close(losses[f"fake {to}"], 10 * fake(both))
        torch.testing.assert_close(played["generator"][f"adversarial {to}"], 10 * real(both))
    for of in "ab":
        log_probability = model.classify(x[of], of)
        torch.testing.assert_close(log_probability.exp().sum(1), torch.ones(3))
    assert pair[1].labels is None  # no class of b is ever asked for


def test_settings():
    for player in unit().players().values():
        assert (player.lr, player.settings) == (1e-4, {"betas": (0.5, 0.999), "weight_decay": 1e-4})


@pytest.mark.parametrize("shape", [(8, 8), (7, 13), (33, 20), (2, 1)])
def test_any_image_size(shape):
    model = unit().eval()
    x = torch.rand(2, 1, *shape)
    assert model.translate(model.translate(x, "b"), "a").shape == x.shape
    pair = Batch(x), Batch(torch.rand(2, 3, *shape))
    assert all(turn.total.isfinite() for turn in model.turns(iter([pair])))


def test_domains_of_other_sizes_are_refused():
    with pytest.raises(DataError, match="--size"):
        UNIT(features=4).build(A, Spec(3, 10, 12))


@pytest.mark.parametrize(("options", "word"), [({"shared": 5}, "shared"), ({"kl": -1.0}, "negative")])
def test_what_makes_no_sense_is_refused(options, word):
    with pytest.raises(ConfigError, match=word):
        UNIT(**options)


def test_without_adaptation_there_is_no_classifier():
    with pytest.raises(ConfigError, match="adapt"):
        unit().classify(batches()[0].image, "a")
