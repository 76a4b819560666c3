"""The U-Net of paired translation (Isola et al., 2017, arXiv:1611.07004, section 6.1.1; Ronneberger et al., 2015)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.nn.conv import halvings
from isthmus.nn.norm import Norm, centred, normalised
from isthmus.nn.strided import beside
from isthmus.nn.translators import Doubled, HalfPad, Size, Upsampling

DROPPED = 3  # layers with dropout


def depth_within(depth: int, height: int, width: int) -> int:
    """How often a U-Net halves these sides: `depth` times, but no further than to one pixel."""
    return min(depth, len(halvings(height, width, smallest=1, least=1)) - 1)


class Lasting(nn.Module):
    """Dropout that goes on in evaluation: it is the noise of a network that is given none."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.share) if self.share else x


class Rise(nn.Module):
    """ReLU, twice the sides, norm and dropout: [batch, before, ...] -> [batch, after, *size]."""

    def __init__(
        self, before: int, after: int, norm: Norm, upsampling: Upsampling, dropout: float, *, outermost: bool
    ) -> None:
        super().__init__()
        self.doubled = Doubled(before, after, upsampling, bias=outermost or not centred(norm))
        self.end = nn.Tanh() if outermost else nn.Sequential(normalised(norm, after), Lasting(dropout))

    def forward(self, x: Tensor, size: Size) -> Tensor:
        return self.end(self.doubled(F.relu(x), size))


class UNet(nn.Module):
    """[batch, inputs, height, width] -> [batch, outputs, height, width] in [-1, 1].

    4x4 convolutions halve the sides `depth` times, and what leaves each of them is laid beside what comes back at its
    size. Maps are `features` at half the size, doubled at each size below up to eightfold. The innermost maps are not
    normalised, since at 1x1 that would leave nothing of them. Dropout in the three innermost layers on the way back
    stays in evaluation. `given` vectors [batch, given] lie beside the image as constant maps, `everywhere` beside all
    that is halved. Without `skips`, as an ablation, nothing is laid beside what comes back.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        features: int,
        depth: int,
        *,
        norm: Norm = "instance",
        upsampling: Upsampling = "nearest",
        dropout: float = 0.5,
        given: int = 0,
        everywhere: bool = False,
        skips: bool = True,
    ) -> None:
        super().__init__()
        widths = [inputs, *(features * min(8, 1 << i) for i in range(depth))]
        self.everywhere, self.skips = everywhere, skips
        self.falls, self.rises = nn.ModuleList(), nn.ModuleList()
        for i in range(depth):
            plain = i in (0, depth - 1)
            before = widths[i] + (given if everywhere or not i else 0)
            conv = nn.Conv2d(before, widths[i + 1], 4, stride=2, bias=plain or not centred(norm))
            active = nn.LeakyReLU(0.2) if i else nn.Identity()
            self.falls.append(
                nn.Sequential(active, HalfPad(), conv, normalised("none" if plain else norm, widths[i + 1]))
            )
        for i in reversed(range(depth)):
            before = widths[i + 1] * (2 if skips and i + 1 < depth else 1)
            share = dropout if i >= depth - DROPPED else 0.0
            after = widths[i] if i else outputs
            self.rises.append(Rise(before, after, norm, upsampling, share, outermost=not i))

    def forward(self, x: Tensor, *given: Tensor) -> Tensor:
        maps = [x]
        for i, fall in enumerate(self.falls):
            seen = maps[-1]
            for vector in given if self.everywhere or not i else ():
                seen = beside(seen, vector)
            maps.append(fall(seen))
        y = maps[-1]
        for rise, skipped in zip(self.rises, reversed(maps[:-1]), strict=True):
            y = rise(y, (skipped.shape[2], skipped.shape[3]))
            if self.skips and skipped is not x:
                y = torch.cat([y, skipped], dim=1)
        return y
