"""Strided convolutions for images of any height and width (Radford et al., 2016, arXiv:1511.06434).

A generator is [batch, inputs] -> [batch, channels, height, width] in [-1, 1]. A discriminator has `features`,
[batch, channels, height, width] -> [batch, width], and a linear `head` that makes [batch, outputs] of them.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from isthmus.nn.conv import halvings
from isthmus.nn.initialise import small
from isthmus.nn.norm import Norm, centred, constrained, normalised
from isthmus.nn.translators import Upsampling

SMALLEST = 7  # sides are halved, at least once, until they are at most this


class Crop(nn.Module):
    """The upper left part of maps: [batch, channels, H, W] -> [batch, channels, height, width]."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, : self.height, : self.width]


class Layers(nn.Sequential):
    """Layers one after the other; given vectors [batch, n], every linear or convolutional layer sees them.

    They lie beside the layer's input as n more values, or as n constant maps where the input is maps.
    """

    def forward(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        for layer in self:
            x = seen(layer, x, given)
        return x


def seen(layer: nn.Module, x: Tensor, given: Tensor | None) -> Tensor:
    """What one layer makes of `x`, and of what is given if it is linear or convolutional."""
    if given is not None and isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        x = beside(x, given)
    return layer(x)


def beside(x: Tensor, vector: Tensor) -> Tensor:
    """Vectors or maps `x` with `vector` [batch, n] as n more channels."""
    vector = vector.to(x.dtype)
    return torch.cat([x, vector if x.ndim == 2 else vector[:, :, None, None].expand(-1, -1, *x.shape[2:])], dim=1)


class Discriminator(nn.Module):
    """Features, and a linear head on them: [batch, channels, height, width] -> [batch, outputs]."""

    def __init__(self, features: nn.Module, width: int, outputs: int = 1, given: int = 0, *, bias: bool = True) -> None:
        super().__init__()
        self.features, self.width = features, width
        self.head = Layers(nn.Linear(width + given, outputs, bias))

    def forward(self, x: Tensor, *given: Tensor) -> Tensor:
        return self.head(self.features(x, *given), *given)


def strided_generator(
    inputs: int,
    shape: tuple[int, int, int],
    features: int,
    norm: Norm = "batch",
    given: int = 0,
    upsampling: Upsampling = "transposed",
) -> nn.Module:
    """Fractionally strided convolutions, with `features` maps at half the size and twice as many at each size below.

    Normalised everywhere but at the output, ReLU, tanh at the end. With `given`, vectors [batch, given] enter every
    layer. With "nearest", pixels are repeated before 3x3 convolutions: no checkerboard is left (Odena et al., 2016).
    """
    channels, height, width = shape
    (h, w), *larger = halvings(height, width, SMALLEST, least=1)[::-1]
    widths = [features << i for i in reversed(range(len(larger)))]
    # The norm takes away constants of whole maps, all that the authors' transposed convolution has; not of places.
    first = nn.Linear(inputs + given, widths[0] * h * w, bias=not centred(norm))
    layers: list[nn.Module] = [first, nn.Unflatten(1, (widths[0], h, w))]
    for (before, after), size in zip(pairwise([*widths, channels]), larger, strict=True):
        bias = size == (height, width) or not centred(norm)
        layers += [normalised(norm, before), nn.ReLU()]
        if upsampling == "transposed":
            layers += [nn.ConvTranspose2d(before + given, after, 4, stride=2, padding=1, bias=bias), Crop(*size)]
        else:
            layers += [nn.Upsample(size), nn.Conv2d(before + given, after, 3, padding=1, bias=bias)]
    net = Layers(*layers, nn.Tanh())
    small(net)
    return constrained(net, norm)


def strided_discriminator(
    shape: tuple[int, int, int], features: int, norm: Norm = "batch", outputs: int = 1, given: int = 0
) -> Discriminator:
    """Strided convolutions and leaky ReLU, the mirror image of `strided_generator`; not normalised at the input."""
    channels, height, width = shape
    *larger, (h, w) = halvings(height, width, SMALLEST, least=1)
    widths = [channels, *(features << i for i in range(len(larger)))]
    layers: list[nn.Module] = []
    for (y, x), (before, after) in zip(larger, pairwise(widths), strict=True):
        own: Norm = norm if layers else "none"
        if x % 2 or y % 2:  # so that sides are halved and rounded up
            layers += [nn.ZeroPad2d((0, x % 2, 0, y % 2))]
        layers += [nn.Conv2d(before + given, after, 4, stride=2, padding=1, bias=not centred(own))]
        layers += [normalised(own, after), nn.LeakyReLU(0.2)]
    net = Discriminator(Layers(*layers, nn.Flatten()), widths[-1] * h * w, outputs, given)
    small(net)
    return constrained(net, norm)
