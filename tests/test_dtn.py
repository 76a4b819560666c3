"""What makes a DTN: it builds upon frozen features, keeps them, leaves the target as it is, and D tells three kinds."""

import pytest
import torch
import torch.nn.functional as F

from isthmus.core import Batch, Spec
from isthmus.errors import ConfigError
from isthmus.models.translation.dtn import DTN, told, variation
from isthmus.models.translation.dtn_classifier import DTNClassifier

A, B = Spec(3, 12, 10, ("0", "1"), "a"), Spec(3, 12, 10, ("0", "1"), "b")
KINDS = {"of source": 0, "of target": 1, "target": 2}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def dtn(**changes):
    f = DTNClassifier(features=4).build(A)
    return DTN(f=f, **{"features": 4} | changes).build(A, B)


def batches(n=4):
    return tuple(Batch(2 * torch.rand(n, *s.shape) - 1, torch.arange(n) % 2 if s is A else None) for s in (A, B))


def turns(model, pair):
    return dict(model.turns(iter([pair])))


def test_f_stays_frozen_and_in_evaluation_mode():
    model = dtn().train()
    assert not model.f.training
    assert not any(p.requires_grad for p in model.f.parameters())
    frozen = set(map(id, model.f.parameters()))
    assert not any(id(p) in frozen for player in model.players().values() for p in player.parameters())


def test_all_terms_by_hand():
    model, pair = dtn(smoothness=0.5), batches()
    played, (s, t) = turns(model, pair), (batch.image for batch in pair)
    of_s, of_t = model.g(model.f.describe(torch.cat([s, t]))).chunk(2)
    logits = {"of source": model.discriminator(of_s), "of target": model.discriminator(of_t)}
    logits["target"] = model.discriminator(t)
    wanted = {name: -logit.log_softmax(1)[:, KINDS[name]].mean() for name, logit in logits.items()}
    torch.testing.assert_close(played["discriminator"], wanted)
    torch.testing.assert_close(
        played["generator"],
        {
            "adversarial source": -logits["of source"].log_softmax(1)[:, 2].mean(),
            "adversarial target": -logits["of target"].log_softmax(1)[:, 2].mean(),
            "identity": 15 * (of_t - t).square().mean(),
            "constancy": 15 * (model.f.describe(of_s) - model.f.describe(s)).square().mean(),
            "variation": 0.5 * variation(of_s),
        },
    )
    assert list(played) == ["discriminator", "generator"]
    assert list(turns(dtn(), pair)["generator"])[2:] == ["identity", "constancy"]


def test_the_discriminator_tells_three_kinds():
    logits = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 1.0]])
    for kind in range(3):
        torch.testing.assert_close(told(logits, kind), F.cross_entropy(logits, torch.tensor([kind, kind])))
    assert dtn().discriminator.head[0].out_features == 3


def test_each_player_learns_from_its_own_turn():
    model, pair = dtn(), batches()
    judged, makers = turns(model, pair)["discriminator"], model.players()["generator"].parameters()
    reached = torch.autograd.grad(sum(judged.values()), makers, allow_unused=True)
    assert reached == (None,) * len(reached)


def test_constancy_is_asked_of_the_source_and_identity_of_the_target():
    """Each term changes with its own domain alone (with norms that do not mix both)."""
    model, (s, t) = dtn().eval(), batches()
    other = Batch(-s.image, s.labels), Batch(-t.image)
    first = turns(model, (s, t))["generator"]
    source, target = turns(model, (other[0], t))["generator"], turns(model, (s, other[1]))["generator"]
    assert first["identity"] == source["identity"] != target["identity"]
    assert first["constancy"] == target["constancy"] != source["constancy"]


def test_gradients_of_the_constancy_pass_through_f_to_g():
    model, pair = dtn(), batches()
    losses = turns(model, pair)["generator"]
    gradients = torch.autograd.grad(losses["constancy"], [*model.g.parameters()], allow_unused=True)
    assert any(g is not None and g.abs().sum() > 0 for g in gradients)


def test_g_sees_an_image_through_f_alone_unless_it_is_ablated():
    model, (s, _) = dtn().eval(), batches()
    known = model.f.describe(s.image)
    torch.testing.assert_close(model.translate(s.image, "b"), model.g(known))
    torch.testing.assert_close(model.draw(s.image, known), model.draw(-s.image, known))
    without = dtn(upon_f=False).eval()
    torch.testing.assert_close(without.draw(s.image, known), without.draw(s.image, 0 * known))
    assert {id(p) for p in without.encoder.parameters()} <= {id(p) for p in without.players()["generator"].parameters()}


@pytest.mark.parametrize(("option", "term"), [("constancy", "constancy"), ("identity", "identity")])
def test_ablations(option, term):
    losses = turns(dtn(**{option: 0.0}), batches())["generator"]
    assert losses.get(term, 0) == 0


def test_total_variation():
    assert variation(torch.full((2, 1, 5, 4), 0.3)) < 1e-3
    x = torch.zeros(1, 1, 2, 2)
    x[0, 0, 0, 1], x[0, 0, 1, 0] = 3, 4
    torch.testing.assert_close(variation(x), torch.tensor(5 / 4))


def test_it_goes_one_way():
    assert dtn().targets == ("b",)


def test_the_classifier_learns_classes_and_describes_by_what_is_below_them():
    model = DTNClassifier(features=4).build(A)
    batch = batches()[0]
    [turn] = model.turns(iter([batch]))
    logits = model.head(model.describe(batch.image))
    torch.testing.assert_close(turn.losses["class"], F.cross_entropy(logits, batch.label))
    assert model.describe(batch.image).shape == (4, 8)
    of_paper = DTNClassifier(features=4).build(Spec(1, 32, 32, ("0", "1")))
    assert [m.out_channels for m in of_paper.body if isinstance(m, torch.nn.Conv2d)] == [4, 8, 16, 8]
    torch.testing.assert_close(model.classify(batch.image).exp().sum(1), torch.ones(4))


@pytest.mark.parametrize("upsampling", ["nearest", "transposed"])
@pytest.mark.parametrize("shape", [(8, 8), (7, 13), (33, 20), (2, 1)])
def test_any_image_size(shape, upsampling):
    spec = Spec(1, *shape, ("0", "1"))
    model = DTN(f=DTNClassifier(features=2).build(spec), features=2, upsampling=upsampling).build(spec, spec)
    pair = tuple(Batch(torch.rand(4, 1, *shape)) for _ in range(2))
    assert all(turn.total.isfinite() for turn in model.turns(iter([pair])))
    assert model.translate(pair[0].image, "b").shape == (4, 1, *shape)


def test_pixels_are_repeated_or_convolutions_transposed():
    for upsampling, transposed in (("nearest", False), ("transposed", True)):
        model = DTN(f=DTNClassifier(features=2).build(A), features=2, upsampling=upsampling).build(A, A)
        assert any(isinstance(net, torch.nn.ConvTranspose2d) for net in model.modules()) == transposed


def test_data_of_another_form_than_that_of_f_are_refused():
    f = DTNClassifier(features=4).build(A)
    with pytest.raises(ConfigError, match="f is made for"):
        DTN(f=f, features=4).build(A, Spec(1, 12, 10))
