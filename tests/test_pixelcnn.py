"""What makes PixelCNN and Gated PixelCNN what they are: what each value sees, and that caches draw what passes draw."""

import itertools
import math

import pytest
import torch

from isthmus.core import Spec
from isthmus.errors import ConfigError
from isthmus.models.autoregressive.gated_pixelcnn import GatedPixelCNN
from isthmus.models.autoregressive.pixelcnn import PixelCNN
from isthmus.nn.autoregressive import sample_naively
from isthmus.nn.masked import GatedPixels, MaskedConv2d, PlainPixels, groups

NETS = [PlainPixels, GatedPixels]
MODELS = [PixelCNN, GatedPixelCNN]
CLASSES = Spec(1, 6, 5, ("none", "some", "most"))


def net(kind, channels=1, levels=4, features=15, layers=2, kernel=3, first_kernel=5, **options):
    """With weights so large that every value depends visibly on what it sees."""
    torch.manual_seed(0)
    return strengthened(kind(channels, levels, features, layers, kernel, first_kernel, **options))


def strengthened(module):
    for parameter in module.parameters():
        parameter.data.normal_(0, 0.4)
    return module


def sensitivity(network, image, row, column, channel, *given):
    """How strongly the logits of one value depend on each value of the image: [channels, height, width]."""
    image = image.clone().requires_grad_()
    logits = network(image, *given)[:, :, channel, row, column]
    total = torch.zeros_like(image)
    for direction in torch.randn(4, *logits.shape, dtype=image.dtype):  # a single sum could be flat by chance
        total += torch.autograd.grad((logits * direction).sum(), image, retain_graph=True)[0].abs()
    return total[0]


def later(channels, height, width, row, column, channel):
    """bool [channels, height, width]: the value itself and all that come after it."""
    place = torch.arange(height * width).view(height, width) * channels + torch.arange(channels)[:, None, None]
    return place >= (row * width + column) * channels + channel


PLACES = [(0, 0), (0, 4), (3, 0), (3, 2), (5, 4)]


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("kernel", [3, 5])
def test_no_value_sees_itself_or_a_later_one(kind, channels, kernel):
    """Exactly 0, for all channels of all later pixels and, at the pixel, for the channels from its own on."""
    network, image = net(kind, channels, kernel=kernel, first_kernel=7), torch.rand(1, channels, 6, 5)
    for (row, column), channel in itertools.product(PLACES, range(channels)):
        seen = sensitivity(network, image, row, column, channel)
        assert (seen[later(channels, 6, 5, row, column, channel)] == 0).all()


@pytest.mark.parametrize("kind", NETS)
def test_mask_b_in_the_first_layer_leaks_the_value_itself(kind):
    network = net(kind, channels=3, mask="B")
    for channel in range(3):
        assert sensitivity(network, torch.rand(1, 3, 6, 5), 3, 2, channel)[channel, 3, 2] > 0


@pytest.mark.parametrize("kind", NETS)
def test_green_sees_red_and_blue_sees_both(kind):
    network, image = net(kind, channels=3), torch.rand(1, 3, 6, 5)
    for channel in range(3):
        here = sensitivity(network, image, 3, 2, channel)[:, 3, 2]
        assert ((here > 0) == (torch.arange(3) < channel)).all()


def test_the_gated_network_sees_every_earlier_pixel():
    """A layer of side 3 reaches one pixel further, the first one of side 5 two: a 6x5 image takes 4 layers."""
    network, image = net(GatedPixels, layers=4).double(), torch.rand(1, 1, 6, 5, dtype=torch.double)
    for row, column in itertools.product(range(6), range(5)):
        seen = sensitivity(network, image, row, column, 0)[0]
        assert ((seen > 0) == ~later(1, 6, 5, row, column, 0)[0]).all()


def test_the_plain_network_has_a_blind_spot_up_right():
    """By rows, a layer of side 3 gains one row and one column. So from a pixel to those up right it sees a cone, though
    it is deep enough to see the upper left corner."""
    network, image = net(PlainPixels, layers=8).double(), torch.rand(1, 1, 9, 9, dtype=torch.double)
    seen = sensitivity(network, image, 8, 2, 0)[0] > 0
    assert seen[:, :3].logical_or(later(1, 9, 9, 8, 2, 0)[0][:, :3]).all()
    assert not seen[7, 5:].any(), "a row above, it sees two columns to the right, by the first kernel of side 5"
    gated = sensitivity(net(GatedPixels, layers=8).double(), image, 8, 2, 0)[0] > 0
    assert gated[7].all()


def test_masks_hold_after_the_optimiser_has_moved_every_weight():
    network, image = net(PlainPixels, channels=3), torch.rand(1, 3, 6, 5)
    for parameter in network.parameters():
        parameter.data += 1
    assert (sensitivity(network, image, 3, 2, 1)[later(3, 6, 5, 3, 2, 1)] == 0).all()


def test_masks_are_not_in_checkpoints():
    assert {name.rpartition(".")[2] for name in net(GatedPixels).state_dict()} == {"weight", "bias"}


