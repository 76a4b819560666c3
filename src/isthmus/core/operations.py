"""What can be done with any model that has the capabilities it takes."""

from __future__ import annotations

import torch
from torch import Tensor

from isthmus.core.capabilities import Autoencodes


def reconstruct(model: Autoencodes, image: Tensor) -> Tensor:
    """Images [batch, channels, height, width], through their code and back."""
    return model.decode(model.encode(image))


def interpolate(model: Autoencodes, start: Tensor, end: Tensor, steps: int, *, spherical: bool = False) -> Tensor:
    """Images [steps, channels, height, width] whose codes lead from `start` to `end`, each [channels, height, width].

    Linear, or along the great circle (White, 2016, arXiv:1609.04468), which keeps the norm that Gaussian codes have.
    """
    ends = model.encode(torch.stack([start, end]))
    t = torch.linspace(0, 1, steps, device=ends.device)[:, None]
    return model.decode(slerp(ends[0], ends[1], t) if spherical else torch.lerp(ends[0], ends[1], t))


def slerp(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """Spherical interpolation of vectors [dims] at places `t` [steps, 1]: [steps, dims]."""
    cosine = torch.nn.functional.cosine_similarity(start, end, dim=0).clamp(-1, 1)
    angle = torch.acos(cosine)
    if torch.sin(angle) < 1e-6:
        return torch.lerp(start, end, t)
    return (torch.sin((1 - t) * angle) * start + torch.sin(t * angle) * end) / torch.sin(angle)
