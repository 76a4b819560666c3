"""What a model draws at random: by a seed, and by class."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from isthmus.core import Samples


@contextmanager
def drawing(seed: int | None, device: torch.device) -> Iterator[None]:
    """All draws on `device` and on the CPU follow from `seed`; the caller's generators are afterwards as before.

    Without a seed the block draws from the caller's generators.
    """
    if seed is None:
        yield
        return
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(cuda, device_type="cuda"):
        torch.default_generator.manual_seed(seed)
        for place in cuda:
            with torch.cuda.device(place):
                torch.cuda.manual_seed(seed)
        yield


@torch.no_grad()
def heeds_labels(model: Samples) -> bool:
    """Whether the same draw of two classes differs: a model that knows no classes takes labels and ignores them."""
    draws = []
    for label in (0, len(model.spec.classes) - 1):
        with drawing(0, model.device):
            draws.append(model.sample(1, torch.tensor([label], device=model.device)))
    return len(model.spec.classes) > 1 and not torch.equal(*draws)
