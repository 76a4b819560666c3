"""What makes PixelRNN what it is: LSTMs in two dimensions, what each value sees, and how states serve the drawing."""

import itertools
import math
import time

import pytest
import torch

from isthmus.core import Batch, Spec
from isthmus.errors import ConfigError
from isthmus.models.autoregressive.pixelrnn import PixelRNN
from isthmus.nn import recurrent
from isthmus.nn.autoregressive import sample_naively
from isthmus.nn.lstm2d import diagonals, late, lstm, skew, unskew
from isthmus.nn.masked import groups
from isthmus.nn.recurrent import DiagonalBiLSTM, RecurrentPixels, RowLSTM

LAYERS = ["diagonal", "row"]
SIZES = [(5, 7), (7, 5), (1, 6), (6, 1)]


def strengthened(module):
    """With weights so large that every output depends visibly on what it sees."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        parameter.data.normal_(0, 0.4)
    return module.double()


def net(layer, channels=1, levels=4, features=7, layers=1, **options):
    return strengthened(RecurrentPixels(channels, levels, features, layers, layer, **options))


def sees(function, x, row, column, channel=slice(None)):
    """Of which values of `x` [1, channels, height, width] the outputs at one place depend: bool [channels, ...]."""
    x = x.clone().requires_grad_()
    outputs = function(x)[..., channel, row, column]
    direction = torch.randn_like(outputs)  # a sum of logits could be flat by symmetry
    return torch.autograd.grad((outputs * direction).sum(), x)[0][0] != 0


def before(height, width, row, column):
    """bool [height, width]: the places before this one."""
    return torch.arange(height * width).view(height, width) < row * width + column


def places(height, width):
    return itertools.product(range(height), range(width))


# What each value sees.


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_one_diagonal_layer_sees_every_earlier_pixel_and_no_other(height, width):
    network, image = net("diagonal"), torch.rand(1, 1, height, width, dtype=torch.double)
    for row, column in places(height, width):
        assert torch.equal(sees(network, image, row, column)[0], before(height, width, row, column))


@pytest.mark.parametrize("layers", [1, 2])
def test_without_the_empty_column_the_last_pixel_of_the_row_above_is_never_seen(layers):
    """But by those three columns near to it, through the first convolution."""
    network, image = net("diagonal", layers=layers), torch.rand(1, 1, 3, 9, dtype=torch.double)
    network.beyond = 0
    for row, column in places(3, 9):
        expected = before(3, 9, row, column)
        if row and column < 5:
            expected[row - 1, 8] = False
        assert torch.equal(sees(network, image, row, column)[0], expected)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_row_lstm_sees_a_triangle(kernel, height, width):
    """`kernel` // 2 places to the left in its own row, and as many more to both sides with each row above."""
    layer = strengthened(RowLSTM(groups(6, 1), groups(3, 1), kernel))
    x, side = torch.rand(1, 6, height, width, dtype=torch.double), kernel // 2
    above, offset = torch.arange(height)[:, None], torch.arange(width)
    for row, column in places(height, width):
        rows, columns = row - above, offset - column
        expected = (rows >= 0) & (columns <= side * rows) & (columns >= -side * (rows + 1))
        assert torch.equal(sees(layer, x, row, column).any(0), expected)


