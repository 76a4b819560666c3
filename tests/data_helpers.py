"""Small folders of pictures for the tests of the data layer."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from isthmus.data.images import Images
from isthmus.data.open import open_data
from isthmus.data.options import DataOptions, Split


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


def names(count: int, prefix: str = "", suffix: str = ".png") -> list[str]:
    """000.png, 001.png and so on."""
    return [f"{prefix}{i:03d}{suffix}" for i in range(count)]


def opened(*specs: str, split: Split = "train", **options: Any) -> tuple[Images, ...]:
    """One split of the data that specs name."""
    return open_data(DataOptions(data=specs, **options), split)


def both(spec: str, **options: Any) -> tuple[Images, Images]:
    """Both splits of the one domain that a spec names."""
    return opened(spec, **options)[0], opened(spec, split="test", **options)[0]
