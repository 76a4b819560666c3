"""The masked networks of PixelCNN (van den Oord et al., 2016, arXiv:1601.06759) and of Gated PixelCNN (1606.05328).

Both give the logits of every value from the values before it: all rows above, all pixels to the left and, at the pixel
itself, the channels before. For the last, features are in groups, one for each channel (the first third is for red, and
so on); a group sees the groups up to its own. `fill` draws with caches, at a cost that grows as the pixels do.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.nn.autoregressive import AutoregressiveNetwork
from isthmus.nn.masked_sampler import GatedCache, PlainCache, fill

Mask = Literal["A", "B"]


def groups(features: int, channels: int) -> Tensor:
    """The channel [features] that each feature belongs to: groups as equal as can be, in order."""
    return torch.arange(features) * channels // features


class MaskedConv2d(nn.Conv2d):
    """A convolution that sees no later pixel, and at the pixel itself what its mask lets through.

    `inputs` and `outputs` are the groups of the features. Mask A lets through the groups before one's own, mask B one's
    own too. The kernel reaches `above` rows up, where it sees `left` and `right`, and `left` in its own row. The mask
    is multiplied in at every pass, since an optimiser fills what was only set to zero once.
    """

    bias: Tensor
    mask: Tensor

    def __init__(
        self, inputs: Tensor, outputs: Tensor, above: int = 0, left: int = 0, right: int = 0, mask: Mask = "B"
    ) -> None:
        super().__init__(len(inputs), len(outputs), (above + 1, left + 1 + right))
        self.edges = left, right, above, 0
        through = torch.ones_like(self.weight)
        here = inputs < outputs[:, None] if mask == "A" else inputs <= outputs[:, None]
        through[:, :, above, left] = here.float()
        through[:, :, above, left + 1 :] = 0
        self.register_buffer("mask", through, persistent=False)

    @property
    def masked(self) -> Tensor:
        """The weights [outputs, inputs, above + 1, left + 1 + right]."""
        return self.weight * self.mask

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, self.edges) if any(self.edges) else x, self.masked, self.bias)


def head(features: Tensor, hidden: Tensor, channels: int, levels: int) -> nn.Sequential:
    """ReLU and 1x1 convolution, twice: features to `levels` logits for each channel."""
    values = torch.arange(channels).repeat_interleave(levels)
    return nn.Sequential(nn.ReLU(), MaskedConv2d(features, hidden), nn.ReLU(), MaskedConv2d(hidden, values))


def by_channel(logits: Tensor, levels: int) -> Tensor:
    """[batch, channels * levels, height, width] -> [batch, levels, channels, height, width]."""
    return logits.unflatten(1, (-1, levels)).transpose(1, 2)


class ResidualBlock(nn.Module):
    """2h features to 2h: 1x1 to h, masked convolution, 1x1 back, each after a ReLU (figure 5 of 1601.06759)."""

    def __init__(self, features: Tensor, half: Tensor, side: int) -> None:
        super().__init__()
        self.reduce = MaskedConv2d(features, half)
        self.convolution = MaskedConv2d(half, half, side, side, side)
        self.expand = MaskedConv2d(half, features)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.expand(self.convolution(self.reduce(x.relu()).relu()).relu())


class PlainPixels(AutoregressiveNetwork):
    """PixelCNN: a convolution with mask A, then `layers` residual blocks with mask B.

    It has a blind spot: a stack of masked convolutions does not see pixels that are up and far to the right. `mask` B
    in the first layer is an ablation: every value then sees itself.
    """

    def __init__(
        self,
        channels: int,
        levels: int,
        features: int,
        layers: int,
        kernel: int = 3,
        first_kernel: int = 7,
        hidden: int | None = None,
        mask: Mask = "A",
    ) -> None:
        super().__init__()
        self.levels, side = levels, first_kernel // 2
        wide, half = groups(2 * features, channels), groups(features, channels)
        self.first = MaskedConv2d(torch.arange(channels), wide, side, side, side, mask)
        self.blocks = nn.ModuleList(ResidualBlock(wide, half, kernel // 2) for _ in range(layers))
        self.head = head(wide, groups(hidden or 2 * features, channels), channels, levels)

    def forward(self, x: Tensor) -> Tensor:
        """Images [batch, channels, height, width] in [-1, 1] to logits [batch, levels, channels, height, width]."""
        h = self.first(x).contiguous(memory_format=torch.channels_last)  # twice as fast on CPUs
        for block in self.blocks:
            h = block(h)
        return by_channel(self.head(h), self.levels)

    def fill(self, image: Tensor, known: Tensor, uniform: Tensor, temperature: float = 1.0) -> Tensor:
        """Draw what is not `known`, bool [height, width], as `sample_naively` does with the same `uniform` noise."""
        return fill(lambda: PlainCache(self, image), image, known, uniform, temperature)


class GatedLayer(nn.Module):
    """Vertical and horizontal stack of one layer (figure 2 of 1606.05328).

    The vertical stack sees its own row and those above in full. The horizontal stack sees what is to the left in its
    own row and, through a 1x1 convolution, the vertical stack of the row above. The condition is a bias of both.
    """

    def __init__(self, before: Tensor, after: Tensor, side: int, conditions: int, mask: Mask = "B") -> None:
        super().__init__()
        both = after.repeat(2)  # what is filtered, and its gates
        self.edges = side, side, side, 0
        self.vertical = nn.Conv2d(len(before), len(both), (side + 1, 2 * side + 1))
        self.horizontal = MaskedConv2d(before, both, left=side, mask=mask)
        self.link = nn.Conv2d(len(both), len(both), 1, bias=False)  # the horizontal convolution has one
        self.residual = MaskedConv2d(after, after)
        self.condition = nn.Conv2d(conditions, 2 * len(both), 1, bias=False) if conditions else None

    def forward(self, v: Tensor, h: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        """The vertical stack before its gates [batch, 2 features, height, width], and what the horizontal one gains."""
        vertical = self.vertical(F.pad(v, self.edges))
        horizontal = self.horizontal(h) + self.link(F.pad(vertical, (0, 0, 1, -1)))  # a row late
        if self.condition is not None:
            for_vertical, for_horizontal = self.condition(condition).chunk(2, dim=1)
            vertical, horizontal = vertical + for_vertical, horizontal + for_horizontal
        return vertical, self.residual(gated(horizontal))


def gated(x: Tensor) -> Tensor:
    """tanh of the first half of the features times the sigmoid of the second (eq. 2 of 1606.05328)."""
    filtered, gate = x.chunk(2, dim=1)
    return filtered.tanh() * gate.sigmoid()


def maps(conditions: int, shape: tuple[int, int, int]) -> nn.Sequential:
    """A condition [batch, conditions] to one that differs from place to place, maps [batch, *shape] (section 2.3)."""
    return nn.Sequential(nn.Linear(conditions, math.prod(shape)), nn.Unflatten(1, shape))


class GatedPixels(AutoregressiveNetwork):
    """Gated PixelCNN: `layers` gated layers, which have no blind spot.

    `conditions` is the length of the vector that the image is drawn for, or the number of channels of a map of the
    image's size, which says what to draw where. `mask` B in the first layer is an ablation: every value sees itself.
    """

    def __init__(
        self,
        channels: int,
        levels: int,
        features: int,
        layers: int,
        kernel: int = 3,
        first_kernel: int = 7,
        hidden: int | None = None,
        conditions: int = 0,
        mask: Mask = "A",
    ) -> None:
        super().__init__()
        self.levels, pixel, inner = levels, torch.arange(channels), groups(features, channels)
        self.first = GatedLayer(pixel, inner, first_kernel // 2, conditions, mask)
        self.layers = nn.ModuleList(GatedLayer(inner, inner, kernel // 2, conditions) for _ in range(layers - 1))
        self.head = head(inner, groups(hidden or features, channels), channels, levels)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images [batch, channels, height, width] in [-1, 1] to logits [batch, levels, channels, height, width].

        `condition` is [batch, conditions] or [batch, conditions, height, width].
        """
        if condition is not None and condition.dim() == 2:
            condition = condition[..., None, None]
        vertical, h = (t.contiguous(memory_format=torch.channels_last) for t in self.first(x, x, condition))
        for layer in self.layers:
            vertical, gain = layer(gated(vertical), h, condition)
            h = h + gain
        return by_channel(self.head(h), self.levels)

    def fill(
        self, image: Tensor, known: Tensor, uniform: Tensor, condition: Tensor | None = None, temperature: float = 1.0
    ) -> Tensor:
        """Draw what is not `known`, bool [height, width], as `sample_naively` does with the same `uniform` noise."""
        return fill(lambda: GatedCache(self, image, condition), image, known, uniform, temperature)
