"""Style as gains and biases of normalised maps (Huang and Belongie, 2017, arXiv:1703.06868; Huang et al., 2018)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.nn.translators import reflected


class AdaIN(nn.Module):
    """Adaptive instance normalisation: maps [batch, channels, height, width], normalised each by itself, times a gain
    and plus a bias that a linear layer makes of the style [batch, style] (eq. 8 of 1703.06868)."""

    def __init__(self, style: int, channels: int) -> None:
        super().__init__()
        self.affine = nn.Linear(style, 2 * channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        gain, bias = self.affine(style)[:, :, None, None].chunk(2, dim=1)
        return (1 + gain) * F.group_norm(x.float(), x.shape[1]).to(x.dtype) + bias


class StyledBlock(nn.Module):
    """Two 3x3 convolutions, each with adaptive instance normalisation, ReLU between them, beside the map itself."""

    def __init__(self, features: int, style: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(features, features, 3, bias=False) for _ in range(2))
        self.norms = nn.ModuleList(AdaIN(style, features) for _ in range(2))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        y = F.relu(self.norms[0](self.first(reflected(x, 1)), style))
        return x + self.norms[1](self.second(reflected(y, 1)), style)
