"""Penalties on a discriminator's gradient, as float32 scalars."""

from __future__ import annotations

import torch
from torch import Tensor


def zero_centred(logits: Tensor, *inputs: Tensor) -> Tensor:
    """E|grad D|^2 / 2 at `inputs`, which require gradients; on real data this is R1 (Mescheder et al., 2018, eq. 9)."""
    gradients = torch.autograd.grad(logits.sum(), inputs, create_graph=True)
    return 0.5 * sum((g.float().square().flatten(1).sum(1).mean() for g in gradients), start=logits.new_zeros(()))
