"""Residual generators and discriminators (Miyato et al., 2018, arXiv:1802.05957, table 4; Gulrajani et al., 2017)."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.nn.conv import halvings
from isthmus.nn.initialise import glorot
from isthmus.nn.norm import Norm, centred, constrained, normalised
from isthmus.nn.strided import SMALLEST, Discriminator

HALF = 0.5**0.5  # brings the sum of a block's two branches to the variance of one


class Up(nn.Module):
    """Norm, ReLU, upsampling, convolution, norm, ReLU, convolution, beside a 1x1 convolution: maps of a larger size.

    The norms, which `norm` makes for a number of channels, also take what is given beside the maps.
    """

    def __init__(
        self, before: int, after: int, size: tuple[int, int], norm: Callable[[int], nn.Module], *, bias: bool = True
    ) -> None:
        super().__init__()
        self.size, self.norms = size, nn.ModuleList([norm(before), norm(after)])
        self.first = nn.Conv2d(before, after, 3, padding=1, bias=bias)
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=bias)
        self.shortcut = nn.Conv2d(before, after, 1, bias=bias)

    def forward(self, x: Tensor, *given: Tensor) -> Tensor:
        y = self.first(F.interpolate(F.relu(self.norms[0](x, *given)), self.size))
        y = self.second(F.relu(self.norms[1](y, *given)))
        return y + F.interpolate(self.shortcut(x), self.size)  # a 1x1 convolution costs less before it


class Down(nn.Module):
    """Norm, ReLU, convolution, norm, ReLU, convolution and mean pooling, beside a 1x1 convolution.

    The block that sees the `image` begins with its first convolution. Without halving the size remains.
    """

    def __init__(
        self, before: int, after: int, norm: Norm = "none", *, halve: bool = True, image: bool = False
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(() if image else (normalised(norm, before), nn.ReLU())),
            *(nn.Conv2d(before, after, 3, padding=1), normalised("none" if image else norm, after), nn.ReLU()),
            nn.Conv2d(after, after, 3, padding=1),
        )
        self.shortcut = nn.Conv2d(before, after, 1) if halve or before != after else nn.Identity()
        self.pool = nn.AvgPool2d(2, ceil_mode=True) if halve else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.body(x)) + self.shortcut(self.pool(x))


class PreActivated(nn.Module):
    """Norm, leaky ReLU, convolution, mean pooling, and the first three again, beside the maps themselves.

    A 1x1 convolution brings these to `after` maps where that is another number. Without halving the size remains;
    `scale` is a factor on the sum.
    """

    def __init__(
        self, before: int, after: int, norm: Norm = "none", *, halve: bool = False, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.scale, bias = scale, not centred(norm)  # constants are never seen where all that follows is centred
        self.first, self.second = (
            nn.Sequential(normalised(norm, before), nn.LeakyReLU(0.2), nn.Conv2d(before, n, 3, padding=1, bias=bias))
            for n in (before, after)
        )
        self.shortcut = nn.Conv2d(before, after, 1, bias=False) if before != after else nn.Identity()
        self.pool = nn.AvgPool2d(2, ceil_mode=True) if halve else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * (self.second(self.pool(self.first(x))) + self.shortcut(self.pool(x)))


class Pool(nn.Module):
    """ReLU, and the sum or the mean over all places: [batch, channels, height, width] -> [batch, channels]."""

    def __init__(self, *, mean: bool = False) -> None:
        super().__init__()
        self.mean = mean

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x).mean((2, 3)) if self.mean else F.relu(x).sum((2, 3))


def residual_generator(inputs: int, shape: tuple[int, int, int], features: int, norm: Norm = "batch") -> nn.Module:
    """Blocks of `features` maps each, from sides of at most 7 up to the image."""
    channels, height, width = shape
    (h, w), *larger = halvings(height, width, SMALLEST, least=1)[::-1]
    layers: list[nn.Module] = [nn.Linear(inputs, features * h * w), nn.Unflatten(1, (features, h, w))]
    layers += [Up(features, features, size, lambda n: normalised(norm, n)) for size in larger]
    layers += [normalised(norm, features), nn.ReLU(), nn.Conv2d(features, channels, 3, padding=1), nn.Tanh()]
    net = nn.Sequential(*layers)
    glorot(net)
    return constrained(net, norm)


def residual_discriminator(
    shape: tuple[int, int, int], features: int, norm: Norm = "none", outputs: int = 1
) -> Discriminator:
    """Blocks that halve the sides until these are at most 8, two that do not, and a pool.

    Spectrally normalised, the sum over places and a head without bias (Miyato et al., 2018), else the mean (Gulrajani
    et al., 2017): where nothing bounds the slope, sums would be large from the start.
    """
    mean = norm != "spectral"
    halved = len(halvings(*shape[1:], SMALLEST + 1, least=1)) - 1
    blocks = [Down(shape[0], features, norm, image=True), *(Down(features, features, norm) for _ in range(halved - 1))]
    blocks += [Down(features, features, norm, halve=False) for _ in range(2)]
    net = Discriminator(nn.Sequential(*blocks, Pool(mean=mean)), features, outputs, bias=mean)
    glorot(net)
    return constrained(net, norm)
