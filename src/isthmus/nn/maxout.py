"""Maxout units (Goodfellow et al., 2013, arXiv:1302.4389)."""

from __future__ import annotations

from torch import Tensor, nn


class Maxout(nn.Module):
    """The largest of `pieces` linear functions, for each of `units`: [batch, inputs] -> [batch, units]."""

    def __init__(self, inputs: int, units: int, pieces: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, units * pieces)
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).unflatten(1, (-1, self.pieces)).amax(2)
