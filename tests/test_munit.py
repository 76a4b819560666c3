"""What makes a MUNIT: content is normalised, style is not, and images, contents and styles are found again."""

import pytest
import torch
from torch import nn

from isthmus.core import Batch, Spec, Styles
from isthmus.errors import ConfigError, DataError
from isthmus.models.translation.munit import MUNIT, missed, summed
from isthmus.nn.style import AdaIN
from isthmus.nn.translators import size

A, B = Spec(1, 12, 10), Spec(3, 12, 10)
WAYS = pytest.mark.parametrize(("of", "to"), [("a", "b"), ("b", "a")])


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def munit(**changes):
    return MUNIT(**{"features": 4, "blocks": 1, "hidden": 8, "scales": 2, "judged": 1} | changes).build(A, B)


def batches(n=3):
    return tuple(Batch(2 * torch.rand(n, *spec.shape) - 1) for spec in (A, B))


def turns(model, pair):
    torch.manual_seed(5)
    return dict(model.turns(iter([pair])))


def drawn(pair):
    """The styles that `turns` draws: first those to b, then those to a."""
    torch.manual_seed(5)
    return {to: torch.randn(len(pair[0]), 8) for to in "ba"}


@WAYS
def test_the_terms_are_those_of_the_paper(of, to):
    model, pair = munit(cycle=2.0), batches()
    losses, x = turns(model, pair)["generator"], pair["ab".index(of)].image
    content, style = model.content_encoder[of](x), model.style_encoder[of](x)
    s = drawn(pair)[to]
    made = model.decoder[to](content, s, size(x))
    again = model.content_encoder[to](made)
    back = model.decoder[of](again, style, size(x))
    wanted = {
        f"adversarial {to}": sum((out - 1).square().mean() for out in model.discriminator[to](made)),
        f"image {of}": 10 * (model.decoder[of](content, style, size(x)) - x).abs().mean(),
        f"content {of}": (again - content).abs().mean(),
        f"style {to}": (model.style_encoder[to](made) - s).abs().mean(),
        f"cycle {of}": 2 * (back - x).abs().mean(),
    }
    torch.testing.assert_close({name: losses[name] for name in wanted}, wanted)
    assert len(losses) == 10
    assert len(turns(munit(), pair)["generator"]) == 8  # without a cycle, as the paper's total (eq. 5)


@WAYS
def test_discriminators_judge_by_squares_at_every_size(of, to):
    model, pair = munit(), batches()
    losses, x = turns(model, pair)["discriminator"], {k: batch.image for k, batch in zip("ab", pair, strict=True)}
    made = model.restyle(x[of], to, drawn(pair)[to])
    real, fake = (model.discriminator[to](image) for image in (x[to], made))
    assert [tuple(out.shape[2:]) for out in real] == [(6, 5), (3, 3)]
    torch.testing.assert_close(losses[f"real {to}"], sum((out - 1).square().mean() for out in real))
    torch.testing.assert_close(losses[f"fake {to}"], sum(out.square().mean() for out in fake))


def test_what_squares_cost_by_hand():
    outputs = [torch.tensor([0.0, 2.0]), torch.tensor([4.0])]
    assert summed(lambda x: (0.5 * x.square()).mean(), outputs) == 2 + 16
    assert missed(torch.tensor([1.0, -3.0]), torch.zeros(2)) == 2


def test_the_content_encoder_does_not_see_contrast_or_brightness_and_the_style_encoder_does():
    model, (a, _) = munit(), batches()
    first = model.content_encoder["a"][0]
    nn.init.zeros_(first.weight[:, :, 0])
    changed = 0.5 * a.image + 0.3
    with torch.no_grad():
        for layer in model.content_encoder["a"]:
            if isinstance(layer, nn.GroupNorm):
                layer.eps = 1e-12
        torch.testing.assert_close(
            model.content_encoder["a"](a.image), model.content_encoder["a"](changed), atol=1e-4, rtol=1e-4
        )
        assert missed(model.style(a.image, "a"), model.style(changed, "a")) > 1e-3
    norms = [m for m in model.style_encoder.modules() if isinstance(m, nn.GroupNorm | nn.BatchNorm2d)]
    assert not norms


