"""Exact sampling from PixelRNNs at the cost of one forward pass: states are kept, and each pixel adds its own.

A Row LSTM convolves the states of the row above once, for the whole row. A Diagonal BiLSTM goes rightwards pixel by
pixel, and leftwards when a row is complete, since that direction is seen one row late. Buffers are made once; they are
[batch, width, ...].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from isthmus.nn.lstm2d import lstm

if TYPE_CHECKING:
    from isthmus.nn.masked import MaskedConv2d
    from isthmus.nn.recurrent import DiagonalBiLSTM, RecurrentPixels, RowLSTM


def matrix(convolution: MaskedConv2d) -> tuple[Tensor, Tensor]:
    """A convolution's kernel as a matrix [columns * rows * inputs, outputs], and its biases."""
    assert convolution.bias is not None
    return convolution.masked.permute(3, 2, 1, 0).flatten(0, 2), convolution.bias


class Window:
    """A masked convolution at one place of the newest row, and the rows that it sees."""

    def __init__(self, convolution: MaskedConv2d, batch: int, width: int) -> None:
        _, inputs, rows, self.columns = convolution.weight.shape
        left = convolution.edges[0]
        self.seen = convolution.weight.new_zeros(batch, width + self.columns - 1, rows, inputs)
        self.row = self.seen[:, left : left + width, -1]  # [batch, width, inputs], the newest
        self.kernel, self.bias = matrix(convolution)

    def at(self, column: int, bias: Tensor) -> Tensor:
        """[batch, outputs]."""
        return torch.addmm(bias, self.seen[:, column : column + self.columns].flatten(1), self.kernel)

    def advance(self) -> None:
        """Make room for the next row."""
        self.seen[:, :, :-1] = self.seen[:, :, 1:].clone()


class LayerCache(Protocol):
    """What a recurrent layer knows of the images so far."""

    inputs: Tensor  # [batch, width, features]: the row that is being drawn

    def begin(self) -> None:
        """The row above is finished."""

    def step(self, column: int) -> Tensor:
        """Hidden state [batch, hidden] at a place; its input, and all before it, are in `inputs`."""

    def finish(self) -> None:
        """All inputs of the row are final."""


class RowCache:
    """The states of this row, and those of the row above, convolved."""

    def __init__(self, layer: RowLSTM, batch: int, width: int) -> None:
        self.window, self.kernel = Window(layer.input, batch, width), layer.state[0]
        self.inputs, hidden = self.window.row, self.kernel.shape[1] // 4
        self.taps = len(self.kernel) // hidden
        self.padded = self.kernel.new_zeros(batch, width + self.taps - 1, hidden)
        self.state = self.padded[:, self.taps // 2 :]
        self.cell = self.kernel.new_zeros(batch, width, hidden)

    def begin(self) -> None:
        width = self.inputs.shape[1]
        near = torch.cat([self.padded[:, tap : tap + width] for tap in range(self.taps)], -1)
        self.above, self.cell_above = near @ self.kernel + self.window.bias, self.cell.clone()

    def step(self, column: int) -> Tensor:
        gates = self.window.at(column, self.above[:, column])
        state, self.cell[:, column] = lstm(gates, self.cell_above[:, column])
        self.state[:, column] = state
        return state

    def finish(self) -> None:
        pass


class Direction:
    """One direction of a Diagonal BiLSTM, in the order in which it goes through a row.

    Beside each input lies the state of the place before it, so that one matrix takes both to the gates.
    """

    def __init__(self, kernel: Tensor, bias: Tensor, state: Tensor, batch: int, width: int) -> None:
        (features, _), (self.from_above, from_beside) = kernel.shape, state.chunk(2)
        self.kernel, self.bias = torch.cat([kernel, from_beside]), bias
        self.seen = kernel.new_zeros(batch, width + 1, len(self.kernel))
        self.inputs, self.state = self.seen[:, :-1, :features], self.seen[:, :, features:]
        self.cell = torch.zeros_like(self.state)

    def begin(self) -> None:
        self.above = self.state[:, 1:] @ self.from_above + self.bias

    def step(self, place: int) -> Tensor:
        gates = torch.addmm(self.above[:, place], self.seen[:, place], self.kernel)
        state, self.cell[:, place + 1] = lstm(gates, self.cell[:, place])
        self.state[:, place + 1] = state
        return state


class DiagonalCache:
    """Both directions: rightwards up to the last pixel, leftwards over the rows that are finished."""

    def __init__(self, layer: DiagonalBiLSTM, batch: int, width: int) -> None:
        kernel, bias = matrix(layer.input)
        both = zip(kernel.chunk(2, 1), bias.chunk(2), layer.state, strict=True)
        self.rightwards, self.leftwards = (Direction(*weights, batch, width) for weights in both)
        self.inputs, self.late = self.rightwards.inputs, self.leftwards.state[:, 1:].clone()

    def begin(self) -> None:
        self.rightwards.begin()

    def step(self, column: int) -> Tensor:
        return self.rightwards.step(column) + self.late[:, column]

    def finish(self) -> None:
        self.leftwards.inputs.copy_(self.inputs.flip(1))
        self.leftwards.begin()
        for place in range(self.inputs.shape[1]):
            self.leftwards.step(place)
        self.late = self.leftwards.state[:, 1:].flip(1)


class RecurrentCache:
    """All layers of a network, up to the pixel of the last step."""

    steps_are_seen_below = True

    def __init__(self, network: RecurrentPixels, image: Tensor) -> None:
        batch, inside = len(image), image.shape[3]
        width = inside + network.beyond
        self.levels, self.first, self.beyond = network.levels, Window(network.first, batch, width), range(inside, width)
        self.pixels = self.first.row[:, :inside]
        layers: Any = network.layers
        head: Any = network.head
        self.layers: list[LayerCache] = [layer.cache(batch, width) for layer in layers]
        self.outputs = [matrix(layer.output) for layer in layers]
        self.hidden, self.values = matrix(head[1]), matrix(head[3])

    def begin(self, row: int) -> None:
        for layer in self.layers:
            layer.begin()

    def step(self, column: int, channel: int) -> None:
        x = self.first.at(column, self.first.bias)
        for layer, (kernel, bias) in zip(self.layers, self.outputs, strict=True):
            layer.inputs[:, column] = x
            x = torch.addmm(x, layer.step(column), kernel).add_(bias)
        self.features = x

    def logits(self, channel: int) -> Tensor:
        (kernel, bias), here = self.hidden, slice(channel * self.levels, (channel + 1) * self.levels)
        hidden = torch.addmm(bias, self.features.relu(), kernel).relu()
        return torch.addmm(self.values[1][here], hidden, self.values[0][:, here])

    def finish(self, row: int) -> None:
        for column in self.beyond:
            self.step(column, 0)
        for layer in self.layers:
            layer.finish()
        self.first.advance()
