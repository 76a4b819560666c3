"""What can be done with any model that has the capabilities it takes."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from isthmus.core.capabilities import Autoencodes


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