def test_a_masked_convolution_is_the_paper_s_square_one_with_zeros():
    """Table 1 and figure 2 of 1606.05328: of a 5x5 kernel, what is behind the pixel is zero; here it is left out."""
    torch.manual_seed(0)
    one = torch.zeros(1, dtype=torch.long)
    convolution, x = MaskedConv2d(one, one, 2, 2, 2, "A"), torch.rand(2, 1, 7, 6)
    square = torch.zeros(1, 1, 5, 5)
    square[:, :, :3] = convolution.weight.data
    square[:, :, 2, 2:] = 0
    expected = torch.nn.functional.conv2d(x, square, convolution.bias, padding=2)
    torch.testing.assert_close(convolution(x), expected)


def test_groups_are_as_equal_as_can_be():
    assert groups(6, 3).tolist() == [0, 0, 1, 1, 2, 2]
    assert groups(4, 3).tolist() == [0, 0, 1, 2]


WORLDS = [  # channels, levels, height, width, batch, condition
    (1, 2, 6, 5, 3, None),
    (1, 256, 4, 7, 1, None),
    (1, 4, 5, 4, 5, "vector"),
    (1, 4, 4, 5, 2, "map"),
    (3, 8, 4, 5, 5, None),
    (3, 4, 5, 4, 1, "vector"),
    (2, 4, 3, 5, 2, "map"),
]


@pytest.mark.parametrize(("kernel", "first_kernel", "features"), [(3, 5, 7), (5, 3, 6)])
@pytest.mark.parametrize(
    ("kind", "world"), [(kind, world) for kind in NETS for world in WORLDS if kind is GatedPixels or not world[-1]]
)
def test_caches_draw_what_whole_passes_draw(world, kind, kernel, first_kernel, features):
    """The same values, for known pixels anywhere, temperatures, and features that do not divide into equal groups."""
    channels, levels, height, width, batch, condition = world
    options = {"conditions": 3} if condition else {}
    network = net(kind, channels, levels, features, 3, kernel, first_kernel, hidden=5, **options)
    given = {None: [], "vector": [torch.randn(batch, 3)], "map": [torch.randn(batch, 3, height, width)]}[condition]
    image, uniform = torch.rand(2, batch, channels, height, width)
    image = 2 * image - 1
    some = torch.rand(height, width) < 0.4
    upper = (torch.arange(height) < 2)[:, None].expand(height, width)
    for known, temperature in ((torch.zeros_like(some), 1.0), (some, 1.0), (some, 0.0), (upper, 0.5)):
        ours = network.fill(image, known, uniform, *given, temperature=temperature)
        naive = sample_naively(lambda x: network(x, *given), image, known, uniform, levels, temperature)
        assert torch.equal(ours, naive)
        assert torch.equal(ours[:, :, known], image[:, :, known])
    assert torch.equal(network.fill(image, torch.ones_like(some), uniform, *given), image)


def test_cached_logits_are_those_of_a_pass(monkeypatch):
    found = []

    def keep(logits, uniform, temperature):
        found.append(logits.clone())
        return torch.zeros_like(uniform, dtype=torch.long)

    monkeypatch.setattr("isthmus.nn.masked_sampler.draw", keep)
    network, uniform = net(GatedPixels, 3, 8, 9, 4), torch.rand(2, 3, 4, 5)
    image = network.fill(uniform, torch.zeros(4, 5, dtype=torch.bool), uniform)
    expected = network(image).detach()
    ours = torch.stack(found).view(4, 5, 3, 2, 8).permute(3, 4, 2, 0, 1)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())


def test_drawing_leaves_threads_and_gradients_as_they_were():
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        drawn = net(PlainPixels).fill(*torch.rand(2, 2, 1, 3, 3)[:1], torch.eye(3) > 0, torch.rand(2, 1, 3, 3))
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)
    assert (drawn * torch.ones(1, requires_grad=True)).sum().requires_grad, "not a tensor of inference mode"


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("channels", [1, 2])
def test_probabilities_of_all_images_of_a_world_sum_to_1(model, channels):
    built = model(levels=2, features=4, layers=2, hidden=4).build(Spec(channels, 2, 2))
    world = torch.tensor([*itertools.product((-1.0, 1.0), repeat=4 * channels)])
    total = built.log_prob(world.view(-1, channels, 2, 2)).double().logsumexp(0)
    assert total.item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_the_turn_is_the_mean_log_likelihood(model):
    built, x = model(levels=2, features=4, layers=2, hidden=4).build(CLASSES), torch.rand(4, 1, 6, 5).round() * 2 - 1
    (turn,) = built.turns(iter([Example(x)]))
    assert set(turn.losses) == {"nll"}
    torch.testing.assert_close(turn.total, -built.log_prob(x).mean())
    chances = built.logits(x).softmax(1).tolist()
    by_hand = sum(math.log(chances[0][int(x[0, 0, r, c] > 0)][0][r][c]) for r in range(6) for c in range(5))
    assert built.log_prob(x)[0].item() == pytest.approx(by_hand, rel=1e-4)


