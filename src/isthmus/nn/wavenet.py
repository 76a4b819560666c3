"""The causal network of WaveNet (van den Oord et al., 2016, arXiv:1609.03499), and its sampler with queues.

An image is read as the sequence of its values, in raster order and at each place channel by channel; a sound, which has
one channel and the height 1, is its sequence as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core import steps
from isthmus.nn.autoregressive import AutoregressiveNetwork, draw, from_levels, to_levels


class Layer(nn.Module):
    """z = tanh(W_f * x + V_f h) sigmoid(W_g * x + V_g h) (eq. 2, eq. 3), and the 1x1 convolutions behind it.

    The convolution `*` is causal: it is padded on the left alone. The last layer of a network has only a skip path,
    since there is no next one.
    """

    def __init__(self, features: int, hidden: int, kernel: int, dilation: int, conditions: int, last: bool) -> None:
        super().__init__()
        self.features, self.hidden = features, hidden
        self.past = dilation * (kernel - 1)  # how far it looks back
        self.gate = nn.Conv1d(features, 2 * features, kernel, dilation=dilation)
        self.condition = nn.Linear(conditions, 2 * features, bias=False) if conditions else None
        self.out = nn.Conv1d(features, hidden if last else hidden + features, 1)

    def forward(self, x: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        """x [batch, features, time] to x of the next layer, and to the skip path [batch, hidden, time]."""
        gate = self.gate(F.pad(x, (self.past, 0)))
        if self.condition is not None:
            gate = gate + self.condition(condition)[..., None]
        return self.paths(x, self.out(activation(gate)))

    def paths(self, x: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        """The residual path, and the skip path."""
        skip, residual = out.tensor_split([self.hidden], dim=1)
        return (x + residual if residual.shape[1] else x), skip


def activation(gate: Tensor) -> Tensor:
    """The gated activation unit (eq. 2): channels and their gates, [batch, 2 n, ...], to [batch, n, ...]."""
    filtered, gated = gate.chunk(2, dim=1)
    return filtered.tanh() * gated.sigmoid()


class Queue:
    """A layer at one step after the other: of its earlier inputs it keeps those that it will see again.

    This is the fast generation of Le Paine et al., 2016, arXiv:1611.09482; `memory` is a ring of `past` inputs.
    """

    def __init__(self, layer: Layer, condition: Tensor | None, batch: int) -> None:
        weight, bias = layer.gate.weight, cast(Tensor, layer.gate.bias)
        self.layer, (dilation,) = layer, layer.gate.dilation
        self.ages = range(layer.past, 0, -dilation)  # of the inputs that the convolution sees, beside the new one
        self.gate = weight.permute(2, 1, 0).flatten(0, 1)  # [kernel * features, 2 features], as in `seen`
        self.bias = bias if layer.condition is None else bias + layer.condition(condition)
        self.out = layer.out.weight[..., 0]
        self.memory = [weight.new_zeros(batch, layer.features)] * layer.past

    def step(self, x: Tensor, time: int) -> tuple[Tensor, Tensor]:
        """What the layer makes of its input x [batch, features] at `time`: the next layer's, and the skip path."""
        past = self.layer.past
        seen = torch.cat([*(self.memory[(time - age) % past] for age in self.ages), x], dim=1)
        self.memory[time % past] = x
        z = activation(torch.addmm(self.bias, seen, self.gate))
        return self.layer.paths(x, F.linear(z, self.out, self.layer.out.bias))


class WaveNetwork(AutoregressiveNetwork):
    """Logits of every value, given all values before it: `blocks` times the dilations 1, 2, 4, ..., 2^(layers - 1).

    A value depends on exactly the `receptive_field` values before it. `conditions` is the length of the vector h.
    """

    def __init__(
        self, levels: int, features: int, hidden: int, layers: int, blocks: int, kernel: int = 2, conditions: int = 0
    ) -> None:
        super().__init__()
        dilations = [2**i for i in range(layers)] * blocks
        self.levels, self.features = levels, features
        self.receptive_field = 1 + sum(dilation * (kernel - 1) for dilation in dilations)
        self.embedding = nn.Embedding(levels, features)  # a 1x1 convolution of one-hot values
        self.layers = nn.ModuleList(
            Layer(features, hidden, kernel, dilation, conditions, last=i == len(dilations))
            for i, dilation in enumerate(dilations, start=1)
        )
        self.head = nn.Sequential(nn.ReLU(), nn.Conv1d(hidden, hidden, 1), nn.ReLU(), nn.Conv1d(hidden, levels, 1))

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images in [-1, 1] to logits [batch, levels, channels, height, width]; `condition` is [batch, conditions]."""
        value = sequence(to_levels(image, self.levels))
        x = F.pad(self.embedding(value).transpose(1, 2)[..., :-1], (1, 0))  # a step late: no value sees itself
        total = x.new_zeros(())
        for layer in self.layers:
            x, skip = layer(x, condition)
            total = total + skip
        return from_sequence(self.head(total), image)

    @torch.no_grad()
    def fill(
        self, image: Tensor, known: Tensor, uniform: Tensor, condition: Tensor | None = None, temperature: float = 1.0
    ) -> Tensor:
        """Draw the values of `image` where `known`, bool [height, width], is false, each given all before it.

        `uniform`, of the shape of `image`, is the noise in [0, 1). The cost grows with the number of values.
        """
        value, noise = sequence(to_levels(image, self.levels)), sequence(uniform)
        given = known.flatten().repeat_interleave(image.shape[1]).tolist()
        queues = [Queue(layer, condition, len(image)) for layer in cast(Iterable[Layer], self.layers)]
        x = self.embedding.weight.new_zeros(len(image), self.features)
        for time in steps(range(len(given)), "drawing values"):
            total = x.new_zeros(())
            for queue in queues:
                x, skip = queue.step(x, time)
                total = total + skip
            if not given[time]:
                logits = self.head(total[..., None])[..., 0]
                value[:, time] = draw(logits, noise[:, time], temperature)
            x = self.embedding(value[:, time])
        return torch.where(known, image, from_levels(from_sequence(value, image), self.levels))


def sequence(image: Tensor) -> Tensor:
    """[batch, channels, height, width] -> [batch, height * width * channels]."""
    return image.movedim(1, -1).flatten(1)


def from_sequence(value: Tensor, image: Tensor) -> Tensor:
    """[..., height * width * channels] -> [..., channels, height, width], as `image` has them."""
    channels, height, width = image.shape[1:]
    return value.unflatten(-1, (height, width, channels)).movedim(-1, -3)
