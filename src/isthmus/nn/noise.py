"""Noise: as a layer, and what a generator is given."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Noise(nn.Module):
    """Adds N(0, deviation^2) in training, and nothing in evaluation: any shape."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation

    def forward(self, x: Tensor) -> Tensor:
        return x + self.deviation * torch.randn_like(x) if self.training and self.deviation else x


def uniform(normal: Tensor) -> Tensor:
    """Draws of N(0, 1) as draws of U(-1, 1), each at its quantile: any shape.

    So the codes of a model whose noise is uniform are Gaussian like all codes, and can be interpolated alike.
    """
    return torch.erf(normal / math.sqrt(2))
