"""Style as gains and biases of normalised maps (Huang and Belongie, 2017, arXiv:1703.06868; Huang et al., 2018)."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.nn.norm import Norm, normalised
from isthmus.nn.translators import Decoder, Down, Edge, Size, Upsampling, reflected


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
