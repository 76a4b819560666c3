"""Classes as networks take them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

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
