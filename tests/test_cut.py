"""What makes a CUT: one generator, patches told apart within an image, and gradients through queries alone."""

import math

import pytest
import torch
import torch.nn.functional as F

from isthmus.core import Batch, Spec
from isthmus.errors import ConfigError, DataError
from isthmus.models.translation.cut import CUT, picked

SPEC = Spec(3, 12, 10)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def cut(spec=SPEC, **changes):
    return CUT(**{"features": 4, "blocks": 2, "hidden": 8, "places": 16} | changes).build(spec, spec)


def images(n=3, spec=SPEC):
    return 2 * torch.rand(n, *spec.shape) - 1


def played(model, a, b):
    return list(model.turns(iter([(Batch(a), Batch(b))])))


def reached(loss, net):
    found = torch.autograd.grad(loss, [*net.parameters()], allow_unused=True, retain_graph=True)
    return [gradient is not None and bool(gradient.any()) for gradient in found]


def test_the_discriminator_moves_first_and_losses_are_those_of_the_paper():
    model, a, b = cut(), images(), images()
    critic, generator = played(model, a, b)
    assert [critic.player, generator.player] == ["discriminator", "generator"]
    real, fake = model.discriminator(b), model.discriminator(model.translate(a, "b"))
    torch.testing.assert_close(
        critic.losses, {"real": 0.5 * (real - 1).square().mean(), "fake": 0.5 * fake.square().mean()}
    )
    torch.testing.assert_close(generator.losses["adversarial"], (fake - 1).square().mean())
    assert set(generator.losses) == {"adversarial", "contrast", "identity"}


def test_patches_are_told_apart_by_cross_entropy_within_one_image():
    """With every place asked, by hand: softmax over the places of the same image, at each depth alike."""
    model, a = cut(places=10_000), images()
    made = model.translate(a, "b")
    queries, keys = model.encode(made)[1], model.encode(a)[1]
    hand = torch.zeros(3)
    for project, query, key in zip(model.projections, queries, keys, strict=True):
        for i in range(3):
            q, k = (F.normalize(project(maps[i].flatten(1).T), dim=1) for maps in (query, key))
            hand[i] += F.cross_entropy(q @ k.T / 0.07, torch.arange(len(q))) / len(queries)
    torch.testing.assert_close(model.missed(queries, keys), hand)


def test_an_image_is_compared_with_no_other():
    model, a = cut(places=10_000), images()
    queries, keys = model.encode(images())[1], model.encode(a)[1]
    alone = model.missed([maps[:1] for maps in queries], [maps[:1] for maps in keys])
    torch.testing.assert_close(model.missed(queries, keys)[:1], alone)


def test_similarities_keep_all_their_digits_in_mixed_precision():
    model, maps = cut(), [torch.randn(2, 4, 5, 5)]
    model.projections = torch.nn.ModuleList([torch.nn.Identity()])
    found = []
    for enabled in (False, True):
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            found.append(model.missed(maps, [maps[0] + 0.1]))
    assert torch.equal(*found)


def test_the_same_places_of_both_are_picked():
    maps = torch.arange(24.0).view(1, 2, 3, 4)
    assert picked(maps, torch.tensor([[5, 0]])).tolist() == [[[5, 17], [0, 12]]]
    model = cut(places=7)
    seen = []
    model.projections[1].register_forward_hook(lambda _, inputs, out: seen.append(inputs[0]))
    maps = model.encode(images())[1]
    model.missed(maps, maps)
    assert torch.equal(*seen)
    assert seen[0].shape == (3, 7, 8)


def test_what_cannot_be_told_costs_the_logarithm_of_the_places():
    model = cut(places=9)  # as many as the smallest maps have
    flat = [torch.ones_like(maps) for maps in model.encode(images())[1]]
    torch.testing.assert_close(model.missed(flat, flat), torch.full((3,), math.log(9)), rtol=1e-4, atol=0)


def test_gradients_pass_through_queries_alone():
    model = cut()
    source, made = images().requires_grad_(), images().requires_grad_()
    loss = model.missed(model.encode(made)[1], model.encode(source)[1]).sum()
    of_source, of_made = torch.autograd.grad(loss, [source, made], allow_unused=True)
    assert of_source is None
    assert of_made.any()


