"""What makes Glow that model: it inverts, and its determinants are right."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Normal

from flow_helpers import trained, true_log_det
from isthmus.core import Batch, Spec
from isthmus.core.operations import path
from isthmus.data.images import Images, to_unit
from isthmus.errors import ConfigError
from isthmus.models.flows.glow import FIRST, Glow
from isthmus.nn import flow

FLOWS = pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((1, 4, 8), {"scales": 2}),
        ((1, 4, 8), {"scales": 2, "coupling": "additive"}),
        ((1, 4, 8), {"scales": 2, "permutation": "lu"}),
        ((1, 4, 8), {"scales": 2, "permutation": "shuffle"}),
        ((3, 2, 4), {"scales": 1, "permutation": "reverse"}),
        ((1, 8, 8), {"scales": 3, "depth": 1}),
        ((3, 6, 2), {"scales": 1, "depth": 3}),
    ],
)
PERMUTATIONS = pytest.mark.parametrize("permutation", ["conv", "lu", "shuffle", "reverse"])


def built(shape=(1, 4, 8), classes=(), **options):
    torch.manual_seed(0)
    return Glow(**{"scales": 2, "depth": 2, "hidden": 5} | options).build(Spec(*shape, classes))


def pictures(n, shape=(1, 4, 8), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (n, *shape), dtype=torch.uint8, generator=generator)


def data(n=40, shape=(1, 4, 8), seed=0):
    """Uneven pictures, so that no channel is standardised by chance."""
    return Images(pictures(n, shape, seed) // 2 + 90, Spec(*shape))


def batches(image, labels=None):
    while True:
        yield Batch(image, labels)


@FLOWS
def test_the_flow_inverts_both_ways(shape, options):
    model = trained(built(shape, **options))
    x = torch.rand(5, *shape) - 0.5
    code, _ = model.flow(x)
    assert code.shape == (5, math.prod(shape))
    assert (model.flow.inverse(code) - x).abs().max() < 1e-4
    code = torch.randn_like(code)
    torch.testing.assert_close(model.flow(model.flow.inverse(code))[0], code, rtol=1e-3, atol=1e-3)


@FLOWS
def test_the_determinant_of_the_flow_is_that_of_its_jacobian(shape, options):
    model = trained(built(shape, **options)).double()
    x = torch.rand(2, *shape, dtype=torch.float64) - 0.5
    log_dets = model.flow(x)[1]
    for i in range(2):
        truth = true_log_det(lambda v: model.flow(v)[0], x[i : i + 1])
        assert log_dets[i].item() == pytest.approx(truth, abs=1e-6)
        assert abs(truth) > 0.001, "the test is empty"


def test_a_step_begins_as_actnorm_and_mixing():
    for permutation in ("conv", "lu", "shuffle", "reverse"):
        step = built(coupling="additive", permutation=permutation).flow.scales[0].layers[:3]
        x = torch.randn(2, 4, 3, 3)
        torch.testing.assert_close(flow.Chain(*step)(x)[0], step[1](x)[0])


def test_codes_hold_what_leaves_at_each_scale():
    model = built((3, 8, 16), scales=3)
    assert model.flow.shapes == [(6, 4, 8), (12, 2, 4), (48, 1, 2)]
    code = torch.randn(2, 3 * 8 * 16)
    assert model.top(code).shape == (2, 48, 1, 2)
    assert torch.equal(model.top(code).flatten(1), code[:, -96:])


def standardised(model, image):
    """Means and deviations of the outputs of every actnorm, by channel."""
    found = []
    norms = [m for m in model.flow.modules() if isinstance(m, flow.ActNorm | flow.ActNormConv)]
    for norm in norms:
        norm.register_forward_hook(
            lambda _, given, out: found.append((out[0] if isinstance(out, tuple) else out).clone())
        )
    with torch.no_grad():
        model.flow(image)
    return [torch.std_mean(x, dim=(0, 2, 3), correction=0) for x in found]


def first_batch(model, images):
    """What `prepare` sees with the seed 3."""
    torch.manual_seed(3)
    return model.dequantised(images.batch(torch.randperm(len(images))[:FIRST]).image)


@PERMUTATIONS
def test_actnorm_begins_by_standardising_the_first_batch(permutation):
    model, images = built((1, 8, 16), permutation=permutation), data(80, (1, 8, 16))
    assert max((deviation - 1).abs().max() for deviation, _ in standardised(model, first_batch(model, images))) > 0.5
    torch.manual_seed(3)
    assert model.prepare(images) == (images,)
    found = standardised(model, first_batch(model, images))
    assert len(found) == 2 * 2 * 3 + 1
    for deviation, mean in found:
        assert mean.abs().max() < 1e-4
        assert (deviation - 1).abs().max() < 1e-3


def test_actnorm_is_initialised_once_and_for_all():
    first, second = built(), built()
    first.prepare(data())
    trained(first)
    second.load_state_dict(first.state_dict())
    second.prepare(data(seed=1))
    for ours, theirs in zip(second.state_dict().values(), first.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    fresh = built()
    fresh.prepare(data(seed=1))
    assert not torch.equal(fresh.flow.scales[0].layers[0].bias, first.flow.scales[0].layers[0].bias)


def test_initialisation_follows_from_the_seed():
    models = []
    for _ in range(2):
        models.append(built())
        torch.manual_seed(5)
        models[-1].prepare(data(100))
    for ours, theirs in zip(*(model.parameters() for model in models), strict=True):
        assert torch.equal(ours, theirs)


@PERMUTATIONS
@pytest.mark.parametrize("coupling", ["affine", "additive"])
def test_images_come_back_from_their_codes(permutation, coupling):
    model = trained(built((3, 8, 4), permutation=permutation, coupling=coupling))
    image = to_unit(pictures(6, (3, 8, 4)))
    code = model.encode(image)
    assert torch.equal(code, model.encode(image))
    assert code.shape == (6, 96)
    assert (model.decode(code) - image).abs().max() < 1e-4


def test_decoding_stays_in_range_and_a_path_is_one_of_images():
    model = trained(built())
    assert model.decode(50 * torch.randn(4, 32)).abs().max() <= 1
    image = to_unit(pictures(2))
    between = model.decode(path(model.encode(image), 5))
    assert between.shape == (5, 1, 4, 8)
    torch.testing.assert_close(between[[0, -1]], image, rtol=0, atol=1e-4)


def test_noise_stays_within_its_level_in_training_and_in_use():
    image = torch.arange(256.0).view(1, 1, 16, 16) / 127.5 - 1
    for bits in (8, 5, 1):
        model = built((1, 16, 16), bits=bits).eval()
        values = (model.dequantised(image) + 0.5) * 2**bits
        assert torch.equal(values.floor().flatten(), (torch.arange(256) // 2 ** (8 - bits)).float())
        assert 0.3 < (values - values.floor()).mean() < 0.7
        assert not torch.equal(model.log_prob(image), model.log_prob(image))
        assert model.levels == 2**bits


def test_fewer_bits_keep_black_white_and_what_they_keep():
    model = built((1, 16, 16), bits=5, depth=1)
    image = torch.arange(256.0).view(1, 1, 16, 16) / 127.5 - 1
    reduced = model.decode(model.encode(image))
    assert len(reduced.mul(1000).round().unique()) == 32
    assert reduced.min().item() == pytest.approx(-1, abs=1e-5)
    assert reduced.max().item() == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(model.decode(model.encode(reduced)), reduced, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("bits", "permutation"), [(8, "shuffle"), (8, "conv"), (5, "lu")])
def test_bits_of_a_flow_that_is_known(bits, permutation):
    """A flow that only rotates gives N(0, I) around the middle grey: all is known but the draw of the noise."""
    model = built((1, 32, 32), coupling="additive", permutation=permutation, bits=bits)
    image = to_unit(pictures(50, (1, 32, 32)))
    (turn,) = model.turns(batches(image))
    variance = 1 / 12  # of values that are uniform on [-0.5, 0.5)
    expected = bits + (0.5 * math.log(2 * math.pi) + variance / 2) / math.log(2)
    assert turn.losses["bits"].item() == pytest.approx(expected, abs=0.002)
    nats = -expected * 1024 * math.log(2)
    assert model.log_prob(image).mean().item() == pytest.approx(nats, rel=0.0005)


@pytest.mark.parametrize(("permutation", "conditional"), [("conv", False), ("lu", True), ("shuffle", True)])
def test_the_probabilities_of_all_images_sum_to_one(permutation, conditional):
    """In a world of four pixels, each on or off, of which the density leaves out almost nothing."""
    classes = ("a", "b") if conditional else ()
    model = built((1, 2, 2), classes, scales=1, depth=2, permutation=permutation, bits=1, conditional=conditional)
    trained(model)
    with torch.no_grad():  # the Gaussian of codes, carried back, lies well inside of [-0.5, 0.5)^4
        flow.initialise(model.flow, 0.12 * torch.randn(1000, 1, 2, 2))
        inside = model.flow.inverse(torch.randn(10_000, 4)).abs().flatten(1).max(1).values < 0.5
        worlds = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 4).view(16, 1, 2, 2)
        probabilities = model.log_prob(worlds.repeat_interleave(5_000, dim=0)).double().exp().view(16, -1)
    total, error = probabilities.mean(1).sum().item(), probabilities.std(1).norm().item() / math.sqrt(5_000)
    assert inside.double().mean() > 0.95
    assert error < 0.02
    assert total == pytest.approx(inside.double().mean().item(), abs=4 * error + 0.005)


def test_temperature_scales_what_is_drawn():
    model = trained(built())
    torch.manual_seed(3)
    drawn = model.sample(4, temperature=0.7)
    torch.manual_seed(3)
    torch.testing.assert_close(drawn, model.decode(0.7 * torch.randn(4, 32)))
    cold = model.sample(3, temperature=0.0)
    assert torch.equal(cold, model.sample(3, temperature=0.0))
    assert torch.equal(cold[0], cold[2])


def knowing(**options):
    """A model that knows three classes, as training might leave it."""
    return trained(built(classes=("a", "b", "c"), conditional=True, **options))


def test_likelihood_is_that_of_the_mixture_of_classes():
    model, image = knowing(), to_unit(pictures(4))
    torch.manual_seed(2)
    found = model.log_prob(image)
    torch.manual_seed(2)
    code, log_det = model.flow(model.dequantised(image))
    each = []
    for label in range(3):
        mean, log_scale = model.classes.weight[label].view(2, 8, 1, 1).expand(-1, -1, 1, 2).flatten(1)
        first = Normal(0.0, 1.0).log_prob(code[:, :-16]).sum(1)
        each.append(first + Normal(mean, log_scale.exp()).log_prob(code[:, -16:]).sum(1) + log_det)
    expected = torch.stack(each).logsumexp(0) - math.log(3) - 32 * math.log(256)
    torch.testing.assert_close(found, expected)
    assert (each[0] - each[1]).abs().min() > 0.1, "the test is empty"


def test_classes_differ_in_what_is_drawn_and_in_the_loss():
    model = knowing(class_weight=2.0)
    draws = []
    for label in (0, 1):
        torch.manual_seed(4)
        draws.append(model.sample(2, torch.tensor([label, label])))
    assert not torch.allclose(*draws)
    losses = []
    for label in (0, 1):
        torch.manual_seed(4)
        (turn,) = model.turns(batches(to_unit(pictures(4)), torch.full((4,), label)))
        losses.append(turn.losses)
    assert losses[0]["bits"] != losses[1]["bits"]
    torch.manual_seed(4)
    code, log_det = model.flow(model.dequantised(to_unit(pictures(4))))
    label = torch.ones(4, dtype=torch.int64)
    said = model.classifier(model.top(code).mean((2, 3)))
    torch.testing.assert_close(losses[1]["class"], 2 * F.cross_entropy(said, label) / math.log(2))
    nats = model.log_likelihood(code, log_det, label)
    torch.testing.assert_close(losses[1]["bits"], -nats.mean() / (32 * math.log(2)))


def test_values_keep_full_precision_among_networks_that_do_not():
    model, x = trained(built()), torch.rand(3, 1, 4, 8) - 0.5
    layer = model.flow.scales[0].layers[1]
    squeezed = F.pixel_unshuffle(x, 2)
    plain, _ = layer(squeezed)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(squeezed)[0], plain)
        code, log_det = model.flow(x)
    assert code.dtype == log_det.dtype == torch.float32


def test_the_learning_rate_warms_up():
    model = Glow(warmup=0.25)
    assert [model.rate(progress) for progress in (0.0, 0.125, 0.25, 1.0)] == [0.0, 0.5, 1.0, 1.0]
    assert Glow(warmup=0.0).rate(0.0) == 1.0


@pytest.mark.parametrize(
    ("shape", "scales", "mend"),
    [
        ((1, 28, 28), 3, "--size 32x32, or --scales 2"),
        ((1, 12, 20), 3, "--size 24x16, or --scales 2"),
        ((3, 7, 13), 1, "--size 14x8"),
    ],
)
def test_sides_that_cannot_be_halved_are_refused_with_the_mend(shape, scales, mend):
    with pytest.raises(ConfigError, match=rf"{shape[2]}x{shape[1]} cannot be halved .* give {mend}$"):
        built(shape, scales=scales)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("scales", 0),
        ("depth", 0),
        ("hidden", 0),
        ("lr", 0.0),
        ("bits", 0),
        ("bits", 9),
        ("warmup", 2),
        ("class_weight", -1),
    ],
)
def test_options_that_make_no_sense_are_refused(option, value):
    with pytest.raises(ConfigError, match=option):
        Glow(**{option: value})


def test_classes_that_are_not_there_cannot_be_learned():
    with pytest.raises(ConfigError, match="classes"):
        built(conditional=True)
