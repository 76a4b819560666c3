"""What makes a CoGAN: the same Parameters near the code of generators and far from the image of discriminators."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from isthmus.core import Batch, Spec
from isthmus.errors import ConfigError
from isthmus.models.translation.cogan import CoGAN, told
from isthmus.training.draws import shown
from isthmus.training.preview import preview

CLASSES = ("0", "1", "2")
A, B = Spec(1, 12, 10, CLASSES), Spec(3, 12, 10, CLASSES)
SHARED, OWN = {"generator": "trunk", "discriminator": "rest"}, {"generator": "end", "discriminator": "start"}
PLAYERS = pytest.mark.parametrize("player", ["generator", "discriminator"])


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def cogan(a=A, b=B, **changes):
    return CoGAN(**{"latent": 4, "features": 3, "hidden": 8} | changes).build(a, b)


def batches(n=4):
    return tuple(Batch(2 * torch.rand(n, *s.shape) - 1, torch.arange(n) % 3 if s is A else None) for s in (A, B))


def turns(model, pair):
    torch.manual_seed(5)
    return dict(model.turns(iter([pair])))


def ids(*modules):
    return {id(p) for module in modules for p in module.parameters()}


@PLAYERS
def test_what_is_shared_are_the_same_parameters_and_the_ends_are_single_convolutions(player):
    model = cogan()
    shared, own = getattr(model, SHARED[player]), getattr(model, OWN[player])
    assert ids(shared["a"]) == ids(shared["b"])
    assert ids(own["a"]).isdisjoint(ids(own["b"]))
    for net in own.values():
        assert len([m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]) == 1
        assert not any(isinstance(m, nn.Linear) for m in net.modules())
    parameters = model.players()[player].parameters()
    assert len(parameters) == len(set(map(id, parameters)))
    assert ids(shared, own) <= set(map(id, parameters))


def test_widths_are_those_of_each_player():
    """In the paper's networks for digits generators have 128 maps at full size, discriminators 20."""
    model = cogan(features=5, discriminator_features=2)
    maps = {
        player: [m.out_channels for m in getattr(model, SHARED[player])["a"].modules() if isinstance(m, nn.Conv2d)]
        for player in SHARED
    }
    assert maps == {"generator": [5], "discriminator": [4]}
    assert (model.end["a"][0].in_channels, model.start["a"].out_channels) == (5, 2)
    assert (CoGAN().features, CoGAN().discriminator_features) == (128, 20)


def test_both_discriminators_end_in_one_head():
    model = cogan()
    assert ids(model.head["a"]) == ids(model.head["b"])
    assert model.head["a"].out_features == 2


@PLAYERS
def test_shared_layers_learn_from_both_domains(player):
    model, pair = cogan(), batches()
    losses = turns(model, pair)[player]
    for of in "ab":
        term = sum(loss for name, loss in losses.items() if name.endswith(of))
        gradients = torch.autograd.grad(term, [*getattr(model, SHARED[player])["a"].parameters()], retain_graph=True)
        assert all(g.isfinite().all() for g in gradients)
        assert any(g.abs().sum() > 0 for g in gradients)
        stranger = [*getattr(model, OWN[player])["b" if of == "a" else "a"].parameters()]
        reached = torch.autograd.grad(term, stranger, retain_graph=True, allow_unused=True)
        assert reached == (None,) * len(reached)


@pytest.mark.parametrize(
    ("option", "apart", "together"),
    [("share_generators", ("trunk",), ("rest", "head")), ("share_discriminators", ("rest", "head"), ("trunk",))],
)
def test_without_sharing(option, apart, together):
    model = cogan(**{option: False})
    assert all(ids(getattr(model, name)["a"]).isdisjoint(ids(getattr(model, name)["b"])) for name in apart)
    assert all(ids(getattr(model, name)["a"]) == ids(getattr(model, name)["b"]) for name in together)
    torch.manual_seed(3)
    a, b = model.pairs(2)
    torch.manual_seed(3)
    z = torch.randn(2, 4)
    torch.testing.assert_close(b, model.end["b"](model.trunk["b"](z)))
    torch.testing.assert_close(a, model.end["a"](model.trunk["a"](z)))


def test_outputs_are_two_classes():
    logits = torch.tensor([[0.0, 1.0], [2.0, 0.0]])
    of_real = -logits.log_softmax(1)[:, 1].mean()
    torch.testing.assert_close(told(logits, real=True), of_real)
    torch.testing.assert_close(told(logits, real=False), -logits.log_softmax(1)[:, 0].mean())


