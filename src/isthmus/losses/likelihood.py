"""Log-likelihoods and divergences, in nats per example, with their constants, in float32 or wider."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def bernoulli_log_prob(logits: Tensor, x: Tensor) -> Tensor:
    """log p(x) [batch] of independent pixels, `x` in [0, 1] (Kingma and Welling, 2014, appendix C.1).

    A probability for x in {0, 1}; for grey values the usual surrogate, whose figures are not likelihoods.
    """
    return -F.binary_cross_entropy_with_logits(logits.float(), x.float(), reduction="none").flatten(1).sum(1)


def gaussian_log_prob(mean: Tensor, scale: Tensor | float, x: Tensor) -> Tensor:
    """log N(x; mean, scale^2) [batch], summed over all other dimensions (Kingma and Welling, 2014, appendix C.2)."""
    scale = torch.as_tensor(scale, dtype=torch.float32, device=x.device)
    standard = (x.float() - mean.float()) / scale
    density = -0.5 * standard.square() - scale.log() - 0.5 * math.log(2 * math.pi)
    return density.flatten(1).sum(1)


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, 1)) [batch] (Kingma and Welling, 2014, appendix B)."""
    return gaussian_kl_terms(mean, log_variance).flatten(1).sum(1)


def gaussian_kl_terms(mean: Tensor, log_variance: Tensor) -> Tensor:
    """The same of each dimension, in the shape of `mean`."""
    mean, log_variance = mean.float(), log_variance.float()
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def gaussian_log_ratio(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log N(z; 0, 1) - log N(z; mean, exp(log_variance)), summed over the last dimension: [..., dims] -> [...]."""
    z, mean, log_variance = z.float(), mean.float(), log_variance.float()
    standard = (z - mean).square() * (-log_variance).exp()
    return 0.5 * (standard + log_variance - z.square()).sum(-1)


def reparameterise(mean: Tensor, log_variance: Tensor) -> Tensor:
    """A sample of N(mean, exp(log_variance)) that gradients pass through (Kingma and Welling, 2014, section 2.4)."""
    return mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
