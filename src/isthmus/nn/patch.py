"""Discriminators that judge patches (Isola et al., 2017, arXiv:1611.07004, section 3.2.2), at one size or several."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.nn.norm import Norm, centred, normalised
from isthmus.nn.translators import HalfPad


class SamePad(nn.Module):
    """The border with which a 4x4 convolution of stride 1 keeps the sides."""

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, [1, 2, 1, 2])


class PatchDiscriminator(nn.Module):
    """Images [batch, channels, height, width], and others beside them, to a map of outputs [batch, outputs, h, w].

    Each output judges a patch: `halved` = 3 sees 70x70 pixels, 1 sees 16x16, and 0 single pixels. The convolutions are
    4x4, halve the sides and double the maps up to eightfold; the last two keep the size. For single pixels all
    are 1x1.
    """

    def __init__(
        self, channels: int, features: int = 64, halved: int = 3, norm: Norm = "instance", outputs: int = 1
    ) -> None:
        super().__init__()
        self.halved = halved
        widths = [channels, *(features * min(8, 1 << i) for i in range(max(1, halved) + 1))]
        layers = []
        for i, (before, after) in enumerate(pairwise(widths)):
            own: Norm = norm if i else "none"
            conv = self.conv(before, after, halve=i < halved, bias=not centred(own))
            layers.append(nn.Sequential(conv, normalised(own, after, affine=own != "instance"), nn.LeakyReLU(0.2)))
        self.layers = nn.ModuleList(layers)
        self.head = self.conv(widths[-1], outputs)

    def conv(self, before: int, after: int, *, halve: bool = False, bias: bool = True) -> nn.Module:
        """A convolution of 4x4, or of 1x1 where patches are single pixels."""
        if not self.halved:
            return nn.Conv2d(before, after, 1, bias=bias)
        pad, stride = (HalfPad(), 2) if halve else (SamePad(), 1)
        return nn.Sequential(pad, nn.Conv2d(before, after, 4, stride, bias=bias))

    def forward(self, *images: Tensor) -> Tensor:
        x = torch.cat(images, dim=1)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)

    def features(self, *images: Tensor) -> list[Tensor]:
        """What leaves each hidden layer: maps, the largest first."""
        found = [torch.cat(images, dim=1)]
        for layer in self.layers:
            found.append(layer(found[-1]))
        return found[1:]


class Scales(nn.Module):
    """Discriminators of an image and of half and a quarter of its size, and so on (Wang et al., 2018, section 3.2)."""

    def __init__(self, *nets: nn.Module) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def forward(self, *images: Tensor) -> list[Tensor]:
        """A map of outputs for each size."""
        found = []
        for i, net in enumerate(self.nets):
            if i:
                images = tuple(F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False) for x in images)
            found.append(net(*images))
        return found
