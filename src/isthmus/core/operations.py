"""What can be done with any model that has the capabilities it takes."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from isthmus.core.capabilities import Autoencodes, Decodes, Encodes


def reconstruct(model: Autoencodes, image: Tensor) -> Tensor:
    """Images [batch, channels, height, width], through their code and back."""
    return model.decode(model.encode(image))


def path(codes: Tensor, steps: int, *, spherical: bool = False) -> Tensor:
    """From each of the codes [n, latent] to the next in `steps`, with both ends: [(n - 1) (steps - 1) + 1, latent].

    Linear, or along the great circle (White, 2016, arXiv:1609.04468), which keeps the norm that Gaussian codes have.
    """
    t = torch.linspace(0, 1, steps, device=codes.device)[:-1, None]
    way = slerp if spherical else torch.lerp
    return torch.cat([*(way(start, end, t) for start, end in pairwise(codes)), codes[-1:]])


def slerp(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """Spherical interpolation of vectors [dims] at places `t` [steps, 1]: [steps, dims]."""
    cosine = torch.nn.functional.cosine_similarity(start, end, dim=0).clamp(-1, 1)
    angle = torch.acos(cosine)
    if torch.sin(angle) < 1e-6:
        return torch.lerp(start, end, t)
    return (torch.sin((1 - t) * angle) * start + torch.sin(t * angle) * end) / torch.sin(angle)


def code_size(model: Decodes) -> int:
    """How many numbers a code of the model has."""
    if isinstance(model, Encodes):
        return model.encode(torch.zeros(1, *model.spec.shape, device=model.device)).shape[1]
    return model.latent  # type: ignore[attr-defined]


def manifold(latent: int, steps: int, dims: tuple[int, int] = (0, 1)) -> Tensor:
    """Codes [steps * steps, latent] on a grid in two dimensions of N(0, I), row by row, and 0 in all others.

    Equally probable cells have a code each: the normal's quantiles (k - 1/2) / steps (Kingma and Welling, 2014,
    arXiv:1312.6114, appendix A). The first of `dims` grows to the right, the second upwards.
    """
    quantiles = torch.special.ndtri((torch.arange(steps) + 0.5) / steps)
    codes = torch.zeros(steps * steps, latent)
    codes[:, dims[0]] = quantiles.repeat(steps)
    codes[:, dims[1]] = quantiles.flip(0).repeat_interleave(steps)
    return codes
