"""What makes a FUNIT: a class is the mean code of its examples, and the discriminator is asked about that class."""

import numpy as np
import pytest
import torch
from torch import nn

from isthmus.apps.trained import Trained
from isthmus.core import Batch, Spec, Styles
from isthmus.errors import ConfigError, DataError
from isthmus.models.translation.funit import FUNIT, Discriminator
from isthmus.nn.style import AdaIN
from isthmus.nn.translators import size

SPEC = Spec(3, 12, 10, ("cat", "dog", "fox"), "animals")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def funit(spec=SPEC, **changes):
    small = {"features": 4, "blocks": 1, "hidden": 8, "style_size": 5, "halved": 2, "judged": 2}
    return FUNIT(**small | changes).build(spec)


def batch(spec=SPEC, n=4):
    return Batch(2 * torch.rand(n, *spec.shape) - 1, torch.arange(n) % len(spec.classes))


def play(model, given):
    torch.manual_seed(5)
    return dict(model.turns(iter([given])))


def order(n=4):
    """Which example `turns` gives to each image."""
    torch.manual_seed(5)
    found, places = torch.empty(n, dtype=torch.long), torch.rand(n).argsort().tolist()
    for i, place in enumerate(places):
        found[place] = places[i - 1]
    return found


def made_by(model, given):
    """Reconstructions, translations, and their classes."""
    content, codes = model.content_encoder(given.image), model.class_encoder(given.image)
    rebuilt, translated = (model.decoder(content, code, size(given.image)) for code in (codes, codes[order()]))
    return rebuilt, translated, given.label[order()]


def test_losses_by_hand():
    model, given = funit(reconstruction=2.0, matching=3.0), batch()
    losses, x, net = play(model, given)["generator"], given.image, model.discriminator
    rebuilt, translated, wanted = made_by(model, given)
    own, same = net(rebuilt, given.label)
    asked, shown = net(translated, wanted)
    _, real = net(x, given.label)
    hand = {
        "adversarial": -(own.mean() + asked.mean()) / 2,
        "reconstruction": 2 * (rebuilt - x).abs().mean(),
        "matching": 3 * ((same - real).abs().mean() + (shown - real[order()]).abs().mean()),
    }
    torch.testing.assert_close(dict(losses), hand)


def test_what_the_discriminator_learns_by_hand():
    model, given = funit(penalty=10.0), batch()
    losses, net = play(model, given)["discriminator"], model.discriminator
    _, translated, wanted = made_by(model, given)
    image = given.image.clone().requires_grad_()
    real, fake = net(image, given.label)[0], net(translated, wanted)[0]
    slopes = [torch.autograd.grad(out.mean(), image, retain_graph=True)[0][i] for i, out in enumerate(real)]
    hand = {
        "real": (1 - real).clamp(min=0).mean(),
        "fake": (1 + fake).clamp(min=0).mean(),
        "penalty": 10 / 2 * torch.stack([slope.square().sum() for slope in slopes]).mean(),
    }
    torch.testing.assert_close(dict(losses), hand)


def test_only_the_outputs_of_the_images_class_are_asked():
    net = Discriminator(3, 4, 1, classes=3)
    outputs, features = net(torch.rand(2, 3, 12, 10), torch.tensor([2, 2]))
    assert outputs.shape == (2, 6, 5)
    assert features.shape == (2, 16)
    (slope,) = torch.autograd.grad(outputs.sum(), net.head[1].weight)
    assert slope.flatten(1).any(1).tolist() == [False, False, True]


@pytest.mark.parametrize("n", [2, 3, 16])
def test_each_image_is_the_example_of_one_other(n):
    spec = Spec(1, 4, 4, tuple(map(str, range(n))))
    model, given, asked = funit(spec), batch(spec, n), []
    model.discriminator.register_forward_hook(lambda _, inputs, out: asked.append(inputs[1]))
    for seed in range(20):
        torch.manual_seed(seed)
        dict(model.turns(iter([given])))
    for wanted in asked[1::4]:  # of translations
        assert sorted(wanted.tolist()) == list(range(n))
        assert (wanted != given.label).all()


def test_a_translation_is_asked_about_its_examples_class():
    model, given = funit(), batch()
    asked = []
    model.discriminator.register_forward_hook(lambda _, inputs, out: asked.append(inputs[1]))
    play(model, given)
    wanted = given.label[order()]
    real, fake, made, matched = asked
    assert torch.equal(real, given.label)
    assert torch.equal(fake, wanted)
    assert torch.equal(made, torch.cat([given.label, wanted]))
    assert torch.equal(matched, given.label)


def test_without_classes_the_discriminator_has_one_output_for_all():
    model, given = funit(conditional=False), batch()
    assert model.discriminator.head[1].out_channels == 1
    image = given.image
    assert torch.equal(model.judge(image, given.label)[0], model.judge(image, given.label.flip(0))[0])
    assert all(total.isfinite() for losses in play(model, given).values() for total in losses.values())


def test_the_discriminator_has_ten_residual_blocks_and_1024_maps_at_last():
    with torch.device("meta"):
        model = FUNIT().build(Spec(3, 128, 128, tuple(map(str, range(119)))))
    widths = [layer.out_channels for layer in convolutions(model.discriminator.trunk) if layer.kernel_size == (3, 3)]
    assert widths == [64, 64, 64, 128, 128, 128, 128, 256, 256, 256, 256, 512, 512, 512, 512, 1024] + [1024] * 4
    assert model.discriminator.head[1].weight.shape == (119, 1024, 1, 1)
    assert [m.out_channels for m in model.class_encoder.modules() if isinstance(m, nn.Conv2d)] == [
        64,
        128,
        256,
        256,
        256,
    ]
    assert model.content_encoder[-1].first.out_channels == 512


