"""Films for tests: written, carried by the command line, and looked at."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from isthmus.apps import film
from isthmus.apps.cli import main
from isthmus.apps.film import Film, Frame, reading, writing
from isthmus.core import Spec
from tiny_models import picture

SIDE = Spec(3, 16, 24, (), "folder:side")
GREY = np.full((40, 60, 3), 128, np.uint8)


def written(name: str, pixels: Sequence[np.ndarray], seconds: Sequence[Fraction], loop: int | None = 0) -> Path:
    """A film of frames that are shown for so long."""
    path = Path(name)
    if film.video.is_video(path):
        pytest.importorskip("av", reason="PyAV is an optional extra")
    path.parent.mkdir(parents=True, exist_ok=True)
    step = Fraction(1, 3000)
    writer = writing(path, path.suffix, Film(iter(()), len(pixels), step, loop))
    start = Fraction(0)
    for frame, length in zip(pixels, seconds, strict=True):
        writer.add(Frame(frame, start, length))
        start += length
    writer.close()
    return path


def noise(count: int, channels: int = 3) -> list[np.ndarray]:
    return [picture(channels, 40, 60, seed=i) for i in range(count)]


def shown(name: str | Path) -> list[Frame]:
    with reading(Path(name)) as found:
        return list(found.frames)


def of(*arguments: str) -> int:
    return main(["translate", "run", *arguments])
