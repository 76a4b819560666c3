"""Self-attention over the places of a map (Zhang et al., 2019, arXiv:1805.08318, section 3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """gain o + x, with o_i = v(sum_j b_ij h(x_j)) and b_ij the softmax over j of f(x_j) . g(x_i): maps to maps.

    The gain starts at 0: at first the map passes as it is, and what is far away comes in as far as it helps. It cannot
    be differentiated twice, as penalties on a gradient do.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 8)
        self.f, self.g = nn.Conv2d(channels, inner, 1, bias=False), nn.Conv2d(channels, inner, 1, bias=False)
        self.h = nn.Conv2d(channels, max(1, channels // 2), 1, bias=False)
        self.v = nn.Conv2d(max(1, channels // 2), channels, 1, bias=False)
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        keys, queries, values = (layer(x).flatten(2).mT.contiguous()[:, None] for layer in (self.f, self.g, self.h))
        wider = (0, values.shape[3] - keys.shape[3])  # by zeros: for equal widths no [places, places] need be kept
        seen = F.scaled_dot_product_attention(F.pad(queries, wider), F.pad(keys, wider), values, scale=1.0)[:, 0]
        return self.gain * self.v(seen.mT.unflatten(2, x.shape[2:])) + x

    def weights(self, x: Tensor) -> Tensor:
        """b [batch, places, places]: how much each place (row) attends to each other one; rows sum to 1."""
        return (self.g(x).flatten(2).transpose(1, 2) @ self.f(x).flatten(2)).softmax(2)
