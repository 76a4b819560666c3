"""Augmentation of what a discriminator sees, real and generated alike, through which the generator's gradient passes.

With few images a discriminator learns them by heart. If it only ever sees them augmented it cannot; and as long as what
the augmentation does to all images together can be undone, the generator's images are not augmented.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Policy = Literal["none", "differentiable", "adaptive"]

INTERVAL = 4  # batches between two steps of the probability


class Augmentation(nn.Module):
    """Images [batch, channels, height, width] to images of the same shape, each by a transformation drawn for it.

    `differentiable` is colour, translation and cutout for every image (Zhao et al., 2020, arXiv:2006.10738, section 3);
    `adaptive` is the pipeline of Karras et al., 2020 (arXiv:2006.06676, appendix B), of which the geometric part, here
    resampled bilinearly, and the colours, each step with a probability that `adapt` steers; real and generated images
    go through the same.
    """

    probability: Tensor
    signs: Tensor
    batches: Tensor

    def __init__(self, policy: Policy, target: float = 0.6, images: float = 500_000) -> None:
        """`target` is that of r_t; in so many `images` the probability can rise from 0 to 1."""
        super().__init__()
        self.policy, self.target, self.images = policy, target, images
        for name in ("probability", "signs", "batches"):
            self.register_buffer(name, torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        match self.policy:
            case "none":
                return x
            case "differentiable":
                return cutout(translated(coloured(x)))
            case "adaptive":
                with torch.autocast(x.device.type, enabled=False):  # places of pixels need all their digits
                    return recoloured(moved(x.float(), self.probability), self.probability)

    @torch.no_grad()
    def adapt(self, outputs: Tensor) -> None:
        """Follow r_t, the mean sign of the discriminator's `outputs` for real images, above 0 where it says real.

        Above the target it overfits, and the probability rises, else it falls, by a fixed step every four batches
        (Karras et al., 2020, section 3.1). Several processes each follow the images of their own.
        """
        if self.policy != "adaptive" or not self.training:
            return
        self.signs += outputs.float().sign().mean()
        self.batches += 1
        due = self.batches >= INTERVAL
        step = (self.signs / self.batches - self.target).sign() * (INTERVAL * len(outputs) / self.images)
        self.probability.add_(due * step).clamp_(0, 1)
        self.signs *= ~due
        self.batches *= ~due


def each(x: Tensor, low: float, high: float) -> Tensor:
    """A number of U(low, high) for every image, [batch, 1, 1, 1]."""
    return low + (high - low) * torch.rand(len(x), 1, 1, 1, device=x.device)


def coloured(x: Tensor) -> Tensor:
    """Brightness, saturation and contrast."""
    x = x + each(x, -0.5, 0.5)
    x = torch.lerp(x.mean(1, keepdim=True), x, each(x, 0, 2))
    return torch.lerp(x.mean((1, 2, 3), keepdim=True), x, each(x, 0.5, 1.5))


def translated(x: Tensor, ratio: float = 0.125) -> Tensor:
    """Moved by whole pixels, up to an eighth of the sides, and grey where nothing moved in."""
    rows, columns = (moved_in(side, ratio, x) for side in x.shape[2:])
    inside = (rows >= 0)[:, None, :, None] & (columns >= 0)[:, None, None, :]
    image = torch.arange(len(x), device=x.device)[:, None, None]
    found = x.movedim(1, 3)[image, rows.clamp(min=0)[:, :, None], columns.clamp(min=0)[:, None, :]]
    return torch.where(inside, found.movedim(3, 1), 0.0)


def moved_in(side: int, ratio: float, x: Tensor) -> Tensor:
    """Which row (or column) comes to the place of each, for every image [batch, side]; -1 from outside."""
    reach = int(side * ratio + 0.5)
    move = torch.randint(-reach, reach + 1, (len(x), 1), device=x.device)
    source = torch.arange(side, device=x.device) + move
    return torch.where((source >= 0) & (source < side), source, -1)


def cutout(x: Tensor, ratio: float = 0.5) -> Tensor:
    """A rectangle of half the sides, anywhere, made grey."""
    rows, columns = (covered(side, ratio, x) for side in x.shape[2:])
    return torch.where(rows[:, None, :, None] & columns[:, None, None, :], 0.0, x)


def covered(side: int, ratio: float, x: Tensor) -> Tensor:
    """bool [batch, side]: which rows (or columns) of each image an interval of that ratio covers, as far as inside."""
    length = int(side * ratio + 0.5)
    middle = torch.randint(0, side + 1 - length % 2, (len(x), 1), device=x.device)
    place = torch.arange(side, device=x.device) - middle + length // 2
    return (place >= 0) & (place < length)


def sometimes(p: Tensor, value: Tensor, neutral: float) -> Tensor:
    """Of each image with probability `p` its `value` [batch, ...], else the neutral one."""
    coin = torch.rand(len(value), *[1] * (value.ndim - 1), device=value.device)
    return torch.where(coin < p, value, neutral)


def moved(x: Tensor, p: Tensor) -> Tensor:
    """Flipped, turned by quarters, moved by whole pixels, scaled, turned, stretched, turned, moved: resampled once."""
    n, _, height, width = x.shape
    sides = (width, height)

    def uniform(*shape: int) -> Tensor:
        return 2 * torch.rand(n, *shape, device=x.device) - 1

    def normal(*shape: int) -> Tensor:
        return torch.randn(n, *shape, device=x.device)

    flip = 1 - 2 * sometimes(p, torch.randint(2, (n,), device=x.device), 0)
    quarters = (
        torch.randint(4, (n,), device=x.device) if height == width else 2 * torch.randint(2, (n,), device=x.device)
    )
    turn = sometimes(p, math.pi / 2 * quarters, 0.0)
    whole = sometimes(p, 0.125 * uniform(2), 0.0)
    size = sometimes(p, (0.2 * normal()).exp2(), 1.0)
    half = 1 - (1 - p).sqrt()  # of two rotations one at least happens with probability p
    before, after = (sometimes(half, math.pi * uniform(), 0.0) for _ in range(2))
    stretch = sometimes(p, (0.2 * normal()).exp2(), 1.0)
    part = sometimes(p, 0.125 * normal(2), 0.0)

    # Where each pixel comes from, counted in pixels from the middle; the last step of all is undone first.
    matrix = scaling(flip, torch.ones_like(turn)) @ rotation(turn)
    shift = matrix @ torch.stack([(whole[:, i] * side).round() for i, side in enumerate(sides)], 1)[:, :, None]
    matrix = matrix @ scaling(size, size) @ rotation(before) @ scaling(stretch, 1 / stretch) @ rotation(after)
    shift = shift + matrix @ torch.stack([part[:, i] * side for i, side in enumerate(sides)], 1)[:, :, None]
    theta = torch.cat([matrix, shift], dim=2)
    for i, side in enumerate(sides):  # from here on the sides run from -1 to 1
        theta[:, i] *= 2 / side
        theta[:, :, i] *= side / 2
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def scaling(x: Tensor, y: Tensor) -> Tensor:
    """Diagonal matrices [batch, 2, 2]."""
    return torch.diag_embed(torch.stack([x, y], dim=1))


def rotation(angle: Tensor) -> Tensor:
    """Matrices [batch, 2, 2] of angles [batch]."""
    cosine, sine = angle.cos(), angle.sin()
    return torch.stack([cosine, -sine, sine, cosine], dim=1).view(-1, 2, 2)


def recoloured(x: Tensor, p: Tensor) -> Tensor:
    """Brightness, contrast, luma flip, and of colours hue and saturation, about the axis of luma."""
    one = (len(x), 1, 1, 1)
    x = x + sometimes(p, 0.2 * torch.randn(one, device=x.device), 0.0)
    x = x * sometimes(p, (0.5 * torch.randn(one, device=x.device)).exp2(), 1.0)
    luma = x.mean(1, keepdim=True)
    flip = sometimes(p, torch.randint(2, one, device=x.device), 0)
    colour, luma = x - luma, luma * (1 - 2 * flip)
    if x.shape[1] == 3:
        angle = sometimes(p, each(x, -math.pi, math.pi), 0.0)
        across = (colour.roll(1, 1) - colour.roll(-1, 1)) / math.sqrt(3)  # a quarter turn from the colour
        colour = angle.cos() * colour + angle.sin() * across
    if x.shape[1] > 1:
        colour = colour * sometimes(p, torch.randn(one, device=x.device).exp2(), 1.0)
    return luma + colour
