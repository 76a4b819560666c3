"""What is measured of a model, and what measures of several capabilities share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from isthmus.data.images import Images
from isthmus.data.options import DataOptions
from isthmus.evaluation.intervals import Estimate, mean
from isthmus.evaluation.provenance import Group
from isthmus.evaluation.reference import Reference
from isthmus.evaluation.structure import WINDOW, psnr, ssim


@dataclass(frozen=True)
class Subject:
    """What is measured, on what, and how thoroughly."""

    model: Any  # a `Model`; measures ask for its capabilities
    data: DataOptions
    domains: Sequence[Reference]
    matches: Tensor | None  # bool [classes of the first domain, of the second]: may the one become the other?
    draws: int  # translations of each image
    seed: int

    @property
    def test(self) -> Images:
        """The test images of the first, often the only, domain."""
        return self.domains[0].test


Figures = dict[str, float | Estimate | None]
Measure = Callable[[Subject], Group | None]


def shown(images: Tensor) -> Tensor:
    """Images as a screen shows them, nothing brighter than white, on the CPU."""
    return images.float().clamp(-1, 1).cpu()


def likeness(images: Tensor, truth: Tensor) -> Tensor:
    """Squared error, PSNR and, where its window fits, SSIM of each image: [batch, 2 or 3]."""
    found = [(images - truth).square().flatten(1).mean(1), psnr(images, truth)]
    return torch.stack([*found, ssim(images, truth)] if min(truth.shape[2:]) >= WINDOW else found, dim=1)


def likenesses(parts: Sequence[Tensor]) -> dict[str, Estimate]:
    """The same by name, averaged over the images of all parts; nothing of none."""
    columns = torch.cat([*parts]).double().T.numpy() if parts else ()
    return dict(zip(("mean_squared_error", "psnr", "ssim"), map(mean, columns), strict=False))


def share(hits: Sequence[Tensor]) -> Estimate:
    """The share of true values among all of them."""
    return mean(torch.cat([*hits]).numpy())
