"""The U-Net of paired translation (Isola et al., 2017, arXiv:1611.07004, section 6.1.1; Ronneberger et al., 2015)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.nn.norm import Norm, centred, normalised
from isthmus.nn.translators import HalfPad, Size, Upsampling


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
        bias = outermost or not centred(norm)
        self.transposed = upsampling == "transposed"
        if self.transposed:
            self.conv: nn.Module = nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=bias)
        else:
            self.conv = nn.Conv2d(before, after, 3, padding=1, bias=bias)
        self.end = nn.Tanh() if outermost else nn.Sequential(normalised(norm, after), Lasting(dropout))

    def forward(self, x: Tensor, size: Size) -> Tensor:
        x = F.relu(x)
        y = self.conv(x)[:, :, : size[0], : size[1]] if self.transposed else self.conv(F.interpolate(x, size))
        return self.end(y)


class UNet(nn.Module):
    """[batch, inputs, height, width] -> [batch, outputs, height, width] in [-1, 1].

    4x4 convolutions halve the sides `depth` times, and what leaves each of them is laid beside what comes back at its
    size. Maps are `features` at half the size, doubled at each size below up to eightfold. The innermost maps are not
    normalised, since at 1x1 that would leave nothing of them. Dropout in the `dropped` innermost layers on the way back
    stays in evaluation. `given` vectors [batch, given] lie beside the image as constant maps. Without `skips`, as an
    ablation, nothing is laid beside what comes back.
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
        dropped: int = 3,
        given: int = 0,
        skips: bool = True,
    ) -> None:
        super().__init__()
        widths = [inputs + given, *(features * min(8, 1 << i) for i in range(depth))]
        self.skips = skips
        self.falls, self.rises = nn.ModuleList(), nn.ModuleList()
        for i in range(depth):
            plain = i in (0, depth - 1)
            conv = nn.Conv2d(widths[i], widths[i + 1], 4, stride=2, bias=plain or not centred(norm))
            active = nn.LeakyReLU(0.2) if i else nn.Identity()
            self.falls.append(
                nn.Sequential(active, HalfPad(), conv, normalised("none" if plain else norm, widths[i + 1]))
            )
        for i in reversed(range(depth)):
            before = widths[i + 1] * (2 if skips and i + 1 < depth else 1)
            share = dropout if 0 < depth - 1 - i <= dropped else 0.0
            after = widths[i] if i else outputs
            self.rises.append(Rise(before, after, norm, upsampling, share, outermost=not i))

    def forward(self, x: Tensor, *given: Tensor) -> Tensor:
        for vector in given:
            x = torch.cat([x, vector[:, :, None, None].expand(-1, -1, *x.shape[2:])], dim=1)
        maps = [x]
        for fall in self.falls:
            maps.append(fall(maps[-1]))
        y = maps[-1]
        for rise, beside in zip(self.rises, reversed(maps[:-1]), strict=True):
            y = rise(y, (beside.shape[2], beside.shape[3]))
            if self.skips and beside is not x:
                y = torch.cat([y, beside], dim=1)
        return y
