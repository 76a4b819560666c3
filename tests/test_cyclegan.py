"""What makes CycleGAN: two generators, least squares, images that come back, remembered translations."""

import pytest
import torch
from torch import nn

from isthmus.core import Batch, Spec
from isthmus.errors import ConfigError, DataError
from isthmus.models.translation.cyclegan import CycleGAN
from isthmus.nn.norm import normalised

A = Spec(1, 12, 10)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def cyclegan(a=A, b=A, **changes):
    return CycleGAN(**{"features": 2, "blocks": 1, "patch": 1, "pool": 0} | changes).build(a, b).train()


def images(a=A, b=A, n=3):
    return tuple(2 * torch.rand(n, *spec.shape) - 1 for spec in (a, b))


def turns(model, a, b):
    return model.turns(iter([(Batch(a), Batch(b))]))


def test_the_generators_loss_by_hand():
    model, (a, b) = cyclegan(cycle=7.0, identity=0.3), images()
    to_a, to_b = model.generators["a"], model.generators["b"]
    d_a, d_b = model.discriminators["a"], model.discriminators["b"]
    turn = next(turns(model, a, b))
    torch.testing.assert_close(
        turn.losses,
        {
            "adversarial a": ((d_a(to_a(b)) - 1) ** 2).mean(),
            "adversarial b": ((d_b(to_b(a)) - 1) ** 2).mean(),
            "cycle a": 7.0 * (to_a(to_b(a)) - a).abs().mean(),
            "cycle b": 7.0 * (to_b(to_a(b)) - b).abs().mean(),
            "identity a": 2.1 * (to_a(a) - a).abs().mean(),
            "identity b": 2.1 * (to_b(b) - b).abs().mean(),
        },
    )


def test_the_discriminators_loss_by_hand_is_halved():
    model, (a, b) = cyclegan(), images()
    made = {"a": model.translate(b, "a"), "b": model.translate(a, "b")}
    generator, discriminator = turns(model, a, b)
    assert [generator.player, discriminator.player] == ["generator", "discriminator"], "generators go first"
    for to, real in (("a", a), ("b", b)):
        judge = model.discriminators[to]
        torch.testing.assert_close(discriminator.losses[f"real {to}"], 0.5 * ((judge(real) - 1) ** 2).mean())
        torch.testing.assert_close(discriminator.losses[f"fake {to}"], 0.5 * (judge(made[to]) ** 2).mean())


def test_one_player_holds_both_generators_and_one_both_discriminators():
    model = cyclegan()
    for name, nets in (("generator", model.generators), ("discriminator", model.discriminators)):
        player = model.players()[name]
        assert {id(p) for p in player.parameters()} == {id(p) for p in nets.parameters()}
        assert (player.optimizer, player.lr, player.settings) == ("Adam", 2e-4, {"betas": (0.5, 0.999)})
        assert [player.schedule(t) for t in (0.0, 0.5, 0.75, 1.0)] == pytest.approx([1, 1, 0.5, 0])


def test_a_cycle_teaches_both_generators_and_an_adversary_one():
    model, (a, b) = cyclegan(), images()
    losses = next(turns(model, a, b)).losses
    for term, taught in {
        "adversarial a": "a",
        "adversarial b": "b",
        "cycle a": "ab",
        "cycle b": "ab",
        "identity a": "a",
        "identity b": "b",
    }.items():
        for to, net in model.generators.items():
            found = torch.autograd.grad(losses[term], [*net.parameters()], allow_unused=True, retain_graph=True)
            assert all((g is not None) == (to in taught) for g in found), (term, to)


def test_translations_that_discriminators_see_have_no_graph():
    model, (a, b) = cyclegan(pool=2), images()
    _, discriminator = turns(model, a, b)
    with pytest.raises(RuntimeError, match="unused"):
        torch.autograd.grad(discriminator.total, [*model.generators.parameters()])


