"""What makes WaveNet that model and not its neighbour: dilated causal convolutions, gates, and two paths."""

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F

from isthmus.core import Batch, Spec
from isthmus.errors import ConfigError, DataError
from isthmus.models.autoregressive.wavenet import WaveNet
from isthmus.nn.autoregressive import from_levels, sample_naively, to_levels
from isthmus.nn.wavenet import WaveNetwork, from_sequence, sequence

SMALL = {"layers": 3, "blocks": 2, "features": 5, "hidden": 7}
CLASSES = ("low", "high")


def model(shape=(1, 1, 40), classes=CLASSES, **options):
    """With weights so large that every path matters."""
    torch.manual_seed(0)
    made = WaveNet(**SMALL | options).build(Spec(*shape, classes))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(2)
    return made.eval()


def values(levels=256, n=3, shape=(1, 1, 40), seed=1):
    """Images with exactly the values that the model knows."""
    generator = torch.Generator().manual_seed(seed)
    return from_levels(torch.randint(levels, (n, *shape), generator=generator), levels)


def dependence(network, image, time):
    """Whether the logits at `time` depend on the value at each time, by autograd through the embedding."""
    found = []
    hook = network.embedding.register_forward_hook(lambda module, inputs, output: found.append(output))
    (gradient,) = torch.autograd.grad(network(image)[0, :, 0, 0, time].square().sum(), found)
    hook.remove()
    return gradient[0].abs().sum(1) > 0


# --- what is seen


@pytest.mark.parametrize(("layers", "blocks", "kernel"), [(4, 1, 2), (3, 2, 2), (2, 3, 3), (1, 1, 2), (3, 1, 4)])
def test_a_value_depends_on_exactly_the_receptive_field_before_it(layers, blocks, kernel):
    options = {"layers": layers, "blocks": blocks, "kernel": kernel}
    network = model((1, 1, 60), **options).double().network
    sees = 1 + sum(2**i * (kernel - 1) for i in range(layers)) * blocks
    assert network.receptive_field == sees
    for time in (0, 1, 3, 59):
        expected = torch.tensor([time - sees <= t < time for t in range(60)])
        assert torch.equal(dependence(network, values(shape=(1, 1, 60)), time), expected)


def test_the_papers_receptive_field():
    network = WaveNetwork(256, 4, 4, layers=10, blocks=3)
    assert network.receptive_field == 1 + 3 * 1023
    assert [layer.gate.dilation[0] for layer in network.layers] == [2**i for i in range(10)] * 3
    assert all(layer.gate.padding == (0,) for layer in network.layers)  # all padding is on the left


def test_a_changed_value_changes_no_logits_up_to_its_own():
    net, x = model(), values()
    y = x.clone()
    y[..., 17] = -y[..., 17]
    before, after = net.logits(x), net.logits(y)
    assert torch.equal(before[..., :18], after[..., :18])
    assert not torch.allclose(before[..., 18], after[..., 18])


def test_an_image_is_read_row_by_row_and_channel_by_channel():
    image = torch.arange(24.0).view(1, 2, 3, 4)
    assert sequence(image)[0, :5].tolist() == [0, 12, 1, 13, 2]
    assert torch.equal(from_sequence(sequence(image), image), image)
    net, x = model((3, 4, 5)), values(shape=(3, 4, 5))
    y = x.clone()
    y[:, 1, 2, 3] = -y[:, 1, 2, 3]
    changed = (net.logits(x) != net.logits(y)).flatten(3).any(1)[0].view(3, 4, 5)
    place = sequence(changed[None])[0].nonzero().flatten()
    assert place.min() == (2 * 5 + 3) * 3 + 1 + 1
    assert net.logits(x).shape == (3, 256, 3, 4, 5)


# --- what is made of it


def by_hand(net, image, label):
    """Logits [batch, levels, time] by the equations of the paper, with sums over taps instead of convolutions."""
    network = net.network
    x = F.one_hot(sequence(to_levels(image, net.levels)), net.levels).double() @ network.embedding.weight
    x = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1)  # [batch, time, features], one step late
    h = None if label is None else F.one_hot(label, len(net.spec.classes)).double()
    total = 0
    for i, layer in enumerate(network.layers):
        dilation, kernel = 2 ** (i % net.layers), net.kernel
        both = layer.gate.bias + torch.zeros(*x.shape[:2], 2 * net.features, dtype=x.dtype)
        for tap in range(kernel):
            ago = (kernel - 1 - tap) * dilation
            shifted = torch.cat([torch.zeros_like(x[:, :ago]), x[:, : x.shape[1] - ago]], dim=1)
            both = both + shifted @ layer.gate.weight[:, :, tap].T
        if h is not None:
            both = both + (h @ layer.condition.weight.T)[:, None]
        z = both[..., : net.features].tanh() * both[..., net.features :].sigmoid()
        out = z @ layer.out.weight[..., 0].T + layer.out.bias
        total = total + out[..., : net.hidden]
        if i < len(network.layers) - 1:
            x = x + out[..., net.hidden :]
    _, first, _, second = network.head
    out = total.relu() @ first.weight[..., 0].T + first.bias
    return (out.relu() @ second.weight[..., 0].T + second.bias).transpose(1, 2)


@pytest.mark.parametrize(("kernel", "conditional"), [(2, False), (3, True)])
def test_logits_are_those_of_the_equations(kernel, conditional):
    net, x = model(kernel=kernel, conditional=conditional).double(), values()
    label = torch.tensor([0, 1, 1]) if conditional else None
    logits = net.network(x, None if label is None else F.one_hot(label, 2).double())
    torch.testing.assert_close(logits[:, :, 0, 0], by_hand(net, x, label))


