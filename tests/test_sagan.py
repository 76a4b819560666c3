"""What makes it the self-attention GAN: attention, spectral norm in both networks, classes by norm and projection."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from isthmus.core import Batch, Spec
from isthmus.data import worlds
from isthmus.data.images import to_unit
from isthmus.errors import ConfigError, DataError
from isthmus.experiments.sagan import colours
from isthmus.models.gans.sagan import SAGAN, ConditionalBatchNorm, LocalBlock, largest
from isthmus.nn.attention import SelfAttention
from isthmus.nn.residual import Pool

CLASSES = ("a", "b", "c")
SPEC = Spec(3, 16, 12, CLASSES)
SMALL = {"latent": 5, "features": 8, "largest": 8}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def sagan(spec=SPEC, **changes):
    return SAGAN(**SMALL | changes).build(spec)


def batches(n=6, spec=SPEC):
    while True:
        yield Batch(2 * torch.rand(n, *spec.shape) - 1, torch.arange(n) % len(spec.classes))


def turns(model):
    """Both, and the batch, the classes asked for and the images made that they are of."""
    torch.manual_seed(5)
    game = list(model.turns(batches()))
    torch.manual_seed(5)
    batch = next(batches())
    asked = torch.randint(len(CLASSES), (len(batch),))
    return game, batch, asked, model.sample(len(batch), asked)


def module(model, kind):
    return {net: [m for m in model.get_submodule(net).modules() if isinstance(m, kind)] for net in model.players()}


# --- the game


def test_the_losses_are_hinges():
    model = sagan().eval()
    (first, second), batch, asked, made = turns(model)
    truth, forgery = model.discriminator(batch.image, batch.label), model.discriminator(made, asked)
    torch.testing.assert_close(first.losses["real"], (1 - truth).clamp(min=0).mean())
    torch.testing.assert_close(first.losses["fake"], (1 + forgery).clamp(min=0).mean())
    torch.testing.assert_close(second.losses["adversarial"], -forgery.mean())
    assert [first.player, second.player] == ["discriminator", "generator"]


def test_images_are_made_once_and_the_discriminators_turn_does_not_reach_the_generator():
    model, forwards = sagan(), []
    model.generator.register_forward_hook(lambda *_: forwards.append(1))
    game = model.turns(batches())
    with pytest.raises(RuntimeError, match="unused"):
        torch.autograd.grad(next(game).total, list(model.generator.parameters()))
    gradients = torch.autograd.grad(next(game).total, list(model.generator.parameters()))
    assert all(g.isfinite().all() for g in gradients)
    assert len(forwards) == 1


def test_each_player_learns_at_a_rate_of_its_own_once_a_round():
    players = SAGAN(features=4).build(SPEC).players()
    assert {name: (p.optimizer, p.lr, p.settings["betas"]) for name, p in players.items()} == {
        "discriminator": ("Adam", 4e-4, (0.0, 0.9)),
        "generator": ("Adam", 1e-4, (0.0, 0.9)),
    }
    assert [turn.player for turn in sagan().turns(batches())] == ["discriminator", "generator"]


# --- the class


def test_the_discriminator_sees_the_class_by_projection():
    """D(x, y) = head(phi(x)) + e_y . phi(x), with phi a sum over 16 places, or what that would be."""
    model = sagan().eval()
    x, label = next(batches()).image, torch.tensor([0, 1, 2, 2, 1, 0])
    features = 16 * model.discriminator.features(x)
    expected = model.discriminator.head(features)[:, 0] + (model.discriminator.projection.weight[label] * features).sum(
        1
    )
    torch.testing.assert_close(model.discriminator(x, label)[:, 0], expected)
    assert isinstance(model.discriminator.features[-1], Pool)
    assert model.discriminator.features[-1].mean
    assert not torch.allclose(model.discriminator(x, label), model.discriminator(x, label.roll(1)))


def test_the_generator_sees_the_class_in_every_block_by_the_gain_and_bias_of_its_norms():
    model = sagan()
    assert len(module(model, ConditionalBatchNorm)["generator"]) == 2 * 2  # of two blocks
    assert not module(model, ConditionalBatchNorm)["discriminator"]
    label, z = torch.tensor([0, 1, 2]), torch.randn(3, 5)
    model.eval()
    assert torch.equal(model.generator(z, label), model.generator(z, label.roll(1)))  # at first all are alike
    with torch.no_grad():
        for norm in module(model, ConditionalBatchNorm)["generator"]:
            norm.gain[1] += torch.randn_like(norm.gain[1])
    changed = (model.generator(z, label) != model.generator(z, torch.zeros_like(label))).flatten(1).any(1)
    assert changed.tolist() == [False, True, False]


def test_a_conditional_norm_is_a_batch_norm_of_all_with_the_gain_and_bias_of_each():
    norm, x, label = ConditionalBatchNorm(4, 3), 3 * torch.randn(6, 4, 5, 2) + 1, torch.tensor([0, 1, 2, 0, 1, 2])
    torch.testing.assert_close(norm(x, label), F.batch_norm(x, None, None, training=True))
    with torch.no_grad():
        norm.gain.copy_(torch.randn(3, 4))
        norm.bias.copy_(torch.randn(3, 4))
    normal = (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    for image, own, y in zip(norm(x, label), normal, label, strict=True):
        torch.testing.assert_close(image, norm.gain[y][:, None, None] * own + norm.bias[y][:, None, None])


def test_a_code_is_noise_and_the_class_whose_number_is_largest():
    model = sagan().eval()
    assert model.code_size == 5 + 3
    torch.manual_seed(3)
    code = torch.randn(40, 8)
    torch.manual_seed(3)
    drawn = model.sample(40)
    torch.testing.assert_close(drawn, model.decode(code))
    torch.testing.assert_close(drawn, model.generator(code[:, :5], code[:, 5:].argmax(1)))
    torch.manual_seed(3)
    label = torch.full((40,), 2)
    torch.testing.assert_close(model.sample(40, label, 0.5), model.generator(0.5 * code[:, :5], label))


def test_classes_are_drawn_where_none_is_asked_for():
    model, seen = sagan(), []
    model.generator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    model.sample(60)
    model.sample(2, torch.tensor([2, 0]))
    assert set(seen[0].tolist()) == {0, 1, 2}
    assert seen[1].tolist() == [2, 0]
    with pytest.raises(DataError, match="learns from classes"):
        SAGAN().build(Spec(1, 8, 8))


# --- the networks


def test_both_networks_are_spectrally_normalised_and_classes_in_the_generator_are_not():
    model = sagan()
    for layers in module(model, (nn.Linear, nn.Conv2d, nn.Embedding)).values():
        assert all(is_parametrized(layer) for layer in layers)
        for layer in layers:
            for _ in range(60):
                layer.weight  # noqa: B018  (each look is a power iteration)
            assert torch.linalg.svdvals(layer.weight.flatten(1))[0].item() == pytest.approx(1, abs=0.05)
    assert not any(is_parametrized(norm) for norm in module(model, ConditionalBatchNorm)["generator"])


def test_what_the_generator_draws_begins_with_the_noise_alone():
    assert not sagan().generator.start(torch.zeros(2, SAGAN(**SMALL).latent)).any()


def test_the_networks_are_those_of_the_paper_at_its_size():
    """At 128x128 the generator's blocks have 16, 8, 4, 2 and 1 times the maps, the discriminator's 1 to 16, and 16."""
    model, seen = SAGAN(features=1, latent=2).build(Spec(3, 128, 128, CLASSES)).eval(), []
    for layers in module(model, SelfAttention).values():
        (layer,) = layers
        layer.register_forward_hook(lambda _, inputs, out: seen.append(tuple(inputs[0].shape[1:])))
    made = model.sample(1)
    model.discriminator(made, torch.tensor([0]))
    assert seen == [(4, 32, 32), (2, 32, 32)]
    assert [layer.second.out_channels for layer in model.generator.layers if not isinstance(layer, SelfAttention)] == [
        16,
        8,
        4,
        2,
        1,
    ]
    assert model.generator.start[1].unflattened_size == (16, 4, 4)
    down = [m for m in model.discriminator.features if not isinstance(m, SelfAttention | Pool)]
    assert [block.body[-1].out_channels for block in down] == [1, 2, 4, 8, 16, 16]
    assert [isinstance(block.pool, nn.AvgPool2d) for block in down] == [True] * 5 + [False]


def test_attention_stands_where_maps_are_largest_that_are_small_enough():
    growing = [(4, 3), (8, 6), (16, 12)]
    assert [largest(growing, most) for most in (3, 4, 8, 15, 16, 99)] == [0, 0, 1, 1, 2, 2]
    assert [largest(growing[::-1], most) for most in (3, 4, 8, 15, 16, 99)] == [2, 2, 1, 1, 0, 0]
    for most in (1, 4, 8, 16, 99):
        model = sagan(largest=most)
        assert model.sample(2).shape == (2, *SPEC.shape)
        assert {len(layers) for layers in module(model, SelfAttention).values()} == {1}


@pytest.mark.parametrize("block", ["attention", "residual", "none"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 13), (1, 1, 1), (4, 20, 33)])
def test_any_image_size(block, shape):
    spec = Spec(*shape, CLASSES)
    model = sagan(spec, block=block)
    made = model.sample(3)
    assert made.shape == (3, *shape)
    assert model.discriminator(made, torch.tensor([0, 1, 2])).shape == (3, 1)


def interaction(distance, **changes):
    """How much the change of a pixel in a 32x32 image matters to what another's does, so many rows and columns away."""
    model = sagan(Spec(3, 32, 32, CLASSES), smallest=16, largest=16, **changes).eval().double()
    for layer in module(model, SelfAttention | LocalBlock)["discriminator"]:
        layer.gain.data.fill_(2.0)
    first, second = torch.zeros(2, 40, 3, 32, 32, dtype=torch.float64)
    first[:, :, 6, 6], second[:, :, 6 + distance, 6 + distance] = 3 * torch.randn(2, 40, 3, dtype=torch.float64)
    x, label = torch.randn_like(first), torch.zeros(40, dtype=torch.long)
    both, one, other, none = (model.discriminator(x + d, label) for d in (first + second, first, second, 0 * first))
    return (both - one - other + none).abs().max().item()


