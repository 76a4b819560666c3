"""The part of a picture that is kept when a model draws the rest. Imports no torch before it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from isthmus.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

Region = Literal["top", "bottom", "left", "right", "top-left", "top-right", "bottom-left", "bottom-right"]


def known_part(known: Any, part: float, height: int, width: int) -> Tensor:
    """bool [height, width] of a region of which `part` is kept, or of a mask. Raises ConfigError if it is neither."""
    return region(known, part, height, width) if isinstance(known, str) else mask(known, height, width)


def region(keep: str, part: float, height: int, width: int) -> Tensor:
    """True in the region `keep`, which has `part` of the height, of the width, or of both.

    Raises ConfigError for a region that has no pixel, or all of them.
    """
    import torch

    if keep not in get_args(Region):
        raise ConfigError(f"what is known is {', '.join(get_args(Region))}, or a mask, got {keep!r}")
    known = torch.ones(height, width, dtype=torch.bool)
    for side in keep.split("-"):
        size = height if side in ("top", "bottom") else width
        place = torch.arange(size) if side in ("top", "left") else torch.arange(size).flip(0)
        inside = place < round(part * size)
        known &= inside[:, None] if side in ("top", "bottom") else inside
    if known.all() or not known.any():
        raise ConfigError(f"part {part:g} of {width}x{height} pixels leaves {'none' if known.all() else 'all'} to draw")
    return known


def mask(known: Any, height: int, width: int) -> Tensor:
    """A tensor or array of truth values as a tensor."""
    import torch

    found = torch.as_tensor(known)
    if found.dtype != torch.bool or found.shape != (height, width):
        raise ConfigError(
            f"a mask is bool [{height}, {width}], true where the picture is known, got "
            f"{str(found.dtype).removeprefix('torch.')} {[*found.shape]}"
        )
    return found
