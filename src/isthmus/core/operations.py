"""What can be done with any model that has the capabilities it takes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from isthmus.core.capabilities import Autoencodes, Decodes, Encodes, Swaps


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
    return model.code_size


def drawn_codes(model: Decodes, n: int) -> Tensor:
    """Codes of N(0, I), [n, latent], as those of new images are; with a class at random where codes have one."""
    codes = torch.randn(n, code_size(model), device=model.device)
    if isinstance(model, Swaps):
        codes = model.swap(codes, torch.randint(len(model.spec.classes), (n,), device=codes.device))
    return codes


def arithmetic(start: Tensor, plus: Tensor, minus: Tensor, steps: int) -> Tensor:
    """From the mean of `start` to that mean plus the mean of `plus` less that of `minus`, in `steps`: [steps, latent].

    Each is [n, latent], and n may be 0, but for `start`. A mean of several codes has what they have in common (Radford
    et al., 2016, arXiv:1511.06434, section 6.3.2).
    """
    way = sum((sign * codes.mean(0) for sign, codes in ((1, plus), (-1, minus)) if len(codes)), start.new_zeros(()))
    return start.mean(0) + torch.linspace(0, 1, steps, device=start.device)[:, None] * way


def quantiles(steps: int) -> Tensor:
    """Equally probable values [steps] of N(0, 1), which grow: its quantiles (k - 1/2) / steps."""
    return torch.special.ndtri((torch.arange(steps) + 0.5) / steps)


def traverse(code: Tensor, dims: Sequence[int], steps: int) -> Tensor:
    """The code [latent] with other values in one dimension, the `quantiles`, and as it is in all others.

    [steps, latent]; if there are several `dims`, these are one choice, as classes are, and each in turn is 1 and the
    others 0: [len(dims), latent].
    """
    values = quantiles(steps)[:, None] if len(dims) == 1 else torch.eye(len(dims))
    codes = code.repeat(len(values), 1)
    codes[:, dims] = values.to(code)
    return codes


def manifold(latent: int, steps: int, dims: tuple[int, int] = (0, 1)) -> Tensor:
    """Codes [steps * steps, latent] on a grid in two dimensions of N(0, I), row by row, and 0 in all others.

    Equally probable cells have a code each: the normal's quantiles (k - 1/2) / steps (Kingma and Welling, 2014,
    arXiv:1312.6114, appendix A). The first of `dims` grows to the right, the second upwards.
    """
    values, codes = quantiles(steps), torch.zeros(steps * steps, latent)
    codes[:, dims[0]] = values.repeat(steps)
    codes[:, dims[1]] = values.flip(0).repeat_interleave(steps)
    return codes
