"""Adversarial losses: what a discriminator's logits cost, as float32 scalars."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def real(logits: Tensor) -> Tensor:
    """-log D: low where the discriminator says real (Goodfellow et al., 2014, eq. 1; for a generator, section 3)."""
    return F.softplus(-logits.float()).mean()


def fake(logits: Tensor) -> Tensor:
    """-log(1 - D): low where the discriminator says fake (Goodfellow et al., 2014, eq. 1)."""
    return F.softplus(logits.float()).mean()