def test_discriminators_are_shown_earlier_translations():
    model, (a, b), seen = cyclegan(pool=1), images(n=1), []
    model.discriminators["b"].register_forward_hook(lambda _, inputs, out: seen.append(inputs[0].detach()))
    first = model.translate(a, "b").detach()
    list(turns(model, a, b))
    del seen[:]
    shown = []
    for _ in range(40):
        list(turns(model, *images(n=1)))
        shown.append(seen[-1])
        if torch.equal(seen[-1], first):
            break
    else:
        pytest.fail("the first translation never came again")
    model.eval()
    list(turns(model, a, b))
    assert torch.equal(seen[-1], first), "in evaluation discriminators see what is there"


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({"cycle": 0.0}, {"cycle a", "cycle b", "identity a", "identity b"}),
        ({"cycles": "a"}, {"cycle b"}),
        ({"cycles": "b"}, {"cycle a"}),
        ({"identity": 0.0}, {"identity a", "identity b"}),
    ],
)
def test_what_has_no_weight_is_not_computed(changes, gone):
    pair, calls = images(), []
    whole = next(turns(cyclegan(), *pair)).losses
    model = cyclegan(**changes)
    for net in model.generators.values():
        net.register_forward_hook(lambda *_: calls.append(1))
    assert whole.keys() - next(turns(model, *pair)).losses.keys() == gone
    assert len(calls) == 6 - len(gone)


def test_networks_are_those_of_the_paper():
    model = CycleGAN(upsampling="transposed").build(Spec(3, 256, 256), Spec(3, 256, 256))
    instance = type(normalised("instance", 2))
    norms = [m for m in model.modules() if isinstance(m, instance)]
    assert norms
    assert all(m.weight is None and m.num_groups == m.num_channels for m in norms)
    sizes = [sum(p.numel() for p in nets["a"].parameters()) for nets in (model.generators, model.discriminators)]
    weights = lambda net: [m.weight for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]  # noqa: E731
    assert len(weights(model.generators["a"])) == 1 + 2 + 2 * 9 + 2 + 1
    assert len(weights(model.discriminators["a"])) == 5
    assert sizes[0] == pytest.approx(11.4e6, rel=0.05)
    assert sizes[1] == pytest.approx(2.76e6, rel=0.02)
    for net in (model.generators["b"], model.discriminators["b"]):
        assert all(w.std().item() == pytest.approx(0.02, rel=0.1) for w in weights(net))


def test_domains_with_other_channels():
    a, b = Spec(1, 9, 14), Spec(3, 9, 14)
    with pytest.raises(DataError, match="--identity 0"):
        cyclegan(a, b)
    model, pair = cyclegan(a, b, identity=0.0), images(a, b)
    assert model.translate(pair[0], "b").shape == pair[1].shape
    assert model.translate(pair[1], "a").shape == pair[0].shape
    assert all(turn.total.isfinite() for turn in turns(model, *pair))


def test_domains_of_other_sizes_are_refused():
    with pytest.raises(DataError, match="--size"):
        cyclegan(Spec(1, 12, 10), Spec(1, 10, 12))


@pytest.mark.parametrize("upsampling", ["nearest", "transposed"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 13), (1, 2, 1), (4, 33, 20)])
def test_any_image_size(shape, upsampling):
    spec = Spec(*shape)
    model, pair = cyclegan(spec, spec, upsampling=upsampling, patch=3), images(spec, spec, n=1)
    assert all(turn.total.isfinite() for turn in turns(model, *pair))
    assert model.translate(pair[0], "b").shape == pair[0].shape


@pytest.mark.parametrize(
    ("options", "word"), [({"cycle": -1.0}, "cycle"), ({"constant": 1.5}, "part"), ({"features": 0}, "features")]
)
def test_what_makes_no_sense_is_refused(options, word):
    with pytest.raises(ConfigError, match=word):
        CycleGAN(**options)