class Example:
    def __init__(self, image, label=None):
        self.image, self.label = image, label


def test_the_class_matters_if_and_only_if_the_model_is_conditional():
    x, labels = torch.rand(2, 1, 6, 5), (torch.tensor([0, 0]), torch.tensor([0, 2]))
    for conditional in (False, True):
        torch.manual_seed(0)
        model = strengthened(GatedPixelCNN(conditional=conditional, features=9, layers=2).build(CLASSES))
        drawn = []
        for label in labels:
            torch.manual_seed(1)
            drawn.append(model.sample(2, label))
        assert torch.equal(drawn[0][0], drawn[1][0])
        assert torch.equal(drawn[0][1], drawn[1][1]) != conditional
    logits = [model.logits(x, label) for label in labels]
    assert torch.equal(logits[0][0], logits[1][0])
    assert (logits[0][1] != logits[1][1]).any()


@pytest.mark.parametrize("location_dependent", [False, True])
def test_a_conditional_model_scores_the_mixture_of_its_classes(location_dependent):
    options = {"features": 4, "layers": 2, "conditional": True, "location_dependent": location_dependent}
    model, x = GatedPixelCNN(levels=2, **options).build(CLASSES), torch.rand(3, 1, 6, 5)
    of_class = torch.stack([model.network.log_prob(x, *model.condition(torch.full((3,), label))) for label in range(3)])
    torch.testing.assert_close(model.log_prob(x), of_class.logsumexp(0) - math.log(3))


def test_maps_of_a_class_differ_from_place_to_place():
    """Of a blank image, far from its border, all places look alike to a network that is not told where they are."""
    blank = torch.zeros(1, 1, 9, 9)
    for location_dependent in (False, True):
        options = {"features": 4, "layers": 1, "conditional": True, "location_dependent": location_dependent}
        model = strengthened(GatedPixelCNN(first_kernel=3, **options).build(Spec(1, 9, 9, CLASSES.classes)))
        middle = model.logits(blank, torch.tensor([1]))[..., 3:7, 3:7].flatten(3)
        assert (middle.std(dim=3).max() > 1e-3) == location_dependent
    assert {id(p) for p in model.parameters()} == {id(p) for p in model.players()["gated"].parameters()}


def test_location_dependent_biases_need_classes():
    with pytest.raises(ConfigError, match="--conditional"):
        GatedPixelCNN(location_dependent=True)


def test_a_conditional_model_draws_the_class_of_what_is_known():
    """Trained by hand: the bias of class 1 makes pixels bright. A bright beginning must be completed brightly."""
    torch.manual_seed(0)
    model = GatedPixelCNN(levels=2, features=2, layers=1, hidden=2, conditional=True).build(CLASSES)
    for parameter in model.parameters():
        parameter.data.zero_()
    first, second = model.network.head[1], model.network.head[3]
    layer = model.network.first
    layer.horizontal.bias.data[2:] = 3.0
    layer.condition.weight.data[4:6, :, 0, 0] = torch.tensor([-2.0, 2.0, -2.0])
    layer.residual.weight.data.add_(torch.eye(2)[..., None, None])
    first.weight.data.add_(torch.eye(2)[..., None, None])
    second.weight.data[1] = 3.0
    second.bias.data[1] = -3.0
    known = (torch.arange(6) < 3)[:, None].expand(6, 5)
    for value in (-1.0, 1.0):
        drawn = model.complete(torch.full((20, 1, 6, 5), value), known)
        assert (drawn[:, :, 3:] == value).float().mean() > 0.85


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("shape", [(1, 7, 4), (3, 3, 6)])
def test_any_image_size(model, shape):
    built = model(levels=256, features=4, layers=2, hidden=4).build(Spec(*shape))
    drawn = built.sample(2)
    assert drawn.shape == (2, *shape)
    assert drawn.abs().max() <= 1
    assert built.log_prob(drawn).shape == (2,)


@pytest.mark.parametrize("model", MODELS)
def test_values_between_the_levels_are_rounded(model):
    built, x = model(levels=2, features=4, layers=1, hidden=4).build(CLASSES), torch.rand(2, 1, 6, 5) * 2 - 1
    torch.testing.assert_close(built.log_prob(x), built.log_prob(x.sign()))
    known = torch.rand(6, 5) < 0.5
    torch.manual_seed(1)
    ours = built.complete(x, known)
    torch.manual_seed(1)
    assert torch.equal(ours, torch.where(known, x, built.complete(x.sign(), known)))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("options", [{"features": 0}, {"layers": 0}, {"hidden": 0}, {"lr": 0}, {"kernel": 4}])
def test_options_that_make_no_sense_are_refused(model, options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        model(**options)


@pytest.mark.parametrize("model", MODELS)
def test_every_channel_needs_a_feature(model):
    with pytest.raises(ConfigError, match="at least 3"):
        model(features=2).build(Spec(3, 6, 5))


def test_classes_are_needed_to_be_conditional():
    with pytest.raises(ConfigError, match="classes"):
        GatedPixelCNN(conditional=True).build(Spec(1, 6, 5))
