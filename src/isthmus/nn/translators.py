"""Networks from images to images, of any height and width (Johnson et al., 2016, arXiv:1603.08155, appendix).

They see the image at full size, halve its sides by strided convolutions, change it in residual blocks where it is
smallest, and bring it back to the size that it had. Sides that are odd are rounded up on the way down.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.nn.norm import Norm, centred, normalised

Upsampling = Literal["nearest", "transposed"]
Size = tuple[int, int]

HALVED = 2  # how often a translator halves the sides


def size(image: Tensor) -> Size:
    """Height and width."""
    return image.shape[2], image.shape[3]


def sizes(size: Size, halved: int) -> list[Size]:
    """The size, and that after each halving: (height, width), rounded up."""
    found = [size]
    for _ in range(halved):
        h, w = found[-1]
        found.append(((h + 1) // 2, (w + 1) // 2))
    return found


class Edge(nn.Conv2d):
    """A 7x7 convolution that keeps the size, over a border by reflection where the image is large enough for one."""

    def __init__(self, before: int, after: int, *, bias: bool = True) -> None:
        super().__init__(before, after, 7, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(reflected(x, 3))


def reflected(x: Tensor, border: int) -> Tensor:
    """Maps with a border by reflection, or of zeros where they are too small for one."""
    return F.pad(x, [border] * 4, mode="reflect" if min(x.shape[2:]) > border else "constant")


class Block(nn.Module):
    """Two 3x3 convolutions over borders by reflection, each normalised, ReLU between them, beside the map itself."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(features, features, 3, bias=False) for _ in range(2))
        self.norm = normalised("instance", features, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm(self.first(reflected(x, 1))))
        return x + self.norm(self.second(reflected(y, 1)))


class Down(nn.Sequential):
    """Half the sides: [batch, before, height, width] -> [batch, after, height / 2, width / 2], normalised, ReLU."""

    def __init__(self, before: int, after: int, norm: Norm = "instance", kernel: Literal[3, 4] = 3) -> None:
        pad = nn.ZeroPad2d(1) if kernel == 3 else HalfPad()
        conv = nn.Conv2d(before, after, kernel, stride=2, bias=not centred(norm))
        super().__init__(pad, conv, normalised(norm, after, affine=norm != "instance"), nn.ReLU())


class HalfPad(nn.Module):
    """The border with which a 4x4 convolution of stride 2 halves the sides and rounds up."""

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[2:]
        return F.pad(x, [1, 1 + w % 2, 1, 1 + h % 2])


class Doubled(nn.Module):
    """A convolution to a given size, twice the sides or one less: [batch, before, ...] -> [batch, after, *size].

    "nearest" repeats pixels before it, which leaves no checkerboard (Odena et al., 2016); "transposed" is the one that
    older papers have.
    """

    def __init__(self, before: int, after: int, upsampling: Upsampling = "nearest", *, bias: bool = True) -> None:
        super().__init__()
        self.transposed = upsampling == "transposed"
        if self.transposed:
            self.conv: nn.Module = nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=bias)
        else:
            self.conv = nn.Conv2d(before, after, 3, padding=1, bias=bias)

    def forward(self, x: Tensor, size: Size) -> Tensor:
        return self.conv(x)[:, :, : size[0], : size[1]] if self.transposed else self.conv(F.interpolate(x, size))


class Up(nn.Module):
    """Twice the sides, or one less, normalised, ReLU: [batch, before, ...] -> [batch, after, *size]."""

    def __init__(self, before: int, after: int, norm: Norm = "instance", upsampling: Upsampling = "nearest") -> None:
        super().__init__()
        self.doubled = Doubled(before, after, upsampling, bias=not centred(norm))
        self.norm = normalised(norm, after, affine=norm != "instance")

    def forward(self, x: Tensor, size: Size) -> Tensor:
        return F.relu(self.norm(self.doubled(x, size)))


class Encoder(nn.Sequential):
    """Images to maps, [batch, channels, height, width] -> [batch, features * 2^halved, height / 2^halved, ...]."""

    def __init__(self, channels: int, features: int, halved: int, blocks: int) -> None:
        layers = [Edge(channels, features, bias=False), normalised("instance", features, affine=False), nn.ReLU()]
        layers += [Down(features << i, features << (i + 1)) for i in range(halved)]
        super().__init__(*layers, *(Block(features << halved) for _ in range(blocks)))


class Decoder(nn.Module):
    """Maps of an `Encoder` to images in [-1, 1] of a given size."""

    def __init__(
        self,
        channels: int,
        features: int,
        halved: int,
        blocks: int,
        norm: Norm = "instance",
        upsampling: Upsampling = "nearest",
    ) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Block(features << halved) for _ in range(blocks)))
        ways = reversed(range(halved))
        self.ups = nn.ModuleList(Up(features << (i + 1), features << i, norm, upsampling) for i in ways)
        self.image = nn.Sequential(Edge(features, channels), nn.Tanh())

    def forward(self, x: Tensor, size: Size) -> Tensor:
        """Images [batch, channels, *size]."""
        x = self.blocks(x)
        for up, to in zip(self.ups, reversed(sizes(size, len(self.ups))[:-1]), strict=True):
            x = up(x, to)
        return self.image(x)


class Translator(nn.Module):
    """An encoder and a decoder: [batch, inputs, height, width] -> [batch, outputs, height, width] in [-1, 1]."""

    def __init__(
        self, inputs: int, outputs: int, features: int = 64, blocks: int = 9, upsampling: Upsampling = "nearest"
    ) -> None:
        super().__init__()
        self.encoder = Encoder(inputs, features, HALVED, blocks)
        self.decoder = Decoder(outputs, features, HALVED, 0, upsampling=upsampling)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x), size(x))
