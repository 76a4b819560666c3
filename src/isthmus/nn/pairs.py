"""Discriminators of pairs."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PairDiscriminator(nn.Module):
    """Logits of pairs of an image [batch, channels, height, width] and a code [batch, latent]: [batch, 1].

    Each is seen by a network of its own, to vectors [batch, n], and both by one.
    """

    def __init__(self, image: nn.Module, code: nn.Module, both: nn.Module) -> None:
        super().__init__()
        self.image, self.code, self.both = image, code, both

    def forward(self, image: Tensor, code: Tensor) -> Tensor:
        return self.both(torch.cat([self.image(image), self.code(code)], dim=1))
