"""What a model draws at random: by a seed, and by class."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from isthmus.core import Pairs, Samples


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


def shown(model: Samples, n: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
    """New images [n, channels, height, width]; of a model of pairs the two of each, side by side, grey ones in colour.

    Where one of them has alpha, it is left out.
    """
    if not isinstance(model, Pairs):
        return model.sample(n, label, temperature)
    a, b = model.pairs(n, temperature)
    if a.shape[1] != b.shape[1]:
        a, b = (image.expand(-1, 3, -1, -1) if image.shape[1] == 1 else image[:, :3] for image in (a, b))
    return torch.cat([a, b], 3)


@torch.no_grad()
def heeds_labels(model: Samples) -> bool:
    """Whether the same draw of two classes differs: a model that knows no classes takes labels and ignores them."""
    draws = []
    for label in (0, len(model.spec.classes) - 1):
        with drawing(0, model.device):
            draws.append(model.sample(1, torch.tensor([label], device=model.device)))
    return len(model.spec.classes) > 1 and not torch.equal(*draws)
