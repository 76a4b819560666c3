"""What makes a StarGAN: one generator told the domain, who learns domains from what, and the mask of two label sets."""

import pytest
import torch
import torch.nn.functional as F

from isthmus.core import Batch, Spec
from isthmus.errors import ConfigError, DataError
from isthmus.models.translation.stargan import StarGAN
from isthmus.nn.translators import Edge

SPEC = Spec(3, 9, 6, ("red", "green", "blue"), "colours")
OTHER = Spec(3, 9, 6, ("round", "square"), "forms")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def stargan(*specs, **changes):
    return StarGAN(**{"features": 4, "blocks": 1, "depth": 2} | changes).build(*(specs or (SPEC,)))


def batch(spec=SPEC, n=6):
    return Batch(2 * torch.rand(n, *spec.shape) - 1, torch.arange(n) % len(spec.classes))


def played(model, *batches):
    """All turns of a round, and what the generator and the discriminator saw and made."""
    calls = []
    for name in ("generator", "discriminator"):
        model.get_submodule(name).register_forward_hook(
            lambda _, inputs, out, name=name: calls.append((name, inputs[0], out))
        )
    feed = batches if len(batches) == 1 else [tuple(batches)]
    return list(model.turns(iter(list(feed) * model.critic_steps))), calls


def test_five_turns_of_the_discriminator_and_then_one_of_the_generator():
    turns, _ = played(stargan(), batch())
    assert [turn.player for turn in turns] == ["discriminator"] * 5 + ["generator"]


def test_losses_by_hand():
    model, x = stargan(critic_steps=1, penalty=0.0, classification=3.0, reconstruction=7.0), batch()
    (critic, generator), calls = played(model, x)
    made = calls[0][2]
    wanted = calls[0][1][:, 3:, 0, 0].argmax(1)
    real, domain = model.discriminator(x.image)
    fake, shown = model.discriminator(made)
    hand = {"real": -real.mean(), "fake": fake.mean(), "classification": 3 * F.cross_entropy(domain, x.label)}
    torch.testing.assert_close({k: v for k, v in critic.losses.items() if k != "penalty"}, hand)
    back = model.carry(made, x.label, 0)
    hand = {
        "adversarial": -fake.mean(),
        "classification": 3 * F.cross_entropy(shown, wanted),
        "reconstruction": 7 * (back - x.image).abs().mean(),
    }
    torch.testing.assert_close(dict(generator.losses), hand)


def test_the_domain_is_maps_beside_the_image_and_targets_are_the_batchs_labels():
    model = stargan(critic_steps=1)
    x = Batch(torch.zeros(6, *SPEC.shape), torch.tensor([0, 0, 0, 0, 1, 1]))
    _, calls = played(model, x)
    seen = calls[0][1]
    assert seen.shape == (6, 3 + 3, 9, 6)
    maps = seen[:, 3:]
    assert torch.equal(maps, maps[:, :, :1, :1].expand_as(maps))
    assert torch.equal(maps[:, :, 0, 0].sum(0), torch.tensor([4.0, 2.0, 0.0]))  # as often as in the batch
    assert maps[:, :, 0, 0].sum(1).eq(1).all()


def test_the_way_back_is_to_the_own_domain():
    model, x = stargan(critic_steps=1), batch()
    _, calls = played(model, x)
    made, (_, again, _) = calls[0][2], [call for call in calls if call[0] == "generator"][1]
    assert torch.equal(again[:, :3], made)
    assert torch.equal(again[:, 3:, 0, 0], F.one_hot(x.label, 3).float())


def test_the_discriminator_learns_domains_from_real_images_alone():
    model, x = stargan(), batch()
    made = torch.rand(6, *SPEC.shape)
    told = model.critic_losses(x.image, x.label, made, 0)["classification"]
    other = model.critic_losses(x.image, x.label, -made, 0)["classification"]
    assert torch.equal(told, other)


def test_the_penalty_is_of_the_source_alone():
    model, x = stargan(), batch()
    penalty = model.critic_losses(x.image, x.label, -x.image, 0)["penalty"]
    (slope,) = torch.autograd.grad(penalty, model.discriminator.domain.weight, allow_unused=True)
    assert slope is None or not slope.any()
    assert torch.autograd.grad(
        model.critic_losses(x.image, x.label, -x.image, 0)["penalty"], model.discriminator.source.weight
    )[0].any()


def test_only_the_last_images_have_a_graph_and_the_generator_runs_once_for_each():
    model = stargan(critic_steps=3)
    _, calls = played(model, batch())
    graphs = [out.requires_grad for name, _, out in calls if name == "generator"]
    assert graphs == [False, False, True, True]  # the last is the way back


