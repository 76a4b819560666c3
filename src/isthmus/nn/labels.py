"""Classes as networks take them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core.spec import Spec
from isthmus.errors import ConfigError, DataError


def classes_of(spec: Spec) -> int:
    """How many classes the data have. Raises DataError if they have none."""
    if not spec.classes:
        raise DataError("this model learns from classes, and the data have none; put the images in class folders")
    return len(spec.classes)


def classes_told(conditional: bool, spec: Spec) -> int:
    """How many classes a model is told: those of the data, or 0. Raises ConfigError if the data have none to tell."""
    if conditional and not spec.classes:
        raise ConfigError("conditional asks for data with classes: put them into class folders, or leave it out")
    return len(spec.classes) if conditional else 0


def one_hot(label: Tensor, classes: int) -> Tensor:
    """Classes [batch] as vectors [batch, classes] of 0 and 1."""
    return F.one_hot(label, classes).float()


def drawn(n: int, classes: int, device: torch.device) -> Tensor:
    """`n` classes at random, [n]."""
    return torch.randint(classes, (n,), device=device)


def own(x: Tensor, label: Tensor) -> Tensor:
    """Of what each example has for every class, [batch, classes, ...], that of its own class `label` [batch]."""
    return x[torch.arange(len(x), device=x.device), label]


class Centres(nn.Module):
    """Moving averages of the features of each class, [classes, width]; a class that a batch lacks stays as it was."""

    centres: Tensor

    def __init__(self, classes: int, width: int, memory: float) -> None:
        super().__init__()
        self.memory = memory
        self.register_buffer("centres", torch.zeros(classes, width))

    def forward(self, features: Tensor, label: Tensor) -> Tensor:
        """The averages with this batch [batch, width] in them, through which gradients pass to its features."""
        members = one_hot(label, len(self.centres)).T
        counts = members.sum(1, keepdim=True)
        means = members @ features.float() / counts.clamp(min=1)
        centres = torch.where(counts > 0, torch.lerp(means, self.centres, self.memory), self.centres)
        self.centres.copy_(centres.detach())
        return centres
