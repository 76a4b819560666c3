"""Convolutional encoders and decoders for images of any height and width."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

SMALLEST = 4  # sides are halved until they are at most this


def halvings(height: int, width: int, smallest: int = SMALLEST, least: int = 0) -> list[tuple[int, int]]:
    """Sizes from (height, width) down to sides of at most `smallest`, each the one before halved and rounded up.

    They are halved `least` times at least.
    """
    sizes = [(height, width)]
    while max(sizes[-1]) > smallest or len(sizes) <= least:
        h, w = sizes[-1]
        sizes.append(((h + 1) // 2, (w + 1) // 2))
    return sizes


def conv_encoder(channels: int, height: int, width: int, out: int, features: int) -> nn.Sequential:
    """[batch, channels, height, width] -> [batch, out].

    Strided convolutions: `features` channels at half the size, doubled whenever the sides are halved.
    """
    sizes = halvings(height, width)
    widths = [channels, *(features << i for i in range(len(sizes) - 1))]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.SiLU()]
    h, w = sizes[-1]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * h * w, out))


def conv_decoder(inputs: int, channels: int, height: int, width: int, features: int) -> nn.Sequential:
    """[batch, inputs] -> [batch, channels, height, width], the mirror image of `conv_encoder`.

    Nearest-neighbour upsampling and convolution, which leaves no checkerboard (Odena et al., 2016).
    """
    *larger, (h, w) = halvings(height, width)
    widths = [channels, *(features << i for i in range(len(larger)))][::-1]
    layers: list[nn.Module] = [nn.Linear(inputs, widths[0] * h * w), nn.Unflatten(1, (widths[0], h, w))]
    for size, (before, after) in zip(reversed(larger), pairwise(widths), strict=True):
        layers += [nn.SiLU(), nn.Upsample(size=size), nn.Conv2d(before, after, 3, padding=1)]
    return nn.Sequential(*layers)