def convolutions(net):
    return [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]


def test_each_player_learns_from_its_own_turn():
    model, given = funit(), batch()
    played, players = play(model, given), model.players()
    makers = [*model.content_encoder.parameters(), *model.class_encoder.parameters(), *model.decoder.parameters()]
    assert {*map(id, players["generator"].parameters())} == {*map(id, makers)}
    reached = torch.autograd.grad(sum(played["discriminator"].values()), makers, allow_unused=True)
    assert reached == (None,) * len(reached)


def test_the_features_of_real_images_are_a_constant():
    model, given = funit(), batch()
    matching, net = play(model, given)["generator"]["matching"], model.discriminator
    rebuilt, translated, wanted = made_by(model, given)
    real = net(given.image, given.label)[1].detach()
    hand = (net(rebuilt, given.label)[1] - real).abs().mean() + (
        net(translated, wanted)[1] - real[order()]
    ).abs().mean()
    parameters = [net.trunk[0].weight]
    torch.testing.assert_close(torch.autograd.grad(matching, parameters), torch.autograd.grad(hand, parameters))


def test_the_generator_answers_the_discriminator_as_it_is_after_its_update():
    model, given, found = funit(), batch(), []
    for change in (0.0, 1.0):
        torch.manual_seed(5)
        game = model.turns(iter([given]))
        next(game)
        with torch.no_grad():
            model.discriminator.head[1].bias.add_(change)
        found.append(next(game).losses["adversarial"])
    torch.testing.assert_close(found[1], found[0] - 1)


def test_images_are_made_once_and_encoded_once():
    model, seen = funit(), []
    for name in ("content_encoder", "class_encoder", "decoder"):
        net = model.get_submodule(name)
        net.register_forward_hook(lambda _, inputs, out, name=name: seen.append((name, len(inputs[0]))))
    play(model, batch())
    assert sorted(seen) == [("class_encoder", 4), ("content_encoder", 4), ("decoder", 8)]


def test_a_class_is_the_mean_of_its_examples_codes_and_need_not_be_known():
    model = funit().eval()
    used = Trained(model, {})
    pictures = np.random.default_rng(0).integers(0, 256, (4, 12, 10, 3), dtype=np.uint8)
    photo, *examples = pictures
    unit = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        mean = model.class_encoder(unit[1:]).mean(0, keepdim=True)
        wanted = model.decoder(model.content_encoder(unit[:1]), mean, (12, 10))[0].permute(1, 2, 0)
    made = used.translate(photo, style=examples)
    assert np.abs(made / 127.5 - 1 - wanted.numpy()).max() < 1.1 / 127.5
    assert not np.array_equal(made, used.translate(photo, style=examples[0]))
    with pytest.raises(ConfigError, match="its domains are example"):
        used.translate(photo, to="dog")


def test_content_is_normalised_the_class_is_not_and_enters_by_adaptive_norms_alone():
    model, x = funit(blocks=2), batch().image
    assert not [m for m in model.class_encoder.modules() if isinstance(m, nn.GroupNorm | nn.BatchNorm2d)]
    assert len([m for m in model.decoder.modules() if isinstance(m, AdaIN)]) == 4
    norms = [m for m in model.decoder.up.modules() if isinstance(m, nn.GroupNorm)]
    assert norms
    assert all(m.num_groups == m.num_channels for m in norms)
    assert (model.style(x, "example") - model.style(0.5 * x + 0.3, "example")).abs().max() > 1e-3
    assert any(isinstance(m, nn.GroupNorm) for m in model.content_encoder.modules())


def test_without_examples_a_class_of_the_training_is_drawn():
    model, given = funit(), batch()
    assert isinstance(model, Styles)
    assert model.targets == ("example",)
    assert model.ends("example") == (SPEC, SPEC)
    play(model, given)
    codes = model.class_encoder(given.image)
    known = torch.stack([(codes[0] + codes[3]) / 2, codes[1], codes[2]])  # by label, and no other has been seen before
    torch.testing.assert_close(model.known.centres, 0.1 * known)
    drawn = model.draw_style(100, "example")
    assert drawn.shape == (100, 5)
    found = {tuple(row) for row in drawn.tolist()}
    assert found == {tuple(row) for row in model.known.centres.tolist()}


def test_rmsprop_and_the_rates_of_the_paper():
    for player in funit().players().values():
        assert (player.optimizer, player.lr, player.settings) == ("RMSprop", 1e-4, {"weight_decay": 1e-4})
        assert player.schedule is None


def test_weights_at_first():
    weight = funit(features=32).decoder.blocks[0].first.weight
    assert weight.std().item() == pytest.approx((2 / weight[0].numel()) ** 0.5, rel=0.05)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 33, 20), (1, 2, 7)])
def test_any_image_size(shape):
    spec = Spec(*shape, ("one", "two"))
    model = funit(spec, halved=3, judged=4)
    given = batch(spec, 2)
    assert all(total.isfinite() for losses in play(model, given).values() for total in losses.values())
    assert model.translate(given.image, "example").shape == (2, *shape)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ConfigError, match="matching"):
        FUNIT(matching=-1.0)
    with pytest.raises(ConfigError, match="halved"):
        FUNIT(halved=0)
    with pytest.raises(DataError, match="classes"):
        funit(Spec(3, 9, 6))
    with pytest.raises(ConfigError, match="batch-size"):
        play(funit(), batch(n=1))
