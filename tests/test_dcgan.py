"""What makes the deep convolutional GAN that model and not its neighbour."""

import pytest
import torch
from torch import nn

from isthmus.core import Batch, Spec
from isthmus.errors import ConfigError, DataError
from isthmus.losses.adversarial import fake, real
from isthmus.models.gans.dcgan import DCGAN
from isthmus.nn.labels import one_hot
from isthmus.nn.noise import uniform

SPEC = Spec(1, 16, 14, ("a", "b", "c"))


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def dcgan(spec=SPEC, **changes):
    return DCGAN(**{"latent": 5, "features": 2} | changes).build(spec).train()


def batch(n=6, spec=SPEC):
    labels = torch.arange(n) % len(spec.classes) if spec.classes else None
    return Batch(2 * torch.rand(n, *spec.shape) - 1, labels)


def layers(net, kind):
    return [m for m in net.modules() if isinstance(m, kind)]


def test_networks_are_strided_without_pooling_or_hidden_linear_layers():
    model = dcgan(Spec(3, 64, 64), features=4)
    up, down = layers(model.generator, nn.ConvTranspose2d), layers(model.discriminator, nn.Conv2d)
    assert [c.out_channels for c in up] == [16, 8, 4, 3]
    assert [c.out_channels for c in down] == [4, 8, 16, 32]
    assert all(c.stride == (2, 2) and c.kernel_size == (4, 4) for c in up + down)
    assert len(layers(model.generator, nn.Linear)) == 1  # the noise, made a map
    assert len(layers(model.discriminator, nn.Linear)) == 1  # the output
    assert not layers(model, nn.MaxPool2d | nn.AvgPool2d | nn.Upsample)


def test_normalised_everywhere_but_at_the_generators_output_and_the_discriminators_input():
    model = dcgan(Spec(3, 64, 64), features=4)
    kinds = (nn.Linear, nn.ConvTranspose2d, nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.LeakyReLU, nn.Tanh)
    names = {net: [type(m) for m in layers(model.get_submodule(net), kinds)] for net in ("generator", "discriminator")}
    block = [nn.BatchNorm2d, nn.ReLU, nn.ConvTranspose2d]
    assert names["generator"] == [nn.Linear, *block * 4, nn.Tanh]
    block = [nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU]
    assert names["discriminator"] == [nn.Conv2d, nn.LeakyReLU, *block * 3, nn.Linear]
    assert {m.negative_slope for m in layers(model.discriminator, nn.LeakyReLU)} == {0.2}
    assert not layers(dcgan(generator_norm="none").generator, nn.BatchNorm2d)


def test_weights_are_small_gains_near_1_and_biases_0():
    model = dcgan(Spec(3, 32, 32), features=32, latent=100)
    for layer in layers(model, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        assert layer.weight.mean().abs() < 0.005
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)
        assert layer.bias is None or not layer.bias.any()
    for norm in layers(model, nn.BatchNorm2d):
        assert norm.weight.mean().item() == pytest.approx(1, abs=0.02)
        assert norm.weight.std().item() == pytest.approx(0.02, rel=0.5)
        assert not norm.bias.any()


def test_players_are_adam_with_a_first_beta_of_a_half():
    for player in dcgan().players().values():
        assert (player.optimizer, player.lr, player.settings) == ("Adam", 2e-4, {"betas": (0.5, 0.999)})


def test_the_rate_falls_linearly_once_it_is_no_longer_constant():
    for player in dcgan(constant=0.5).players().values():
        assert player.schedule is not None
        assert [player.schedule(done) for done in (0.0, 0.5, 0.75, 1.0)] == [1.0, 1.0, 0.5, 0.0]
    for player in dcgan().players().values():
        assert player.schedule is not None
        assert [player.schedule(done) for done in (0.0, 1.0)] == [1.0, 1.0]
    with pytest.raises(ConfigError, match="constant is a part of the training, from 0 to 1, got 2"):
        DCGAN(constant=2)


def test_the_noise_is_uniform():
    z = dcgan().noise(20_000)
    assert -1 <= z.min() < -0.99
    assert 0.99 < z.max() <= 1
    assert z.mean().item() == pytest.approx(0, abs=0.01)
    assert z.var().item() == pytest.approx(1 / 3, abs=0.01)
    assert z.pow(4).mean().item() == pytest.approx(1 / 5, abs=0.01)
    assert not dcgan().noise(3, temperature=0.0).any()


