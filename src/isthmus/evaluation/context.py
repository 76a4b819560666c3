"""What the logits of an autoregressive network depend on, by its derivatives.

A network gives logits [batch, levels, channels, height, width] of images [batch, channels, height, width]. The order of
values is raster order and, at each pixel, by channel. All is computed in double precision, in which the derivatives of
deep networks do not vanish by rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn


def dependence(network: nn.Module, image: Tensor, *given: Tensor, places: Iterable[int]) -> Iterator[Tensor]:
    """For each of the values at `places`, counted in their order, how its logits change with all values [values].

    It is the largest absolute derivative over the images of a random combination of the logits: none that is not 0
    vanishes. What is `given` beside images, such as a condition, is passed on.
    """
    network, image = copy.deepcopy(network).double(), image.detach().double().requires_grad_()
    with torch.enable_grad():
        logits = in_order(network(image, *(condition.double() for condition in given)))
        for place in places:
            here = logits[:, :, place]
            (slope,) = torch.autograd.grad((here * torch.randn_like(here)).sum(), image, retain_graph=True)
            yield in_order(slope).abs().amax(0)


def leak(network: nn.Module, image: Tensor, *given: Tensor, every: int = 1) -> float:
    """The largest derivative of a value's logits with respect to itself or a later value, which must be exactly 0.

    Of each `every`th value.
    """
    places = range(0, image[0].numel(), every)
    slopes = zip(places, dependence(network, image, *given, places=places), strict=True)
    return max(slope[place:].max().item() for place, slope in slopes)


def blind_spot(network: nn.Module, image: Tensor, *given: Tensor) -> float:
    """The share of earlier pixels that the middle pixel does not see, of those no further away than what it does see.

    A pixel is further away if it is more rows above, or more columns to either side, than every pixel that is seen.
    """
    channels, height, width = image.shape[1:]
    row, column = height - 1, width // 2
    place = (row * width + column) * channels
    (slope,) = dependence(network, image, *given, places=[place])
    seen = slope.unflatten(0, (height, width, channels)).amax(-1) > 0
    rows, columns = seen.nonzero().unbind(1)
    up, aside = row - rows.min(), (columns - column).abs().max()
    within = (torch.arange(height)[:, None] >= row - up) & ((torch.arange(width) - column).abs() <= aside)
    within &= torch.arange(height * width).view(height, width) < place // channels
    return (within & ~seen).sum().item() / within.sum().item()


def in_order(values: Tensor) -> Tensor:
    """[..., channels, height, width] -> [..., values]."""
    return values.movedim(-3, -1).flatten(-3)
