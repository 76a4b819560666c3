"""The networks of a generator and a discriminator, of three kinds: fully connected, strided, residual."""

from __future__ import annotations

import math
from typing import Literal

from torch import nn

from isthmus.nn.initialise import glorot
from isthmus.nn.norm import Norm, centred, constrained, normalised
from isthmus.nn.residual import residual_discriminator, residual_generator
from isthmus.nn.strided import Discriminator, strided_discriminator, strided_generator

Network = Literal["mlp", "conv", "residual"]


def mlp_generator(
    inputs: int, shape: tuple[int, int, int], hidden: int, norm: Norm = "none", layers: int = 2
) -> nn.Module:
    """Hidden layers of ReLU, and tanh at the end: [batch, inputs] -> [batch, channels, height, width]."""
    parts: list[nn.Module] = []
    for before in (inputs, *[hidden] * (layers - 1)):
        parts += [nn.Linear(before, hidden, bias=not centred(norm)), normalised(norm, hidden, maps=False), nn.ReLU()]
    net = nn.Sequential(*parts, nn.Linear(hidden, math.prod(shape)), nn.Tanh(), nn.Unflatten(1, shape))
    glorot(net)
    return constrained(net, norm)


def mlp_discriminator(
    shape: tuple[int, int, int], hidden: int, norm: Norm = "none", layers: int = 2, outputs: int = 1
) -> Discriminator:
    """Hidden layers of leaky ReLU: [batch, channels, height, width] -> [batch, outputs]."""
    parts: list[nn.Module] = [nn.Flatten()]
    for before in (math.prod(shape), *[hidden] * (layers - 1)):
        parts += [
            nn.Linear(before, hidden, bias=not centred(norm)),
            normalised(norm, hidden, maps=False),
            nn.LeakyReLU(0.2),
        ]
    net = Discriminator(nn.Sequential(*parts), hidden, outputs)
    glorot(net)
    return constrained(net, norm)


def generator(
    network: Network, inputs: int, shape: tuple[int, int, int], norm: Norm, *, hidden: int, layers: int, features: int
) -> nn.Module:
    """A generator of that kind: of `layers` of `hidden` units (mlp), or with `features` maps (conv, residual)."""
    match network:
        case "mlp":
            return mlp_generator(inputs, shape, hidden, norm, layers)
        case "conv":
            return strided_generator(inputs, shape, features, norm)
        case "residual":
            return residual_generator(inputs, shape, features, norm)


def discriminator(
    network: Network, shape: tuple[int, int, int], norm: Norm, *, hidden: int, layers: int, features: int
) -> Discriminator:
    """A discriminator of that kind."""
    match network:
        case "mlp":
            return mlp_discriminator(shape, hidden, norm, layers)
        case "conv":
            return strided_discriminator(shape, features, norm)
        case "residual":
            return residual_discriminator(shape, features, norm)
