"""Exact sampling from PixelCNNs at the cost of one forward pass, by caching what does not change.

`fill` draws value by value and asks a cache for logits. What the rows above contribute to a row is computed once, when
the row begins, by a few large matrix products; what a pixel adds, by a few small ones for each layer, in place in
buffers that were sliced beforehand. Features are the last dimension, and columns lie so that the taps of a kernel are
one slice. An image of several channels takes one pass for each, which settles the features of that channel's group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol, cast

import torch
from torch import Tensor, nn

from isthmus.core import steps
from isthmus.nn.autoregressive import draw, from_levels

if TYPE_CHECKING:
    from isthmus.nn.masked import GatedLayer, GatedPixels, MaskedConv2d, PlainPixels, ResidualBlock


class Cache(Protocol):
    """What a network knows of the images so far."""

    levels: int
    pixels: Tensor  # [batch, width, channels]: the row that is being drawn
    steps_are_seen_below: bool  # or else the rows below see no more than pixels, so that a row may end early

    def begin(self, row: int) -> None:
        """The rows above are finished, and `pixels` holds what is known of this one."""

    def step(self, column: int, channel: int) -> None:
        """The values before this one are final."""

    def logits(self, channel: int) -> Tensor:
        """Of the value that was stepped to, [batch, levels]."""

    def finish(self, row: int) -> None:
        """The values of the row are final."""


def fill(make: Callable[[], Cache], image: Tensor, known: Tensor, uniform: Tensor, temperature: float) -> Tensor:
    """Draw what is not `known`, bool [height, width]; `image` and `uniform` are [batch, channels, height, width]."""
    with torch.inference_mode(), one_thread():
        cache, image = make(), torch.where(known, image, 0.0)
        values = from_levels(torch.arange(cache.levels, device=image.device), cache.levels).to(image.dtype)
        noise = uniform.permute(2, 3, 1, 0).contiguous()
        missing = [{column for column, given in enumerate(row) if not given} for row in known.tolist()]
        rows = range(max((row + 1 for row, columns in enumerate(missing) if columns), default=0))
        for row in steps(rows, "drawing rows"):
            cache.pixels.copy_(image[:, :, row].transpose(1, 2))
            columns = range(image.shape[3] if cache.steps_are_seen_below else max(missing[row], default=-1) + 1)
            if columns:
                cache.begin(row)
            for column in columns:
                for channel in range(image.shape[1]):
                    cache.step(column, channel)  # the pixels to the right see what is known, too
                    if column in missing[row]:
                        value = draw(cache.logits(channel), noise[row, column, channel], temperature)
                        cache.pixels[:, column, channel] = values[value]
            image[:, :, row] = cache.pixels.transpose(1, 2)
            if row + 1 < len(rows):
                cache.finish(row)
    return image.clone()  # an ordinary tensor, outside of inference mode


@contextmanager
def one_thread() -> Iterator[None]:
    """The matrices of a pixel are too small for two threads, which take longer to meet than to multiply."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def groups(features: int, channels: int) -> list[int]:
    """Where the group of each channel begins, and where the last one ends."""
    return [-(-features * channel // channels) for channel in range(channels + 1)]


class Above:
    """The latest rows of some features, and a convolution over them: kernel [outputs, inputs, rows, columns]."""

    def __init__(self, kernel: Tensor, width: int, batch: int) -> None:
        _, inputs, rows, columns = kernel.shape
        side = columns // 2
        self.rows = kernel.new_zeros(width + 2 * side, batch, rows, inputs)
        self.newest = self.rows[side : side + width, :, -1].transpose(0, 1)  # [batch, width, inputs]
        self.kernels = kernel.permute(3, 2, 1, 0).flatten(1, 2).contiguous()  # a matrix for each column of the kernel
        flat = self.rows.view(-1, rows * inputs)
        self.windows = [flat[column * batch : (column + width) * batch] for column in range(columns)]

    def push(self, row: Tensor) -> None:
        """The next row [batch, width, inputs]."""
        self.rows[:, :, :-1] = self.rows[:, :, 1:].clone()
        self.newest.copy_(row)

    def convolve(self, bias: Tensor, out: Tensor) -> None:
        """Into `out` [width * batch, outputs]."""
        torch.addmm(bias, self.windows[0], self.kernels[0], out=out)
        for window, kernel in zip(self.windows[1:], self.kernels[1:], strict=True):
            out.addmm_(window, kernel)


class Left:
    """A row of some features, and that part of a masked convolution that lies in it, for each column and group."""

    def __init__(self, convolution: MaskedConv2d, channels: int, width: int, batch: int) -> None:
        left, inputs = convolution.edges[0], convolution.in_channels
        ends = groups(inputs, channels)
        row = convolution.weight.new_zeros(batch, left + width, inputs)
        self.pixels, flat = row[:, left:], row.flatten(1)
        self.slots = [[self.pixels[:, column, a:b] for a, b in pairwise(ends)] for column in range(width)]
        self.seen = [left * inputs + end for end in ends[1:]]  # how much of a window each group sees
        self.windows = [[flat[:, c * inputs : c * inputs + seen] for seen in self.seen] for c in range(width)]
        kernel = convolution.masked[:, :, -1, : left + 1]
        self.matrix = kernel.permute(2, 1, 0).flatten(0, 1)  # [window, outputs]


class Pointwise:
    """A 1x1 convolution at one pixel: what was written into `slots`, group by group, times `matrices`."""

    def __init__(self, convolution: MaskedConv2d, channels: int, batch: int) -> None:
        outputs, inputs = (groups(size, channels) for size in convolution.weight.shape[:2])
        matrix = torch.cat([convolution.bias[None], convolution.masked[:, :, 0, 0].T])
        one_and_inputs = matrix.new_ones(batch, len(matrix))  # so that the bias is a row of the matrix
        self.slots = [one_and_inputs[:, 1 + a : 1 + b] for a, b in pairwise(inputs)]
        self.seen = [one_and_inputs[:, : 1 + end] for end in inputs[1:]]
        spans = zip(inputs[1:], pairwise(outputs), strict=True)
        self.matrices = [matrix[: 1 + end, a:b].contiguous() for end, (a, b) in spans]

    def plan(self, channel: int) -> tuple[Tensor, Tensor, Tensor]:
        """Where the group's features go, what it then sees, and its matrix."""
        return self.slots[channel], self.seen[channel], self.matrices[channel]


class Head:
    """ReLU and 1x1 convolution, twice: of what was written into `slots`, group by group."""

    def __init__(self, head: nn.Sequential, channels: int, batch: int) -> None:
        first, second = cast("list[MaskedConv2d]", [head[1], head[3]])
        self.first, self.second = Pointwise(first, channels, batch), Pointwise(second, channels, batch)
        features = first.weight.new_zeros(batch, first.in_channels)
        self.slots = [features[:, a:b] for a, b in pairwise(groups(first.in_channels, channels))]

    def logits(self, channel: int) -> Tensor:
        """Of the value of one channel, [batch, levels]; those of the channels before come first."""
        first, second = self.first, self.second
        torch.clamp(self.slots[channel], min=0, out=first.slots[channel])
        hidden = torch.mm(first.seen[channel], first.matrices[channel])
        torch.clamp(hidden, min=0, out=second.slots[channel])
        return torch.mm(second.seen[channel], second.matrices[channel])


class GatedRow:
    """What one gated layer keeps: of the vertical stack, of the link to the horizontal one, and of that.

    tanh(a) is 1 - 2 sigmoid(-2 a): with -2 in the weights that make `a`, one sigmoid serves both halves of the gates.
    """

    def __init__(self, layer: GatedLayer, channels: int, width: int, batch: int) -> None:
        link, double = layer.link.weight[:, :, 0, 0], len(layer.link.weight)
        spans = [*pairwise(groups(double // 2, channels))]
        order = [i + half for a, b in spans for half in (0, double // 2) for i in range(a, b)]  # group by group
        scale = torch.tensor([-2.0 if i < double // 2 else 1.0 for i in order]).to(link)
        self.above, self.vertical_bias = Above(layer.vertical.weight, width, batch), cast(Tensor, layer.vertical.bias)
        self.link, self.bias = link[order].T * scale, layer.horizontal.bias[order] * scale
        if layer.condition is not None:
            for_vertical, for_horizontal = layer.condition.weight[:, :, 0, 0].T.chunk(2, dim=1)
            self.for_vertical, self.for_horizontal = for_vertical, for_horizontal[:, order] * scale
        self.vertical, self.gates = (link.new_zeros(width * batch, double) for _ in range(2))
        self.left = Left(layer.horizontal, channels, width, batch)
        self.residual = Pointwise(layer.residual, channels, batch)
        whole = self.left.matrix[:, order] * scale
        self.matrices = [whole[:n, 2 * a : 2 * b].contiguous() for n, (a, b) in zip(self.left.seen, spans, strict=True)]
        self.slots = [[gates[:, 2 * a : 2 * b] for a, b in spans] for gates in self.gates.view(width, batch, double)]

    def begin(self, condition: Tensor | None) -> None:
        """Take what the row above means for this one, whose condition is [width * batch, conditions]."""
        torch.addmm(self.bias, self.vertical, self.link, out=self.gates)
        if condition is not None:
            self.gates.addmm_(condition, self.for_horizontal)

    def finish(self, v: Tensor, condition: Tensor | None) -> Tensor:
        """The vertical stack at a finished row [batch, width, features], from that of the layer before."""
        self.above.push(v)
        self.above.convolve(self.vertical_bias, out=self.vertical)
        vertical = self.vertical if condition is None else self.vertical.addmm(condition, self.for_vertical)
        filtered, gate = vertical.chunk(2, dim=1)
        return (filtered.tanh() * gate.sigmoid()).unflatten(0, (v.shape[1], v.shape[0])).transpose(0, 1)

    def plan(self, column: int, channel: int, here: Tensor, out: Tensor) -> tuple[Tensor, ...]:
        """All that `GatedCache.step` needs of this layer at one place; `here` is what the residual is added to."""
        gates, residual = self.slots[column][channel], self.residual
        window, matrix = self.left.windows[column][channel], self.matrices[channel]
        slot, seen, weights = residual.plan(channel)
        return gates, window, matrix, *gates.chunk(2, dim=1), slot, here, seen, weights, out


class GatedCache:
    """Caches of a gated network: the vertical stack goes by rows, the horizontal one by columns."""

    steps_are_seen_below = False

    def __init__(self, net: GatedPixels, image: Tensor, condition: Tensor | None) -> None:
        batch, channels, _, width = image.shape
        self.levels, self.head = net.levels, Head(net.head, channels, batch)
        layers = cast("list[GatedLayer]", [net.first, *net.layers])
        self.rows = [GatedRow(layer, channels, width, batch) for layer in layers]
        self.pixels, self.condition = self.rows[0].left.pixels, condition
        nothing = [torch.zeros_like(slot) for slot in self.head.slots]  # what the first layer's residual is added to
        self.plans = [self.plan(column, channel, nothing) for column in range(width) for channel in range(channels)]
        self.channels = channels

    def plan(self, column: int, channel: int, nothing: list[Tensor]) -> list[tuple[Tensor, ...]]:
        """What `step` needs of each layer at one place: the input of each is the output of the one before."""
        inputs = [row.left.slots[column][channel] for row in self.rows[1:]]
        ends = zip([nothing[channel], *inputs], [*inputs, self.head.slots[channel]], strict=True)
        return [row.plan(column, channel, h, out) for row, (h, out) in zip(self.rows, ends, strict=True)]

    def condition_of(self, row: int) -> Tensor | None:
        """[width * batch, conditions]."""
        if self.condition is None:
            return None
        if self.condition.dim() == 2:
            return self.condition.repeat(self.pixels.shape[1], 1)
        return self.condition[:, :, row].permute(2, 0, 1).flatten(0, 1)

    def begin(self, row: int) -> None:
        condition = self.condition_of(row)
        for layer in self.rows:
            layer.begin(condition)

    def step(self, column: int, channel: int) -> None:
        for gates, window, matrix, filtered, gate, product, here, products, residual, out in self.plans[
            column * self.channels + channel
        ]:
            gates.addmm_(window, matrix).sigmoid_()
            torch.addcmul(gate, filtered, gate, value=-2, out=product)  # (1 - 2 filtered) gate
            torch.addmm(here, products, residual, out=out)

    def logits(self, channel: int) -> Tensor:
        return self.head.logits(channel)

    def finish(self, row: int) -> None:
        v, condition = self.pixels, self.condition_of(row)
        for layer in self.rows:
            v = layer.finish(v, condition)


class PlainRow:
    """What one masked convolution keeps: a row of its inputs, and what the rows above contribute to that."""

    def __init__(self, convolution: MaskedConv2d, channels: int, width: int, batch: int) -> None:
        outputs = convolution.out_channels
        spans = [*pairwise(groups(outputs, channels))]
        self.above, self.bias = Above(convolution.masked[:, :, :-1], width, batch), convolution.bias
        self.left, self.out = Left(convolution, channels, width, batch), self.bias.new_zeros(width * batch, outputs)
        zipped = zip(self.left.seen, spans, strict=True)
        self.matrices = [self.left.matrix[:n, a:b].contiguous() for n, (a, b) in zipped]
        self.slots = [[pixel[:, a:b] for a, b in spans] for pixel in self.out.view(width, batch, outputs)]

    def seen(self, column: int, channel: int) -> tuple[Tensor, Tensor]:
        """The window of a group at a column, and its matrix."""
        return self.left.windows[column][channel], self.matrices[channel]

    def begin(self) -> None:
        self.above.convolve(self.bias, out=self.out)

    def finish(self) -> None:
        self.above.push(self.left.pixels)


class PlainCache:
    """Caches of a plain network, whose only stack is both."""

    steps_are_seen_below = True

    def __init__(self, net: PlainPixels, image: Tensor) -> None:
        batch, channels, _, width = image.shape
        self.levels, self.head = net.levels, Head(net.head, channels, batch)
        self.first = PlainRow(net.first, channels, width, batch)
        self.pixels = self.first.left.pixels
        self.blocks = [
            (
                Pointwise(block.reduce, channels, batch),
                PlainRow(block.convolution, channels, width, batch),
                Pointwise(block.expand, channels, batch),
            )
            for block in cast("Iterable[ResidualBlock]", net.blocks)
        ]
        self.rows = [self.first, *(row for _, row, _ in self.blocks)]
        self.plans = [[self.plan(column, channel) for channel in range(channels)] for column in range(width)]

    def plan(self, column: int, channel: int) -> list[tuple[Tensor, ...]]:
        """What `step` needs of each block at one place."""
        h, calls = self.first.slots[column][channel], list[tuple[Tensor, ...]]()
        for reduce, row, expand in self.blocks:
            out = self.head.slots[channel] if row is self.rows[-1] else torch.zeros_like(h)
            left = row.left.slots[column][channel], row.slots[column][channel], *row.seen(column, channel)
            calls.append((h, *reduce.plan(channel), *left, *expand.plan(channel), out))
            h = out
        return calls

    def begin(self, row: int) -> None:
        for convolution in self.rows:
            convolution.begin()

    def step(self, column: int, channel: int) -> None:
        self.first.slots[column][channel].addmm_(*self.first.seen(column, channel))
        for h, into, seen, reduce, narrow, above, window, matrix, half, halves, expand, out in self.plans[column][
            channel
        ]:
            torch.clamp(h, min=0, out=into)
            torch.mm(seen, reduce, out=narrow).relu_()
            torch.clamp(above.addmm_(window, matrix), min=0, out=half)
            torch.addmm(h, halves, expand, out=out)

    def logits(self, channel: int) -> Tensor:
        return self.head.logits(channel)

    def finish(self, row: int) -> None:
        for convolution in self.rows:
            convolution.finish()