def test_skip_and_residual_paths_are_used_in_every_layer():
    x = values()
    for i in range(6):
        for path in (slice(0, SMALL["hidden"]), slice(SMALL["hidden"], None)):
            net = model()
            before, weight = net.logits(x), net.network.layers[i].out.weight
            with torch.no_grad():
                weight[path] = 0
            last_residual = i == 5 and path.start
            assert torch.equal(net.logits(x), before) == bool(last_residual)
    assert len(weight) == SMALL["hidden"]  # the last layer has no residual path at all


def test_only_a_conditional_model_heeds_the_class():
    x = values()
    for conditional in (False, True):
        net = model(conditional=conditional)
        torch.manual_seed(1)
        low = net.sample(3, torch.tensor([0, 0, 0]))
        torch.manual_seed(1)
        high = net.sample(3, torch.tensor([1, 1, 1]))
        assert torch.equal(low, high) != conditional
        assert any("condition" in name for name, _ in net.named_parameters()) == conditional
    assert not torch.equal(net.logits(x, torch.tensor([0, 0, 0])), net.logits(x, torch.tensor([1, 1, 1])))


# --- probabilities


@pytest.mark.parametrize("conditional", [False, True])
def test_the_probabilities_of_all_sequences_sum_to_one(conditional):
    net = model((1, 1, 8), levels=2, conditional=conditional)
    every = from_levels(torch.tensor([*product((0, 1), repeat=8)]), 2)[:, None, None]
    with torch.no_grad():
        assert net.log_prob(every).exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_a_sum_over_values_and_a_mean_over_the_batch():
    net, x, label = model(conditional=True), values(), torch.tensor([0, 1, 1])
    (turn,) = net.turns(iter([Batch(x, label)]))
    chosen = net.logits(x, label).log_softmax(1).gather(1, to_levels(x, 256)[:, None])
    torch.testing.assert_close(turn.total, -chosen.sum() / 3)
    with pytest.raises(DataError, match="classes"):
        next(net.turns(iter([Batch(x)])))


def test_the_class_is_heard_in_the_beginning():
    net, x = model(conditional=True), values()
    nothing = torch.zeros(1, 40, dtype=torch.bool)
    torch.testing.assert_close(net.network.log_joint(x, torch.eye(2), nothing).exp(), torch.full((3, 2), 0.5))
    beginning = torch.arange(40)[None] < 20
    cut = x * beginning  # what comes later must not count
    both, alike = (net.network.log_joint(images, torch.eye(2), beginning) for images in (x, cut))
    torch.testing.assert_close(both, alike)
    each = torch.stack([net.network.log_prob(x, *net.condition(torch.full((3,), label))) for label in (0, 1)])
    torch.testing.assert_close(net.log_prob(x), each.logsumexp(0) - math.log(2))


# --- drawing


MASKS = {
    "nothing": torch.zeros(1, 40, dtype=torch.bool),
    "a beginning": torch.arange(40)[None] < 13,
    "a middle": (torch.arange(40)[None] > 9) & (torch.arange(40)[None] < 25),
}


@pytest.mark.parametrize("known", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize(("kernel", "conditional"), [(2, False), (2, True), (3, True)])
def test_queues_draw_what_whole_passes_draw(known, kernel, conditional):
    net, x = model(kernel=kernel, conditional=conditional), values()
    uniform = torch.rand(x.shape, generator=torch.Generator().manual_seed(2))
    label = torch.tensor([0, 1, 1]) if conditional else None
    for temperature in (0.0, 1.0):
        ours = net.network.fill(x, known, uniform, *net.condition(label), temperature=temperature)
        theirs = sample_naively(lambda image: net.logits(image, label), x, known, uniform, 256, temperature)
        assert torch.equal(ours, theirs)
    assert torch.equal(ours * known, x * known)
    assert len(ours[..., ~known[0]].unique()) > 5


def test_queues_draw_pictures_too():
    net, x = model((3, 4, 5), levels=2), values(2, shape=(3, 4, 5))
    known = torch.rand(4, 5, generator=torch.Generator().manual_seed(3)) < 0.4
    uniform = torch.rand(x.shape, generator=torch.Generator().manual_seed(2))
    assert torch.equal(net.network.fill(x, known, uniform), sample_naively(net.logits, x, known, uniform, 2))


def test_draws_have_the_frequencies_of_their_probabilities():
    net = model((1, 1, 3), levels=2)
    torch.manual_seed(0)
    drawn = to_levels(net.sample(20_000), 2).flatten(1) @ torch.tensor([4, 2, 1])
    every = from_levels(torch.tensor([*product((0, 1), repeat=3)]), 2)[:, None, None]
    with torch.no_grad():
        expected = net.log_prob(every).exp()
    assert (drawn.bincount(minlength=8) / 20_000 - expected).abs().max() < 0.015
    assert expected.max() - expected.min() > 0.03


def test_the_cost_of_drawing_grows_with_the_length_alone(monkeypatch):
    """Each layer is asked once for each value, and no convolution runs over the past."""
    net, calls = model(), []
    original = F.linear
    monkeypatch.setattr(F, "linear", lambda *a: calls.append(len(a[0])) or original(*a))
    monkeypatch.setattr(WaveNetwork, "forward", None)
    net.sample(2)
    assert calls == [2] * 6 * 40


@pytest.mark.parametrize("option", ["layers", "blocks", "features", "hidden", "lr"])
def test_options_that_make_no_sense_are_refused(option):
    with pytest.raises(ConfigError, match=option):
        WaveNet(**{option: 0})
    with pytest.raises(ConfigError, match="kernel must be at least 2"):
        WaveNet(kernel=1)


def test_a_conditional_model_asks_for_classes():
    with pytest.raises(ConfigError, match="data with classes"):
        WaveNet(conditional=True).build(Spec(1, 1, 40))