def test_the_depths_are_those_of_the_paper():
    model = CUT(features=2, blocks=9).build(SPEC, SPEC)
    assert model.tapped == [4, 8, 11, 15]  # both strided convolutions, the first and the fifth block
    shapes = [tuple(maps.shape[1:]) for maps in model.encode(images())[1]]
    assert shapes == [(3, 12, 10), (4, 6, 5), (8, 3, 3), (8, 3, 3), (8, 3, 3)]


def test_one_forward_pass_makes_translations_and_keys():
    model, seen = cut(), []
    model.generator.encoder[0].register_forward_hook(lambda _, inputs, out: seen.append(len(inputs[0])))
    played(model, images(), images())
    assert seen == [6, 6]  # both domains on the way there, and what became of them


def test_the_identity_is_of_the_target_and_the_discriminator_never_sees_it():
    model, a, b = cut(), images(), images()
    torch.manual_seed(1)
    first = played(model, a, b)
    torch.manual_seed(1)
    other = played(model, -a, b)
    torch.testing.assert_close(first[1].losses["identity"], other[1].losses["identity"])
    assert first[1].losses["contrast"] != other[1].losses["contrast"]
    seen = []
    model.discriminator.register_forward_hook(lambda _, inputs, out: seen.append(len(inputs[0])))
    played(model, a, b)
    assert seen == [3, 3, 3]
    assert "identity" not in played(cut(identity=0.0), a, b)[1].losses


def test_who_learns_from_what():
    model = cut()
    critic, generator = played(model, images(), images())
    assert all(reached(critic.total, model.discriminator))
    assert not any(reached(critic.total, model.generator))
    assert all(reached(generator.losses["contrast"], model.projections))
    assert not any(reached(generator.losses["adversarial"], model.projections))
    assert any(reached(generator.losses["contrast"], model.generator.decoder))
    players = model.players()
    assert {id(p) for p in players["generator"].parameters()} == {
        id(p) for net in (model.generator, model.projections) for p in net.parameters()
    }


def test_mirrored_translations_are_held_to_the_image_as_it_was(monkeypatch):
    model, a = cut(mirror=True, identity=0.0), images()
    monkeypatch.setattr(torch, "rand", lambda *size, **_: torch.zeros(size))  # every image is mirrored
    seen, made = [], []
    model.generator.encoder[0].register_forward_hook(lambda _, inputs, out: seen.append(inputs[0]))
    model.generator.decoder.register_forward_hook(lambda _, inputs, out: made.append(out))
    turn = played(model, a, images())[1]
    assert torch.equal(seen[0], a.flip(3))
    assert torch.equal(seen[1], a)
    back = [maps.flip(3) for maps in model.encode(made[0])[1]]
    torch.testing.assert_close(turn.losses["contrast"], model.missed(back, model.encode(a)[1]).mean())


def test_without_weight_patches_cost_nothing():
    turn = played(cut(contrast=0.0, identity=0.0), images(), images())[1]
    assert turn.losses["contrast"] == 0
    assert turn.losses["adversarial"] > 0


def test_it_goes_one_way():
    model = cut()
    assert model.targets == ("b",)
    assert model.ends("b") == (SPEC, SPEC)


def test_adam_and_the_rate_of_the_paper():
    for player in cut().players().values():
        assert (player.optimizer, player.lr, player.settings) == ("Adam", 2e-4, {"betas": (0.5, 0.999)})
        assert [player.schedule(t) for t in (0.0, 0.5, 0.75, 1.0)] == pytest.approx([1, 1, 0.5, 0])


@pytest.mark.parametrize("shape", [(1, 5, 7), (3, 33, 20)])
def test_any_image_size(shape):
    spec = Spec(*shape)
    model = cut(spec)
    assert all(turn.total.isfinite() for turn in played(model, images(2, spec), images(2, spec)))
    assert model.translate(images(2, spec), "b").shape == (2, *shape)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ConfigError, match="constant"):
        CUT(constant=2.0)
    with pytest.raises(ConfigError, match="temperature"):
        CUT(temperature=0.0)
    with pytest.raises(DataError, match="channels"):
        CUT().build(SPEC, Spec(1, 12, 10))
    with pytest.raises(DataError, match="size"):
        CUT().build(SPEC, Spec(3, 12, 11))