def test_style_enters_by_adaptive_norms_alone_and_what_is_above_is_normalised_by_layer():
    decoder = munit(blocks=2).decoder["b"]
    assert len([m for m in decoder.modules() if isinstance(m, AdaIN)]) == 4
    assert [m.num_groups for m in decoder.up.modules() if isinstance(m, nn.GroupNorm)] == [1, 1]
    norm = AdaIN(2, 3)
    with torch.no_grad():
        norm.affine.weight.zero_()
        norm.affine.bias.copy_(torch.tensor([1.0, 0, 0, 5, 0, 0]))
    x = torch.randn(1, 3, 4, 4)
    out = norm(x, torch.zeros(1, 2))
    plain = (x - x.mean((2, 3), keepdim=True)) / (x.var((2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(out[:, 0], 2 * plain[:, 0] + 5)
    torch.testing.assert_close(out[:, 1:], plain[:, 1:])


def test_each_player_learns_from_its_own_turn():
    model, pair = munit(), batches()
    played, players = turns(model, pair), model.players()
    makers = set(map(id, players["generator"].parameters()))
    judges = set(map(id, players["discriminator"].parameters()))
    assert makers.isdisjoint(judges)
    assert makers | judges == set(map(id, model.parameters()))
    judged = sum(played["discriminator"].values())
    reached = torch.autograd.grad(judged, players["generator"].parameters(), allow_unused=True)
    assert reached == (None,) * len(reached)


def test_translations_are_made_once_and_judged_twice():
    model, seen = munit(), []
    for name in ("content_encoder", "style_encoder", "decoder", "discriminator"):
        for net in getattr(model, name).values():
            net.register_forward_hook(lambda *_, name=name: seen.append(name))
    list(model.turns(iter([batches()])))
    assert {name: seen.count(name) for name in seen} == {
        "content_encoder": 4,  # each of a real image and a translation
        "style_encoder": 4,
        "decoder": 4,  # a translation and a reconstruction
        "discriminator": 6,  # real and made, and made again after its update
    }


def test_generators_answer_the_discriminator_as_it_is_after_its_update():
    model, pair, found = munit(), batches(), []
    for change in (0.0, 1.0):
        torch.manual_seed(5)
        game = model.turns(iter([pair]))
        next(game)
        with torch.no_grad():
            model.discriminator["b"].nets[0].head[1].bias.add_(change)
        found.append(next(game).losses["adversarial b"])
    assert found[0] != found[1]


def test_the_style_of_noise_is_a_constant_and_content_is_not():
    """Gradients of the style term reach the decoder through the translation, as they reach the style's encoder."""
    model, pair = munit(), batches()
    losses = turns(model, pair)["generator"]
    for term, nets in (
        ("style b", (model.style_encoder["b"], model.decoder["b"], model.content_encoder["a"])),
        ("content a", (model.content_encoder["a"], model.decoder["b"], model.content_encoder["b"])),
    ):
        for net in nets:
            gradient = torch.autograd.grad(losses[term], [*net.parameters()], allow_unused=True, retain_graph=True)
            assert any(g is not None and g.abs().sum() > 0 for g in gradient), term
    stranger = torch.autograd.grad(
        losses["style b"], [*model.style_encoder["a"].parameters()], allow_unused=True, retain_graph=True
    )
    assert stranger == (None,) * len(stranger)


@pytest.mark.parametrize(("option", "term"), [("content", "content a"), ("styles", "style b"), ("rebuild", "image a")])
def test_weights_of_0_take_their_term_away(option, term):
    assert turns(munit(**{option: 0.0}), batches())["generator"][term] == 0
    assert turns(munit(), batches())["generator"][term] > 0


def test_styles_come_from_noise_or_from_an_example():
    model, (a, b) = munit().eval(), batches()
    assert isinstance(model, Styles)
    example = model.style(b.image, "b")
    assert example.shape == model.draw_style(3, "b").shape == (3, 8)
    torch.testing.assert_close(
        model.restyle(a.image, "b", example), model.decoder["b"](model.content_encoder["a"](a.image), example, (12, 10))
    )
    assert not torch.equal(model.translate(a.image, "b"), model.translate(a.image, "b"))
    noise = model.draw_style(20_000, "b")
    assert noise.mean().abs() < 0.02
    assert (noise.std() - 1).abs() < 0.02


def test_the_learning_rate_is_halved_again_and_again():
    for player in munit().players().values():
        assert [player.schedule(t) for t in (0, 0.09, 0.1, 0.3, 0.95)] == [1, 1, 0.5, 0.125, 0.5**9]
        assert (player.lr, player.settings) == (1e-4, {"betas": (0.5, 0.999), "weight_decay": 1e-4})
    assert munit(halve=1.0).players()["generator"].schedule(0.99) == 1


def test_weights_at_first():
    model = munit(features=32)
    assert model.discriminator["b"].nets[0].layers[1][0][1].weight.std().item() == pytest.approx(0.02, rel=0.05)
    weight = model.content_encoder["a"][-1].first.weight
    assert weight.std().item() == pytest.approx((2 / weight[0].numel()) ** 0.5, rel=0.05)


@pytest.mark.parametrize("shape", [(8, 8), (7, 13), (33, 20), (2, 1)])
def test_any_image_size(shape):
    model = munit().eval()
    x = torch.rand(2, 1, *shape)
    assert model.translate(x, "b").shape == (2, 3, *shape)
    assert model.translate(model.translate(x, "b"), "a").shape == x.shape
    pair = Batch(x), Batch(torch.rand(2, 3, *shape))
    assert all(turn.total.isfinite() for turn in model.turns(iter([pair])))


def test_domains_of_other_sizes_are_refused():
    with pytest.raises(DataError, match="--size"):
        MUNIT(features=4).build(A, Spec(3, 10, 12))


@pytest.mark.parametrize(
    ("options", "word"), [({"style_size": 0}, "style_size"), ({"halve": 1.5}, "part"), ({"content": -1.0}, "negative")]
)
def test_what_makes_no_sense_is_refused(options, word):
    with pytest.raises(ConfigError, match=word):
        MUNIT(**options)
