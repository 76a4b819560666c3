"""Fully connected networks."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


def mlp(*widths: int) -> nn.Sequential:
    """Linear layers with ReLU between them, none at the end: [batch, widths[0]] -> [batch, widths[-1]]."""
    layers: list[nn.Module] = [nn.Linear(widths[0], widths[1])]
    for before, after in pairwise(widths[1:]):
        layers += [nn.ReLU(), nn.Linear(before, after)]
    return nn.Sequential(*layers)


class Concatenated(nn.Module):
    """`net` on several vectors at once: ([batch, a], [batch, b], ...) -> net([batch, a + b + ...])."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, *vectors: Tensor) -> Tensor:
        return self.net(torch.cat(vectors, dim=1))


class Conditioned(nn.Module):
    """`mlp` whose hidden layers all see a class: ([batch, widths[0]], one-hot [batch, classes]) -> [batch, widths[-1]].

    The class shifts every unit, at first so far that each class begins with active units of its own. As one more input
    among many it would be heard late, if ever.
    """

    def __init__(self, classes: int, *widths: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
        self.shifts = nn.ModuleList(nn.Linear(classes, width, bias=False) for width in widths[1:-1])
        for parameter in self.shifts.parameters():
            nn.init.normal_(parameter, std=1.5)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        *between, last = self.layers
        for layer, shift in zip(between, self.shifts, strict=True):
            x = (layer(x) + shift(y)).relu()
        return last(x)
