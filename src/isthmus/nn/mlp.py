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
