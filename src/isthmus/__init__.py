"""Isthmus: generate images and carry them across domains, with VAEs, GANs and their kin."""

import os
from typing import TYPE_CHECKING, Any

# libgomp's threads spin at barriers; beside one busy process that costs a factor of thirty.
# It is read when torch is first imported, so it must be set before.
os.environ.setdefault("GOMP_SPINCOUNT", "0")

__version__ = "0.1.0"
__all__ = ["IsthmusError", "__version__", "load"]

from isthmus.errors import IsthmusError

if TYPE_CHECKING:
    from isthmus.apps.trained import load


def __getattr__(name: str) -> Any:
    if name == "load":  # imported on first use: listing models and printing help never wait for torch
        from isthmus.apps.trained import load

        return load
    raise AttributeError(f"module 'isthmus' has no attribute {name!r}")
