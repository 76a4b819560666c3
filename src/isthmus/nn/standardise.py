"""Vectors brought to zero mean and unit scale."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Standardise(nn.Module):
    """(x - mean) / scale, by dimension: [batch, dims] -> [batch, dims]. Mean and scale are measured, not learned."""

    mean: Tensor
    scale: Tensor

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dims))
        self.register_buffer("scale", torch.ones(dims))

    def measure(self, mean: Tensor, log_variance: Tensor) -> None:
        """Take mean and scale from n Gaussians, [n, dims] each; a dimension that does not vary keeps scale 1."""
        self.mean.copy_(mean.mean(0))
        deviation = (mean.var(0, correction=0) + log_variance.exp().mean(0)).sqrt()
        self.scale.copy_(torch.where(deviation > 1e-6, deviation, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.scale

    def inverse(self, x: Tensor) -> Tensor:
        """The vectors [batch, dims] whose standardised form is `x`."""
        return x * self.scale + self.mean
