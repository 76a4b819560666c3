"""What makes PLDT: a discriminator of three kinds of pairs, of which the true one alone is associated."""

import pytest
import torch

from isthmus.core import Batch, Spec
from isthmus.errors import ConfigError, DataError
from isthmus.models.translation.pldt import PLDT

A, B = Spec(1, 12, 10, ("none", "some", "all"), "people"), Spec(3, 12, 10, ("none", "some", "all"), "clothes")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def pldt(a=A, b=B, **changes):
    return PLDT(**{"latent": 3, "features": 2} | changes).build(a, b)


def pairs(labels=((0, 1, 2, 2), (0, 2, 1, 2)), a=A, b=B):
    """Two batches of pairs, of these classes or of none."""
    found = []
    for label in labels:
        classes = None if label is None else torch.tensor(label)
        found.append(tuple(Batch(2 * torch.rand(4, *spec.shape) - 1, classes) for spec in (a, b)))
    return found


def likelihood(model, a, b):
    """D_A(a, b), [batch]."""
    return model.association_judge(torch.cat([a, b], dim=1)).sigmoid().flatten()


def test_only_the_true_target_is_associated():
    """t = 1 for the true pair, t = 0 for the made and the irrelevant one; the converter has both labels exchanged."""
    model, given = pldt(realism=0.3, association=0.2), pairs((None, None))
    (a, b), (_, other) = ((x.image, y.image) for x, y in given)
    made = model.converter(a)
    realism, association, converter = model.turns(iter(given))
    assert [turn.player for turn in (realism, association, converter)] == ["realism", "association", "converter"]
    shown, hidden = (model.realism_judge(x).sigmoid() for x in (b, made))
    torch.testing.assert_close(realism.losses, {"real": -shown.log().mean(), "fake": -(1 - hidden).log().mean()})
    true, untrue, irrelevant = (likelihood(model, a, x) for x in (b, made, other))
    wanted = {
        "associated": -true.log().mean(),
        "fake": -(1 - untrue).log().mean(),
        "irrelevant": -(1 - irrelevant).log().mean(),
    }
    torch.testing.assert_close(association.losses, wanted)
    wanted = {"association": -0.2 * untrue.log().mean(), "realism": -0.3 * hidden.log().mean()}
    torch.testing.assert_close(converter.losses, wanted)


def test_all_kinds_of_pairs_are_one_batch_whose_statistics_tell_nothing():
    model, given, seen = pldt(), pairs((None, None)), []
    model.association_judge.register_forward_pre_hook(lambda net, inputs: seen.append(inputs[0][:, 1:]))
    for _ in model.turns(iter(given)):
        pass
    true, irrelevant = given[0][1].image, given[1][1].image
    assert [len(targets) for targets in seen] == [12, 12], "the judge's turn and the converter's"
    for targets in seen:
        torch.testing.assert_close(targets[:8], torch.cat([true, irrelevant]))


def test_a_target_of_the_sources_class_is_not_irrelevant():
    model, given = pldt(), pairs()
    _, association, _ = model.turns(iter(given))
    costs = -(1 - likelihood(model, given[0][0].image, given[1][1].image)).log()
    torch.testing.assert_close(association.losses["irrelevant"], (costs[1] + costs[2]) / 4)


def test_the_converter_meets_discriminators_that_have_moved():
    model, given, made = pldt(), pairs(), []
    model.converter.register_forward_hook(lambda net, inputs, out: made.append(out))
    game = model.turns(iter(given))
    for judge in (model.realism_judge, model.association_judge):
        turn = next(game)
        reached = torch.autograd.grad(turn.total, [*model.converter.parameters()], allow_unused=True, retain_graph=True)
        assert set(reached) == {None}
        with torch.no_grad():
            for p in judge.parameters():
                p.add_(0.05 * torch.randn_like(p))
    cheat = next(game)
    d_a, d_r = likelihood(model, given[0][0].image, made[0]), model.realism_judge(made[0]).sigmoid()
    torch.testing.assert_close(cheat.total, -0.5 * d_a.log().mean() - 0.5 * d_r.log().mean())
    assert len(made) == 1
    assert all((g != 0).any() for g in torch.autograd.grad(cheat.total, [model.converter[0].head[0].weight]))


def test_what_is_left_out_does_not_play():
    alone = pldt(association=0.0)
    assert alone.players().keys() == {"converter", "realism"}
    assert [turn.losses.keys() for turn in alone.turns(iter(pairs()))] == [{"real", "fake"}, {"realism"}]
    alone = pldt(realism=0.0)
    assert alone.players().keys() == {"converter", "association"}
    blind = pldt(irrelevant=False, realism=0.0)
    assert [turn.losses.keys() for turn in blind.turns(iter(pairs()))] == [{"associated", "fake"}, {"association"}]


def test_all_passes_the_code():
    model = pldt().eval()
    sizes = []
    model.converter[0].register_forward_hook(lambda net, inputs, out: sizes.append(tuple(out.shape)))
    model.translate(pairs()[0][0].image, "b")
    assert sizes == [(4, 3)]
    assert model.targets == ("b",)
    for player in model.players().values():
        assert (player.optimizer, player.lr, player.settings) == ("Adam", 2e-4, {"betas": (0.5, 0.999)})


@pytest.mark.parametrize("upsampling", ["nearest", "transposed"])
@pytest.mark.parametrize("size", [(8, 8), (7, 13), (33, 20)])
def test_any_size_and_channels(size, upsampling):
    a, b = Spec(3, *size), Spec(4, *size)
    model, given = pldt(a, b, upsampling=upsampling), pairs((None, None), a, b)
    assert model.translate(given[0][0].image, "b").shape == given[0][1].image.shape
    assert all(turn.total.isfinite() for turn in model.turns(iter(given)))


def test_pixels_are_repeated_or_convolutions_transposed():
    for upsampling, transposed in (("nearest", False), ("transposed", True)):
        model = pldt(upsampling=upsampling)
        assert any(isinstance(net, torch.nn.ConvTranspose2d) for net in model.modules()) == transposed


def test_domains_of_two_sizes_are_refused():
    with pytest.raises(DataError, match="--size"):
        PLDT().build(A, Spec(3, 20, 20, name="clothes"))


@pytest.mark.parametrize(
    ("options", "word"),
    [({"latent": 0}, "latent"), ({"realism": -1.0}, "realism"), ({"realism": 0.0, "association": 0.0}, "nothing")],
)
def test_what_makes_no_sense_is_refused(options, word):
    with pytest.raises(ConfigError, match=word):
        PLDT(**options)
