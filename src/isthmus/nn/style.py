"""Style as gains and biases of normalised maps (Huang and Belongie, 2017, arXiv:1703.06868; Huang et al., 2018)."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.nn.norm import Norm, normalised
from isthmus.nn.residual import HALF, PreActivated
from isthmus.nn.translators import Decoder, Down, Edge, Size, Upsampling, reflected, size, sizes


class AdaIN(nn.Module):
    """Adaptive instance normalisation: maps [batch, channels, height, width], normalised each by itself, times a gain
    and plus a bias that a linear layer makes of the style [batch, style] (eq. 8 of 1703.06868)."""

    def __init__(self, style: int, channels: int) -> None:
        super().__init__()
        self.affine = nn.Linear(style, 2 * channels)
        self.norm = normalised("instance", channels, affine=False)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        gain, bias = self.affine(style)[:, :, None, None].chunk(2, dim=1)
        return (1 + gain) * self.norm(x.float()).to(x.dtype) + bias


class StyledBlock(nn.Module):
    """Two 3x3 convolutions, each with adaptive instance normalisation, ReLU between them, beside the map itself."""

    def __init__(self, features: int, style: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(features, features, 3, bias=False) for _ in range(2))
        self.norms = nn.ModuleList(AdaIN(style, features) for _ in range(2))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        y = F.relu(self.norms[0](self.first(reflected(x, 1)), style))
        return x + self.norms[1](self.second(reflected(y, 1)), style)


class StyleEncoder(nn.Module):
    """Images [batch, channels, height, width] to styles [batch, style]: convolutions, the mean over all places."""

    def __init__(self, channels: int, features: int, halved: int, style: int) -> None:
        super().__init__()
        widths = [features << min(i, halved) for i in range(halved + 3)]  # two more halvings than the content has
        downs = (Down(*pair, "none", kernel=4) for pair in pairwise(widths))
        self.maps = nn.Sequential(Edge(channels, features), nn.ReLU(), *downs)
        self.head = nn.Linear(widths[-1], style)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.maps(x).mean((2, 3)))


class StyledDecoder(nn.Module):
    """Contents and styles [batch, style] to images of a given size: styled blocks, then up, normalised by `norm`."""

    def __init__(
        self,
        channels: int,
        features: int,
        halved: int,
        blocks: int,
        style: int,
        hidden: int,
        upsampling: Upsampling = "nearest",
        norm: Norm = "layer",
    ) -> None:
        super().__init__()
        layers = [nn.Linear(style, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
        self.mapping = nn.Sequential(*layers)  # its last layer, to gains and biases, is in the blocks
        self.blocks = nn.ModuleList(StyledBlock(features << halved, hidden) for _ in range(blocks))
        self.up = Decoder(channels, features, halved, 0, norm, upsampling)

    def forward(self, content: Tensor, style: Tensor, size: Size) -> Tensor:
        mapped = self.mapping(style)
        for block in self.blocks:
            content = block(content, mapped)
        return self.up(content, size)


class StyledUp(nn.Module):
    """Adaptive norm, leaky ReLU, nearest upsampling, convolution, and again without upsampling, beside the map
    (Choi et al., 2020, arXiv:1912.01865)."""

    def __init__(self, before: int, after: int, style: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([AdaIN(style, before), AdaIN(style, after)])
        self.first, self.second = (nn.Conv2d(n, after, 3, padding=1, bias=False) for n in (before, after))
        self.shortcut = nn.Conv2d(before, after, 1, bias=False) if before != after else nn.Identity()

    def forward(self, x: Tensor, style: Tensor, size: Size) -> Tensor:
        y = self.first(F.interpolate(F.leaky_relu(self.norms[0](x, style), 0.2), size))
        y = self.second(F.leaky_relu(self.norms[1](y, style), 0.2))
        return HALF * (y + F.interpolate(self.shortcut(x), size))


class PreActivatedTranslator(nn.Module):
    """Images and styles [batch, style] to images of their size, by blocks that begin with norms (Choi et al., 2020)."""

    def __init__(self, channels: int, features: int, halved: int, blocks: int, style: int) -> None:
        super().__init__()
        widths = [features * min(8, 1 << i) for i in range(halved + 1)]
        downs = [PreActivated(*pair, "instance", halve=True, scale=HALF) for pair in pairwise(widths)]
        middle = [PreActivated(widths[-1], widths[-1], "instance", scale=HALF) for _ in range(blocks)]
        self.encoder = nn.Sequential(nn.Conv2d(channels, features, 3, padding=1, bias=False), *downs, *middle)
        ways = [(widths[-1], widths[-1])] * blocks + [*pairwise(widths[::-1])]
        self.decoder = nn.ModuleList(StyledUp(before, after, style) for before, after in ways)
        self.image = nn.Sequential(
            normalised("instance", features), nn.LeakyReLU(0.2), nn.Conv2d(features, channels, 1)
        )
        self.halved, self.blocks = halved, blocks

    def forward(self, image: Tensor, style: Tensor) -> Tensor:
        *larger, smallest = sizes(size(image), self.halved)
        x = self.encoder(image)
        for block, to in zip(self.decoder, [smallest] * self.blocks + larger[::-1], strict=True):
            x = block(x, style, to)
        return self.image(x)
