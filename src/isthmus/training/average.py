"""Exponential moving average of a model's weights (Polyak and Juditsky, 1992, in its exponential form)."""

from __future__ import annotations

import copy

import torch

from isthmus.core import Model
from isthmus.training.checkpoint import own_tensors


class Average:
    """`self.model` is a copy of `model` whose weights follow the original's with decay `decay`."""

    def __init__(self, model: Model, decay: float) -> None:
        self.original, self.decay = model, decay
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        pairs = list(zip(own_tensors(self.model).values(), own_tensors(model).values(), strict=True))
        # Counters (of batch norms, say) have no average: they are copied.
        self.smooth = [(ours, theirs) for ours, theirs in pairs if ours.is_floating_point()]
        self.exact = [(ours, theirs) for ours, theirs in pairs if not ours.is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """Move a step towards the model's present weights."""
        self.model.rounds, self.model.progress = self.original.rounds, self.original.progress
        if self.smooth:
            ours, theirs = map(list, zip(*self.smooth, strict=True))
            torch._foreach_lerp_(ours, theirs, 1 - self.decay)
        for counter, present in self.exact:
            counter.copy_(present)
