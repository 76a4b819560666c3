"""The recurrent networks of PixelRNN: Row LSTM and Diagonal BiLSTM (van den Oord et al., 2016, arXiv:1601.06759).

Input-to-state is computed for the whole image at once, state-to-state by `isthmus.nn.lstm2d`. Features are [batch,
features, height, width]; masks and groups are those of `isthmus.nn.masked`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.nn.autoregressive import AutoregressiveNetwork
from isthmus.nn.lstm2d import along, diagonals, late, skew, unskew
from isthmus.nn.masked import MaskedConv2d, by_channel, groups, head
from isthmus.nn.masked_sampler import fill
from isthmus.nn.recurrent_sampler import DiagonalCache, LayerCache, RecurrentCache, RowCache, matrix

Layer = Literal["diagonal", "row"]


class Recurrent(nn.Module, ABC):
    """A recurrent layer inside a residual connection: x plus its hidden state, brought back to the features of x by a
    1x1 convolution (figure 5)."""

    def __init__(self, features: Tensor, half: Tensor, directions: int, taps: int, left: int = 0) -> None:
        super().__init__()
        hidden = len(half)
        bound = 1 / math.sqrt(taps * hidden)
        self.input = MaskedConv2d(features, half.repeat(4 * directions), left=left)  # input-to-state, with the biases
        self.state = nn.Parameter(torch.empty(directions, taps * hidden, 4 * hidden).uniform_(-bound, bound))
        self.output = MaskedConv2d(half, features)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.output(self.recur(x))

    @abstractmethod
    def recur(self, x: Tensor) -> Tensor:
        """Hidden states [batch, hidden, height, width]."""

    @abstractmethod
    def cache(self, batch: int, width: int) -> LayerCache:
        """The same, place by place."""


class RowLSTM(Recurrent):
    """From row to row. A place sees a triangle above it, wider by `kernel` // 2 on both sides with each row."""

    def __init__(self, features: Tensor, half: Tensor, kernel: int) -> None:
        super().__init__(features, half, directions=1, taps=kernel, left=kernel // 2)

    def recur(self, x: Tensor) -> Tensor:
        rows = self.input(x).permute(2, 3, 0, 1)[None]
        states = along(rows.unbind(1), [0] * rows.shape[1], self.state)
        return states[0].unflatten(0, rows.shape[1:3]).permute(2, 3, 0, 1)

    def cache(self, batch: int, width: int) -> LayerCache:
        return RowCache(self, batch, width)


class DiagonalBiLSTM(Recurrent):
    """From diagonal to diagonal, in two directions. A place sees all that is above, and all to the left in its row.

    A state takes in its neighbours above and beside. The direction that comes from the right is shown a row late: what
    is to the right in the same row is yet to be drawn.
    """

    def __init__(self, features: Tensor, half: Tensor) -> None:
        super().__init__(features, half, directions=2, taps=2)

    def recur(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        starts, sizes = diagonals(height, width)
        x = x.permute(2, 3, 0, 1)
        x = skew(torch.stack([x, x.flip(1)]))
        kernel, bias = matrix(self.input)
        kernels = kernel.unflatten(1, (2, -1)).transpose(0, 1)
        gates = torch.baddbmm(bias.view(2, 1, -1), x.flatten(1, 2), kernels).unflatten(1, x.shape[1:3])
        states = unskew(along(gates.split(sizes, 1), starts, self.state), height, width)
        rightwards, leftwards = states.permute(0, 3, 4, 1, 2)
        return rightwards + late(leftwards.flip(-1))

    def cache(self, batch: int, width: int) -> LayerCache:
        return DiagonalCache(self, batch, width)


class RecurrentPixels(AutoregressiveNetwork):
    """PixelRNN: a 7x7 convolution with mask A, `layers` recurrent layers, and two 1x1 convolutions (table 1).

    The LSTMs have `features` units, and twice as many features go from layer to layer. The kernel is the Row LSTM's.

    For the Diagonal BiLSTM the image is widened by an empty column. Mask A shows a pixel only to places behind it, and
    behind the last pixel of a row there are none: the direction that goes left would never meet it.
    """

    def __init__(
        self,
        channels: int,
        levels: int,
        features: int,
        layers: int,
        layer: Layer = "diagonal",
        kernel: int = 3,
        hidden: int | None = None,
    ) -> None:
        super().__init__()
        self.levels, self.beyond = levels, int(layer == "diagonal")
        wide, half = groups(2 * features, channels), groups(features, channels)
        self.first = MaskedConv2d(torch.arange(channels), wide, 3, 3, 3, "A")
        self.layers = nn.ModuleList(
            RowLSTM(wide, half, kernel) if layer == "row" else DiagonalBiLSTM(wide, half) for _ in range(layers)
        )
        self.head = head(wide, groups(hidden or 2 * features, channels), channels, levels)

    def forward(self, x: Tensor) -> Tensor:
        """Images [batch, channels, height, width] in [-1, 1] to logits [batch, levels, channels, height, width]."""
        h = self.first(F.pad(x, (0, self.beyond))).contiguous(memory_format=torch.channels_last)  # faster on CPUs
        for layer in self.layers:
            h = layer(h)
        return by_channel(self.head(h[..., : x.shape[3]]), self.levels)

    def fill(self, image: Tensor, known: Tensor, uniform: Tensor, temperature: float = 1.0) -> Tensor:
        """Draw what is not `known`, bool [height, width], as `sample_naively` does with the same `uniform` noise."""
        return fill(lambda: RecurrentCache(self, image), image, known, uniform, temperature)