def test_real_and_generated_images_are_normalised_apart():
    """Each batch by its own statistics: were they one batch, the means of each would tell them apart."""
    model, seen = dcgan(), []
    norm = layers(model.discriminator, nn.BatchNorm2d)[0]
    norm.register_forward_hook(lambda module, inputs, out: seen.append(out.mean((0, 2, 3)) - module.bias))
    list(model.turns(iter([batch()])))
    assert len(seen) == 3
    for mean in seen:
        torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-4)


@pytest.mark.parametrize("conditional", [False, True])
def test_both_players_see_the_same_images_of_the_same_classes(conditional):
    model, data = dcgan(conditional=conditional), batch()
    model.eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(10)  # so that outputs differ
    torch.manual_seed(3)
    first, second = model.turns(iter([data]))
    torch.manual_seed(3)
    made = model.sample(6, data.label)
    given = (nn.functional.one_hot(data.label).float(),) if conditional else ()
    truth, forgery = model.discriminator(data.image, *given), model.discriminator(made, *given)
    torch.testing.assert_close(first.losses["real"], real(truth))
    torch.testing.assert_close(first.losses["fake"], fake(forgery))
    torch.testing.assert_close(second.losses["adversarial"], real(forgery))
    assert forgery.std() > 0.01
    with pytest.raises(RuntimeError, match="unused"):
        torch.autograd.grad(first.total, list(model.generator.parameters()))


def test_every_layer_sees_the_class():
    model = dcgan(conditional=True).eval()
    plain, classes = dcgan(), len(SPEC.classes)
    for net in ("generator", "discriminator"):
        kinds = nn.Linear | nn.Conv2d | nn.ConvTranspose2d
        pairs = zip(*(layers(m.get_submodule(net), kinds) for m in (model, plain)), strict=True)
        for ours, theirs in pairs:
            sizes = ("in_features",) if isinstance(ours, nn.Linear) else ("in_channels",)
            assert getattr(ours, sizes[0]) == getattr(theirs, sizes[0]) + classes
    z, y = torch.zeros(3, 5), torch.eye(3)
    images = model.generator(z, y)
    outputs = model.discriminator(batch(1).image.expand(3, -1, -1, -1), y)
    assert len(images.flatten(1).unique(dim=0)) == len(outputs.unique(dim=0)) == 3


def test_a_class_can_be_asked_for_or_is_drawn():
    model = dcgan(conditional=True).eval()
    asked = []
    model.generator.register_forward_pre_hook(lambda module, inputs: asked.append(inputs[1].argmax(1)))
    model.sample(4, torch.tensor([2, 0, 1, 1]))
    model.sample(3000)
    assert asked[0].tolist() == [2, 0, 1, 1]
    assert (asked[1].bincount() / 3000 - 1 / 3).abs().max() < 0.05


def test_a_code_is_noise_and_class():
    model = dcgan(conditional=True).eval()
    code = torch.randn(4, model.code_size)
    z, y = code.split([5, 3], dim=1)
    torch.testing.assert_close(model.decode(code), model.generator(uniform(z), one_hot(y.argmax(1), 3)))
    assert dcgan().code_size == 5


def test_features_are_the_largest_activations_of_all_layers():
    """Maps of 8x8 or more are seen in 4x4 parts: a map's largest activation is among its features."""
    model, x = dcgan(Spec(1, 32, 32)).eval(), batch(3, Spec(1, 32, 32)).image
    seen = []
    for layer in layers(model.discriminator, nn.LeakyReLU):
        layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    features = model.describe(x)
    parts = features.split([16 * maps.shape[1] for maps in seen], dim=1)
    assert [maps.shape[1] for maps in seen] == [2, 4, 8]
    for maps, part in zip(seen, parts, strict=True):
        torch.testing.assert_close(part.unflatten(1, (-1, 16)).amax(2), maps.amax((2, 3)))
    assert dcgan(conditional=True).eval().describe(batch().image).shape[0] == 6


def test_without_classes_there_is_nothing_to_condition_on():
    with pytest.raises(DataError, match="class folders"):
        dcgan(Spec(1, 8, 8), conditional=True)
    assert dcgan(Spec(1, 8, 8)).sample(2).shape == (2, 1, 8, 8)


@pytest.mark.parametrize("option", ["latent", "features", "lr"])
def test_options_that_make_no_sense_are_refused(option):
    with pytest.raises(ConfigError, match=option):
        DCGAN(**{option: 0})