@pytest.mark.parametrize(("layers", "height", "width"), [(1, 10, 17), (2, 8, 21)])
def test_the_row_network_sees_the_triangle_through_the_first_convolution(layers, height, width):
    """Each layer widens the triangle by its one place to the left; then come the 7x7 taps of the first convolution."""
    network, image = net("row", layers=layers), torch.rand(1, 1, height, width, dtype=torch.double)
    for row, column in [(height - 1, width // 2), (3, 2), (height - 1, width - 1)]:
        expected = torch.zeros(height, width, dtype=torch.bool)
        for r, c in places(row + 1, width):
            if -(row - r) - layers <= c - column <= row - r:
                expected[max(0, r - 3) : r, max(0, c - 3) : c + 4] = True
                expected[r, max(0, c - 3) : c] = True
        assert torch.equal(sees(network, image, row, column)[0], expected)
        assert (expected != before(height, width, row, column)).any()


def test_the_diagonal_layer_sees_its_own_place_all_to_the_left_and_all_above():
    layer, x = strengthened(DiagonalBiLSTM(groups(6, 1), groups(3, 1))), torch.rand(1, 6, 5, 7, dtype=torch.double)
    for row, column in places(5, 7):
        assert torch.equal(sees(layer, x, row, column).any(0), before(5, 7, row, column + 1))


def test_the_direction_that_goes_left_would_leak_if_it_were_not_a_row_late(monkeypatch):
    monkeypatch.setattr(recurrent, "late", lambda x: x)
    image = torch.rand(1, 1, 5, 7, dtype=torch.double)
    seen = sees(net("diagonal"), image, 2, 3)[0]
    assert seen[2, 3:6].all(), "itself and those to the right of it"
    assert not seen[3:].any()


@pytest.mark.parametrize("layer", LAYERS)
def test_a_channel_sees_those_before_it_at_its_own_pixel(layer):
    network, image = net(layer, channels=3, layers=2), torch.rand(1, 3, 5, 6, dtype=torch.double)
    for channel in range(3):
        seen = sees(network, image, 3, 2, channel)
        assert torch.equal(seen[:, 3, 2], torch.arange(3) < channel)
        assert torch.equal(seen[:, 3, 3:].any() | seen[:, 4:].any(), torch.tensor(False))
        assert seen[:, 2, 1:4].all()


@pytest.mark.parametrize("layer", LAYERS)
def test_it_is_the_state_that_sees_far(layer):
    """Without state-to-state weights there are the cells alone: a diagonal keeps its row, a Row LSTM its column."""
    network, image = net(layer), torch.rand(1, 1, 9, 9, dtype=torch.double)
    for module in network.layers:
        torch.nn.init.zeros_(module.state)
    seen = sees(network, image, 8, 8)[0]
    assert not seen[:5, :4].any()
    assert seen[8, 0] == (layer == "diagonal")
    assert seen[0, 8] == (layer == "row")


# The recurrences.


@pytest.mark.parametrize(("height", "width"), [*SIZES, (4, 4)])
def test_skewing_is_undone_by_unskewing(height, width):
    x = torch.rand(2, height, width, 3)
    skewed = skew(x)
    assert torch.equal(unskew(skewed, height, width), x)
    starts, sizes = diagonals(height, width)
    for number, (start, part) in enumerate(zip(starts, skewed.split(sizes, 1), strict=True)):
        for place in range(part.shape[1]):
            assert torch.equal(part[:, place], x[:, start + place, number - start - place])


def test_late_moves_one_row_down():
    x = torch.rand(2, 3, 4)
    assert torch.equal(late(x), torch.cat([torch.zeros(2, 1, 4), x[:, :2]], 1))


def test_the_cell_is_that_of_torch():
    """With gates in the order o, f, i, g, where torch has i, f, g, o."""
    torch.manual_seed(0)
    theirs, x, cell = torch.nn.LSTMCell(5, 4), torch.rand(3, 5), torch.rand(3, 4)
    i, f, g, o = (x @ theirs.weight_ih.T + theirs.bias_ih + theirs.bias_hh).chunk(4, 1)
    expected = theirs(x, (torch.zeros(3, 4), cell))
    torch.testing.assert_close(lstm(torch.cat([o, f, i, g], 1), cell), expected)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_diagonal_recurrence_place_by_place(height, width):
    """State-to-state from the place above and the place beside; to the right, and mirrored, a row late, to the left."""
    layer = strengthened(DiagonalBiLSTM(groups(6, 1), groups(3, 1)))
    x = torch.rand(2, 6, height, width, dtype=torch.double)
    gates = layer.input(x)
    right = placewise(gates[:, :12], layer.state[0])
    left = placewise(gates[:, 12:].flip(-1), layer.state[1]).flip(-1)
    torch.testing.assert_close(layer(x), x + layer.output(right + late(left)))


def placewise(gates, weight):
    """Hidden states [batch, hidden, height, width], one place after the other."""
    nothing = gates.new_zeros(2, 3)
    above, rows = [(nothing, nothing)] * gates.shape[3], []
    for row in gates.unbind(2):
        beside, new = (nothing, nothing), []
        for column, place in enumerate(row.unbind(2)):
            beside = lstm(place + torch.cat([above[column][0], beside[0]], 1) @ weight, beside[1])
            new.append(beside)
        above = new
        rows.append(torch.stack([state for state, _ in new], -1))
    return torch.stack(rows, -2)


@pytest.mark.parametrize("kernel", [3, 5])
def test_the_row_recurrence_is_a_convolution_of_the_row_above(kernel):
    layer = strengthened(RowLSTM(groups(6, 1), groups(3, 1), kernel))
    x = torch.rand(2, 6, 5, 7, dtype=torch.double)
    convolution = layer.state[0].view(kernel, 3, 12).permute(2, 1, 0)
    state = cell = x.new_zeros(2, 7, 3)
    rows = []
    for gates in layer.input(x).unbind(2):
        gates = gates + torch.nn.functional.conv1d(state.transpose(1, 2), convolution, padding=kernel // 2)
        state, cell = lstm(gates.transpose(1, 2), cell)
        rows.append(state.transpose(1, 2))
    torch.testing.assert_close(layer(x), x + layer.output(torch.stack(rows, 2)))


# Drawing.

WORLDS = [(1, 2, 7, 5, 3), (1, 256, 4, 6, 1), (3, 4, 4, 5, 2), (2, 8, 5, 3, 4), (1, 4, 1, 6, 2), (1, 4, 6, 1, 2)]


@pytest.mark.parametrize(("channels", "levels", "height", "width", "batch"), WORLDS)
@pytest.mark.parametrize(("layer", "kernel"), [("diagonal", 3), ("row", 3), ("row", 5)])
def test_kept_states_draw_what_whole_passes_draw(layer, kernel, channels, levels, height, width, batch):
    """The same values, for known pixels anywhere, temperatures, and features that do not divide into equal groups."""
    network = net(layer, channels, levels, layers=2, kernel=kernel, hidden=5).float()
    image, uniform = torch.rand(2, batch, channels, height, width)
    image = 2 * image - 1
    some = torch.rand(height, width) < 0.4
    upper = (torch.arange(height) < height // 2)[:, None].expand(height, width)
    for known, temperature in ((torch.zeros_like(some), 1.0), (some, 1.0), (some, 0.0), (upper, 0.5)):
        fast = network.fill(image, known, uniform, temperature)
        assert torch.equal(fast, sample_naively(network, image, known, uniform, levels, temperature))


@pytest.mark.parametrize("layer", LAYERS)
def test_the_cost_of_drawing_grows_as_the_pixels_do(layer):
    """Whole passes would take 9 times as many pixels 81 times as long."""
    network = net(layer).float()

    def seconds(side):
        image, began = torch.zeros(1, 1, side, side), time.process_time()
        network.fill(image, torch.zeros(side, side, dtype=torch.bool), torch.rand_like(image))
        return time.process_time() - began

    seconds(4)
    assert min(seconds(24) for _ in range(3)) < 25 * min(seconds(8) for _ in range(5))


# The model.


@pytest.mark.parametrize("layer", LAYERS)
def test_the_probabilities_of_all_images_sum_to_one(layer):
    model = PixelRNN(layer=layer, layers=2, features=4, hidden=4, levels=2).build(Spec(1, 2, 2))
    strengthened(model).float()
    world = torch.tensor([*itertools.product((-1.0, 1.0), repeat=4)])
    nats = model.log_prob(world.view(-1, 1, 2, 2))
    assert nats.double().exp().sum().item() == pytest.approx(1, abs=1e-5)
    assert nats.std() > 0.1


def test_the_turn_is_the_mean_log_likelihood():
    model, x = PixelRNN(levels=2, features=4, layers=1).build(Spec(1, 6, 5)), torch.rand(4, 1, 6, 5).round() * 2 - 1
    (turn,) = model.turns(iter([Batch(x)]))
    assert set(turn.losses) == {"nll"}
    torch.testing.assert_close(turn.total, -model.log_prob(x).mean())
    chances = model.logits(x).softmax(1).tolist()
    by_hand = sum(math.log(chances[0][int(x[0, 0, r, c] > 0)][0][r][c]) for r, c in places(6, 5))
    assert model.log_prob(x)[0].item() == pytest.approx(by_hand, rel=1e-4)


def test_it_is_trained_with_rmsprop():
    (player,) = PixelRNN(lr=0.1, layers=1).build(Spec(1, 4, 4)).players().values()
    assert player.optimizer == "RMSprop"
    assert [player.schedule(done) for done in (0, 0.5, 1)] == [1, 0.5, 0]


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("shape", [(1, 7, 4), (3, 3, 6), (4, 1, 1)])
def test_any_image_size(layer, shape):
    model = PixelRNN(layer=layer, features=5, layers=2, hidden=4).build(Spec(*shape))
    drawn = model.sample(2)
    assert drawn.shape == (2, *shape)
    assert drawn.abs().max() <= 1
    assert model.log_prob(drawn).shape == (2,)


def test_grey_images_are_rounded_to_what_the_model_knows():
    model, x = PixelRNN(levels=2, features=4, layers=1).build(Spec(1, 6, 5)), torch.rand(2, 1, 6, 5) * 2 - 1
    assert torch.equal(model.log_prob(x), model.log_prob(x.sign()))


def test_what_is_known_is_kept_and_no_later_pixel_matters():
    torch.manual_seed(0)
    model, x = PixelRNN(levels=2, features=4, layers=1).build(Spec(1, 6, 5)), torch.rand(2, 1, 6, 5) * 2 - 1
    known = torch.zeros(6, 5, dtype=torch.bool)
    known[:2], known[4, 3] = True, True
    drawn = []
    for image in (x, x.where(torch.arange(6)[:, None] < 4, -x)):
        torch.manual_seed(1)
        drawn.append(model.complete(image, known))
        assert torch.equal(drawn[-1][:, :, known], image[:, :, known])
    assert torch.equal(drawn[0][:, :, :4], drawn[1][:, :, :4])


@pytest.mark.parametrize(
    "wrong", [{"layers": -1}, {"features": 0}, {"hidden": 0}, {"lr": 0.0}, {"kernel": 1}, {"kernel": 4}]
)
def test_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        PixelRNN(**wrong)


def test_every_channel_needs_a_feature():
    with pytest.raises(ConfigError, match="at least 3"):
        PixelRNN(features=2).build(Spec(3, 4, 4))
