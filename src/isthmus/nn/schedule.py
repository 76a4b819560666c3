"""How learning rates change in the course of a training."""

from __future__ import annotations

from collections.abc import Callable

from isthmus.errors import ConfigError


def falling(constant: float) -> Callable[[float], float]:
    """The factor 1 for the first part `constant` of the training, which then falls linearly to 0.

    Raises ConfigError if that is no part of it.
    """
    if not 0 <= constant <= 1:
        raise ConfigError(f"constant is a part of the training, from 0 to 1, got {constant}")
    return lambda progress: 1.0 if progress <= constant else (1 - progress) / (1 - constant)