@pytest.mark.parametrize(("block", "far"), [("attention", True), ("none", False), ("residual", False)])
def test_only_with_attention_the_discriminator_sees_what_is_far_apart_together(block, far):
    """Two pixels that no convolution sees together are judged each by itself, if there is nothing but convolutions."""
    assert interaction(8, block=block) > 1e-6
    assert (interaction(19, block=block) > 1e-6) == far  # nearer than the shapes of the experiment are


@pytest.mark.parametrize("channels", [8, 16, 64, 256])
def test_the_ablation_has_no_fewer_parameters(channels):
    ours, theirs = (sum(p.numel() for p in kind(channels).parameters()) for kind in (LocalBlock, SelfAttention))
    assert theirs <= ours <= theirs + 10 * channels
    x = torch.randn(1, channels, 4, 4)
    assert torch.equal(LocalBlock(channels)(x), x)


@pytest.mark.parametrize("name", ["latent", "features", "largest", "smallest", "lr", "discriminator_lr"])
def test_what_makes_no_sense_is_refused(name):
    with pytest.raises(ConfigError, match=f"^{name} must be positive, got 0"):
        SAGAN(**{name: 0})


# --- the pictures


def test_the_shapes_of_a_picture_have_one_colour_and_stand_far_apart():
    pictures = np.zeros((600, 28, 28), np.uint8)
    pictures[:, 9:19, 9:19] = 200
    shown = to_unit(torch.from_numpy(worlds.twins(pictures, seed=0)).movedim(3, 1))
    left, right = colours(shown).T
    assert torch.equal(left, right)
    assert left.bincount(minlength=4).min() > 100
    assert (shown[..., 8:-8] == -1).all()


def test_colours_that_differ_or_are_missing_are_seen():
    image = torch.full((4, 3, 8, 36), -1.0)
    image[:3, 0, 2:7, 2:7] = image[0, 0, 2:7, -7:-2] = 0.8  # red, and at the right red, blue and nothing
    image[1, 2, 2:7, -7:-2] = 0.8
    red, blue = (worlds.TWIN_COLOURS.index(worlds.FILLINGS[name]) for name in ("red", "blue"))
    expected = [[red, red], [red, blue], [red, -1], [-1, -1]]
    assert colours(image).tolist() == expected
    assert colours((image + 0.1 * torch.randn_like(image)).clamp(-1, 1))[:2].tolist() == expected[:2]
