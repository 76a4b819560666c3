"""What all autoregressive models share: values of pixels as classes, and drawing them one after another.

Pixels are in raster order and, at each place, channel by channel. `levels` is the number of values that a pixel has:
2 for on and off, 256 for bytes. Logits are [batch, levels, channels, height, width].
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Categorical


def to_levels(image: Tensor, levels: int) -> Tensor:
    """Images in [-1, 1] to the nearest of `levels` values, int64 in [0, levels)."""
    return ((image.float() + 1) / 2 * (levels - 1)).round().long().clamp(0, levels - 1)


def from_levels(value: Tensor, levels: int) -> Tensor:
    """Values in [0, levels) to images in [-1, 1]."""
    return 2 * value.float() / (levels - 1) - 1


def categorical_log_prob(logits: Tensor, value: Tensor) -> Tensor:
    """log p(value) in nats [batch], from logits [batch, levels, ...] and values [batch, ...]."""
    return -F.cross_entropy(logits.float(), value, reduction="none").flatten(1).sum(1)


def draw(logits: Tensor, uniform: Tensor, temperature: float = 1.0) -> Tensor:
    """The value [...] at which the cumulated probabilities of `logits` [..., levels] exceed `uniform` [...], in [0, 1).

    A function of its arguments, so that two samplers with the same noise can be compared value by value: in float64,
    where what they round differently moves a border by a billionth. At temperature 0 it is the most probable value.
    """
    if temperature == 0:
        return logits.argmax(-1)
    exact = torch.float32 if logits.device.type == "mps" else torch.float64  # which MPS has not
    cumulated = (logits.to(exact) / temperature).softmax(-1).cumsum(-1)
    return (cumulated <= uniform[..., None]).sum(-1).clamp_(max=logits.shape[-1] - 1)


@torch.no_grad()
def sample_naively(
    logits: Callable[[Tensor], Tensor],
    image: Tensor,
    known: Tensor,
    uniform: Tensor,
    levels: int,
    temperature: float = 1.0,
) -> Tensor:
    """Fill in where `known`, bool [height, width], is false, by evaluating `logits(image)` anew for every value.

    `image` and `uniform` are [batch, channels, height, width]. This is the definition that fast samplers are held to;
    its cost grows with the square of the number of pixels.
    """
    image = torch.where(known, image, 0.0)
    for row, column in (~known).nonzero().tolist():
        for channel in range(image.shape[1]):
            here = logits(image)[:, :, channel, row, column]
            value = draw(here, uniform[:, channel, row, column], temperature)
            image[:, channel, row, column] = from_levels(value, levels)
    return image


class AutoregressiveNetwork(nn.Module):
    """Gives the logits of every value from the values before it, and `fill`s in what is missing.

    Where a network takes a condition [batch, conditions], it is the last argument of each method.
    """

    levels: int
    fill: Callable[..., Tensor]  # (image, known, uniform, *condition, temperature): as `sample_naively` does

    def logits(self, image: Tensor, *condition: Tensor) -> Tensor:
        """Of images [batch, channels, height, width] in [-1, 1], taken for the nearest values that there are."""
        return self(from_levels(to_levels(image, self.levels), self.levels), *condition)

    def log_prob(self, image: Tensor, *condition: Tensor, where: Tensor | slice = slice(None)) -> Tensor:
        """log p(image | condition) in nats [batch], or that of the values at `where`, bool [height, width], alone."""
        value = to_levels(image, self.levels)
        return categorical_log_prob(self.logits(image, *condition)[..., where], value[..., where])

    def log_joint(self, image: Tensor, conditions: Tensor, where: Tensor | slice = slice(None)) -> Tensor:
        """log p(image, condition) in nats [batch, n], for each of n `conditions` [n, ...], all equally frequent."""
        nats = [self.log_prob(image, one.expand(len(image), *one.shape), where=where) for one in conditions]
        return torch.stack(nats, dim=1) - math.log(len(conditions))

    def likely(self, image: Tensor, known: Tensor, conditions: Tensor) -> Tensor:
        """One of `conditions` [n, ...] for each image, drawn by what is `known` up to the first missing place."""
        beginning = known.flatten().cumprod(0).bool().view_as(known)
        return conditions[Categorical(logits=self.log_joint(image, conditions, beginning)).sample()]

    def complete(self, image: Tensor, known: Tensor, *condition: Tensor, temperature: float = 1.0) -> Tensor:
        """Draw each value that is not `known`, bool [height, width], given all before it, and none behind it."""
        rounded = from_levels(to_levels(image, self.levels), self.levels)
        drawn = self.fill(rounded, known, torch.rand_like(image), *condition, temperature=temperature)
        return torch.where(known, image, drawn)

    def sample(self, n: int, shape: tuple[int, ...], *condition: Tensor, temperature: float = 1.0) -> Tensor:
        """Draw `n` images of `shape`, value by value."""
        blank = torch.zeros(n, *shape, device=next(self.parameters()).device)
        return self.complete(
            blank, torch.zeros_like(blank[0, 0], dtype=torch.bool), *condition, temperature=temperature
        )
