"""What weights are drawn from at first. Biases are 0."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import nn

Linear = nn.Linear | nn.Conv2d | nn.ConvTranspose2d


def small(*nets: nn.Module, deviation: float = 0.02) -> None:
    """Weights of N(0, deviation^2), gains of N(1, deviation^2) (Radford et al., 2016, arXiv:1511.06434, section 3)."""
    for net in nets:
        for layer in linear(net):
            nn.init.normal_(layer.weight, 0, deviation)
        for norm in net.modules():
            if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d | nn.GroupNorm) and norm.affine:
                nn.init.normal_(norm.weight, 1, deviation)


def glorot(*nets: nn.Module) -> None:
    """Uniform weights that keep the scale of activations and gradients under ReLU (Glorot and Bengio, 2010)."""
    for net in nets:
        for layer in linear(net):
            nn.init.xavier_uniform_(layer.weight, math.sqrt(2))


def he(*nets: nn.Module) -> None:
    """Normal weights that keep the scale of activations under ReLU (He et al., 2015, arXiv:1502.01852, eq. 10)."""
    for net in nets:
        for layer in linear(net):
            nn.init.kaiming_normal_(layer.weight)


def linear(net: nn.Module) -> Iterator[Linear]:
    """Every linear or convolutional layer, its bias set to 0."""
    for layer in net.modules():
        if isinstance(layer, Linear):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
            yield layer