def test_terms_and_their_order():
    model, pair = cogan().eval(), batches()
    played = turns(model, pair)
    assert list(played) == ["discriminator", "generator"]
    torch.manual_seed(5)
    made = model.pairs(4)
    for of, batch, fake in zip("ab", pair, made, strict=True):
        real_logit, fake_logit = (model.head[of](model.features_of(x, of)) for x in (batch.image, fake))
        losses = played["discriminator"]
        torch.testing.assert_close(losses[f"real {of}"], F.cross_entropy(real_logit, torch.ones(4).long()))
        torch.testing.assert_close(losses[f"fake {of}"], F.cross_entropy(fake_logit, torch.zeros(4).long()))
        wanted = F.cross_entropy(fake_logit, torch.ones(4).long())
        torch.testing.assert_close(played["generator"][f"adversarial {of}"], wanted)
    judged = sum(played["discriminator"].values())
    reached = torch.autograd.grad(judged, model.players()["generator"].parameters(), allow_unused=True)
    assert reached == (None,) * len(reached)


def test_images_are_made_once():
    model, seen = cogan(), []
    model.trunk["a"].register_forward_hook(lambda *_: seen.append("trunk"))
    model.end["a"].register_forward_hook(lambda *_: seen.append("end"))
    list(model.turns(iter([batches()])))
    assert seen == ["trunk", "end"]


def test_to_adapt_the_shared_layers_tell_classes_of_a_and_see_the_same_in_both_images_of_a_code():
    model, pair = cogan(adapt=10.0, alike=2.0).eval(), batches()
    losses = turns(model, pair)["discriminator"]
    torch.manual_seed(5)
    made = [model.features_of(x, of) for of, x in zip("ab", model.pairs(4), strict=True)]
    guess = model.classifier(model.features_of(pair[0].image, "a"))
    torch.testing.assert_close(losses["class"], 10 * F.cross_entropy(guess, pair[0].label))
    torch.testing.assert_close(losses["alike"], 2 * (made[0] - made[1]).norm(dim=1).square().mean())
    assert ids(model.classifier) <= set(map(id, model.players()["discriminator"].parameters()))
    assert ids(model.classifier).isdisjoint(map(id, model.players()["generator"].parameters()))
    for of, batch in zip("ab", pair, strict=True):
        torch.testing.assert_close(model.classify(batch.image, of).exp().sum(1), torch.ones(4))
    assert pair[1].labels is None  # no class of b is ever asked for
    with pytest.raises(ConfigError, match="adapt"):
        cogan().classify(pair[0].image, "a")


def test_to_adapt_first_layers_begin_alike_where_domains_have_as_many_channels():
    model = cogan(b=Spec(1, 12, 10), adapt=10.0)
    x = torch.randn(2, 1, 12, 10)
    assert torch.equal(model.start["a"](x), model.start["b"](x))
    assert ids(model.start["a"]).isdisjoint(ids(model.start["b"]))


def test_norms_have_no_gains_and_discriminators_no_norms():
    model = cogan()
    norms = [m for m in model.trunk.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert not any(m.affine for m in norms)
    assert not [m for net in (model.start, model.rest) for m in net.modules() if isinstance(m, nn.BatchNorm2d)]


def test_settings():
    for player in cogan().players().values():
        assert (player.lr, player.settings) == (2e-4, {"betas": (0.5, 0.999), "weight_decay": 5e-4})


def test_a_sample_is_the_first_of_a_pair():
    model = cogan().eval()
    torch.manual_seed(1)
    drawn = model.sample(3, temperature=0.5)
    torch.manual_seed(1)
    assert torch.equal(drawn, model.pairs(3, 0.5)[0])


@pytest.mark.parametrize(("channels", "seen"), [((1, 1), 1), ((1, 3), 3), ((3, 4), 3), ((4, 4), 4)])
def test_both_of_a_pair_are_shown_side_by_side(channels, seen):
    model = cogan(*(Spec(n, 8, 6) for n in channels)).eval()
    torch.manual_seed(1)
    drawn = shown(model, 3)
    torch.manual_seed(1)
    a, b = model.pairs(3)
    assert drawn.shape == (3, seen, 8, 12)
    for image, half in ((a, drawn[..., :6]), (b, drawn[..., 6:])):
        assert torch.equal(half, image[:, :seen].expand_as(half))
    torch.manual_seed(1)
    rows = preview(model, [Batch(a)], draws=1)
    assert [torch.equal(row, image) for row, image in zip(rows, (a, b), strict=True)] == [True, True]


@pytest.mark.parametrize("upsampling", ["nearest", "transposed"])
@pytest.mark.parametrize("shape", [(8, 8), (7, 13), (33, 20), (2, 1)])
def test_any_image_size(shape, upsampling):
    model = cogan(Spec(1, *shape), Spec(4, *shape), upsampling=upsampling)
    assert [tuple(x.shape[1:]) for x in model.pairs(2)] == [(1, *shape), (4, *shape)]
    pair = tuple(Batch(torch.rand(2, n, *shape)) for n in (1, 4))
    assert all(turn.total.isfinite() for turn in model.turns(iter([pair])))


def test_domains_of_two_sizes_are_refused():
    with pytest.raises(ConfigError, match="size"):
        cogan(A, Spec(1, 8, 8))