def test_the_domain_enters_by_the_border_of_zeros_and_reaches_all_of_the_image():
    model, x = stargan(), batch().image
    apart = (model.translate(x, "red") - model.translate(x, "blue")).abs()
    assert apart.amax((0, 1)).min() > 1e-3
    model.generator.encoder[0] = Edge(6, 4, bias=False)
    assert (model.translate(x, "red") - model.translate(x, "blue")).abs().max() < 1e-4, "instance norm hides it all"


def test_without_weights_domains_and_images_cost_nothing():
    (critic, generator), _ = played(stargan(critic_steps=1, classification=0.0, reconstruction=0.0), batch())
    assert critic.losses["classification"] == generator.losses["classification"] == 0
    assert generator.losses["reconstruction"] == 0
    assert generator.losses["adversarial"] != 0


def test_the_mask_tells_which_labels_are_known():
    model = stargan(SPEC, OTHER)
    first = model.condition(torch.tensor([2]), 0)
    second = model.condition(torch.tensor([1]), 1)
    assert first.tolist() == [[0, 0, 1, 0, 0, 1, 0]]  # three colours, two forms, which are known
    assert second.tolist() == [[0, 0, 0, 0, 1, 0, 1]]
    assert stargan().condition(torch.tensor([2]), 0).tolist() == [[0, 0, 1]]


def test_of_two_label_sets_only_the_known_one_is_asked_for():
    model = stargan(SPEC, OTHER)
    logits = torch.randn(4, 5, requires_grad=True)
    model.told(logits, torch.tensor([0, 1, 1, 0]), 1).backward()
    assert not logits.grad[:, :3].any()
    assert logits.grad[:, 3:].all()


def test_two_data_sets_take_turns_and_each_keeps_its_labels():
    model = stargan(SPEC, OTHER, critic_steps=2)
    turns, calls = played(model, batch(), batch(OTHER))
    short = "".join(turn.player[0] for turn in turns)
    assert short == "dd" + "dg" * 2
    conditions = [seen[:, 3:, 0, 0] for name, seen, _ in calls if name == "generator"]
    first = [bool(c[:, 5].all()) for c in conditions]
    assert first == [True, False, True, True, False, False]
    for condition, mine in zip(conditions, first, strict=True):
        assert torch.equal(condition[:, :3].sum(1), torch.full((6,), float(mine)))
        assert torch.equal(condition[:, 3:5].sum(1), torch.full((6,), float(not mine)))


def test_targets_are_the_classes_of_all_data():
    assert stargan().targets == SPEC.classes
    model = stargan(SPEC, OTHER)
    assert model.targets == SPEC.classes + OTHER.classes
    assert [model.place(to) for to in ("red", "blue", "round", "square")] == [(0, 0), (0, 2), (1, 0), (1, 1)]
    assert model.ends("square") == (OTHER, OTHER)
    assert stargan(SPEC, SPEC).targets == ("a:red", "a:green", "a:blue", "b:red", "b:green", "b:blue")
    x = batch().image
    torch.testing.assert_close(model.translate(x, "square"), model.carry(x, torch.ones(6, dtype=torch.int64), 1))


def test_adam_and_the_rate_of_the_paper():
    for player in stargan().players().values():
        assert (player.optimizer, player.lr, player.settings) == ("Adam", 1e-4, {"betas": (0.5, 0.999)})
        assert [player.schedule(t) for t in (0.0, 0.5, 0.75, 1.0)] == pytest.approx([1, 1, 0.5, 0])
    assert stargan(constant=1.0).players()["generator"].schedule(1.0) == 1


@pytest.mark.parametrize("shape", [(1, 5, 5), (3, 33, 20)])
def test_any_image_size(shape):
    spec = Spec(*shape, ("one", "two"))
    model = stargan(spec, depth=6)
    turns, _ = played(model, batch(spec, 2))
    assert all(turn.total.isfinite() for turn in turns)
    assert model.translate(batch(spec, 2).image, "two").shape == (2, *shape)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ConfigError, match="constant"):
        StarGAN(constant=2.0)
    with pytest.raises(ConfigError, match="critic_steps"):
        StarGAN(critic_steps=0)
    with pytest.raises(DataError, match="differ in form"):
        stargan(SPEC, Spec(1, 9, 6, ("a", "b"), "grey"))
    with pytest.raises(DataError, match="classes"):
        stargan(Spec(3, 9, 6))
