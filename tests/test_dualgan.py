"""What makes DualGAN: Wasserstein critics with clipped weights, U-Nets whose noise is dropout, a strong way back."""

import itertools

import pytest
import torch

from isthmus.core import Batch, Spec
from isthmus.errors import ConfigError, DataError
from isthmus.losses.adversarial import fake, real
from isthmus.models.translation.dualgan import DualGAN

SPEC = Spec(1, 12, 10)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def dualgan(a=SPEC, b=SPEC, **changes):
    small = {"features": 2, "depth": 2, "patch": 1, "dropout": 0.0, "critic_steps": 2}
    return DualGAN(**small | changes).build(a, b).train()


def images(a=SPEC, b=SPEC, n=3):
    return tuple(2 * torch.rand(n, *spec.shape) - 1 for spec in (a, b))


def turns(model, *pairs):
    return model.turns(itertools.cycle([tuple(map(Batch, pair)) for pair in pairs]))


def test_losses_by_hand():
    model, (a, b) = dualgan(critic_steps=1, cycle=30.0), images()
    to_a, to_b, d_a, d_b = *model.generators.values(), *model.critics.values()
    game = turns(model, (a, b))
    wanted = {
        "real a": -d_a(a).mean(),
        "fake a": d_a(to_a(b)).mean(),
        "real b": -d_b(b).mean(),
        "fake b": d_b(to_b(a)).mean(),
    }
    torch.testing.assert_close(next(game).losses, wanted)
    with torch.no_grad():
        wanted = {"cycle a": 30 * (to_a(to_b(a)) - a).abs().mean(), "cycle b": 30 * (to_b(to_a(b)) - b).abs().mean()}
        losses = next(game).losses
        torch.testing.assert_close({term: losses[term].detach() for term in wanted}, wanted)
        torch.testing.assert_close(losses["adversarial b"].detach(), -d_b(to_b(a)).mean())  # with clipped weights
        torch.testing.assert_close(losses["adversarial a"].detach(), -d_a(to_a(b)).mean())


def test_each_step_of_the_critics_has_new_images_and_generators_the_last():
    model, pairs, seen = dualgan(critic_steps=3), [images() for _ in range(3)], []
    model.critics["a"].register_forward_hook(lambda _, inputs, out: seen.append(inputs[0]))
    played = [turn.player for turn in turns(model, *pairs)]
    assert played == ["critic"] * 3 + ["generator"]
    for i, (a, b) in enumerate(pairs):
        assert torch.equal(seen[2 * i], a)
        assert torch.equal(seen[2 * i + 1], model.translate(b, "a"))
    assert torch.equal(seen[-1], model.translate(pairs[-1][1], "a"))


def test_critics_are_clipped_after_each_step_and_generators_never():
    model, largest = dualgan(weight_clip=0.003), []
    for turn in turns(model, images()):
        largest.append(max(p.abs().max().item() for p in model.critics.parameters()))
        turn.total.backward(inputs=model.players()[turn.player].parameters())
        with torch.no_grad():
            for p in model.players()[turn.player].parameters():
                p.add_(0.02)
    assert largest[0] > 0.01
    assert largest[1:] == pytest.approx([0.003] * 2)
    assert max(p.abs().max().item() for p in model.generators.parameters()) > 0.02


def test_the_authors_code():
    """Cross-entropy, one step of the discriminators and two of the generators with the same images, no clipping."""
    model, (a, b) = dualgan(adversary="non-saturating", critic_steps=1, generator_steps=2, cycle=20.0), images()
    before = [p.clone() for p in model.critics.parameters()]
    game = turns(model, (a, b), images())
    critic, first = next(game), next(game)
    torch.testing.assert_close(critic.losses["real a"], real(model.critics["a"](a)))
    torch.testing.assert_close(critic.losses["fake a"], fake(model.critics["a"](model.translate(b, "a"))))
    assert all(map(torch.equal, before, model.critics.parameters()))
    with torch.no_grad():
        for p in model.generators.parameters():
            p.mul_(1.1)
    second = next(game)
    assert first.losses["cycle a"] != second.losses["cycle a"], "the second step translates anew"
    wanted = 20 * (model.translate(model.translate(a, "b"), "a") - a).abs().mean()
    torch.testing.assert_close(second.losses["cycle a"], wanted)
    assert next(game, None) is None


def test_only_the_last_translations_have_a_graph():
    model, graphs = dualgan(critic_steps=3, cycle=0.0), []
    model.generators["b"].register_forward_hook(lambda module, inputs, out: graphs.append(out.requires_grad))
    list(turns(model, images()))
    assert graphs == [False, False, True]


def test_critics_do_not_teach_generators_and_ways_back_teach_both():
    model = dualgan(critic_steps=1)
    critic, generator = turns(model, images())
    with pytest.raises(RuntimeError, match="unused"):
        torch.autograd.grad(critic.total, [*model.generators.parameters()])
    for term, taught in {"cycle a": "ab", "cycle b": "ab", "adversarial a": "a", "adversarial b": "b"}.items():
        for to, net in model.generators.items():
            loss, parameters = generator.losses[term], [*net.parameters()]
            found = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True)
            assert all((g is not None) == (to in taught) for g in found), (term, to)


def test_dropout_is_the_noise_and_stays_in_use():
    model, (a, _) = dualgan(Spec(1, 16, 16), Spec(1, 16, 16), depth=4, dropout=0.5).eval(), images(Spec(1, 16, 16))
    assert not torch.equal(model.translate(a, "b"), model.translate(a, "b"))
    model = dualgan().eval()
    a, _ = images()
    assert torch.equal(model.translate(a, "b"), model.translate(a, "b"))


def test_players_move_without_momentum():
    for player in DualGAN().build(SPEC, SPEC).players().values():
        assert (player.optimizer, player.lr, player.settings) == ("RMSprop", 5e-5, {"alpha": 0.9})


def test_without_a_way_back_nothing_is_carried_back():
    model, calls = dualgan(cycle=0.0, critic_steps=1), []
    for net in model.generators.values():
        net.register_forward_hook(lambda *_: calls.append(1))
    *_, generator = turns(model, images())
    assert generator.losses.keys() == {"adversarial a", "adversarial b"}
    assert len(calls) == 2


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 13), (1, 2, 1), (4, 33, 20)])
def test_any_image_size(shape):
    a, b = Spec(*shape), Spec(1, *shape[1:])
    model, pair = dualgan(a, b, depth=8, patch=3), images(a, b, n=1)
    assert all(turn.total.isfinite() for turn in turns(model, pair))
    assert model.translate(pair[0], "b").shape == pair[1].shape
    assert model.translate(pair[1], "a").shape == pair[0].shape


def test_domains_of_other_sizes_are_refused():
    with pytest.raises(DataError, match="--size"):
        dualgan(Spec(1, 12, 10), Spec(1, 10, 12))


@pytest.mark.parametrize(
    ("options", "word"), [({"cycle": -1.0}, "cycle"), ({"dropout": 1.0}, "dropout"), ({"weight_clip": 0.0}, "clip")]
)
def test_what_makes_no_sense_is_refused(options, word):
    with pytest.raises(ConfigError, match=word):
        DualGAN(**options)
