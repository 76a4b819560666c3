"""Small folders of pictures for the tests of the data layer."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image


def picture(name: str, size: tuple[int, int] = (12, 10), mode: str = "RGB") -> Image.Image:
    """A picture of (width, height) that depends on `name`."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    return Image.fromarray(random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).convert(mode)


def fill(root: Path, names: Iterable[str], size: tuple[int, int] = (12, 10), mode: str = "RGB") -> Path:
    """Write a picture of its own under each name."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        picture(name, size, mode).save(root / name)
    return root
