"""Two sets of pictures and their references, the page that is made of them, and agreement by counting."""

from __future__ import annotations

import base64
import json
import re
from itertools import permutations
from pathlib import Path
from typing import Any

from PIL import Image

from isthmus.apps.cli import main

TRIALS, PRACTICE, EXPOSURE = 7, 2, 300
COLOURS = {"red": (200, 0, 0), "blue": (0, 0, 200), "green": (0, 200, 0)}


def draw_sets(folder: Path) -> Path:
    """Red ones are real, blue ones generated, green ones references; the shade is the number."""
    for name, colour in COLOURS.items():
        (folder / name).mkdir()
        for i in range(9):
            shade = tuple(value + 5 * i for value in colour)
            Image.new("RGB", (40, 30), shade).save(folder / name / f"{i}.png")
    return folder


def make(folder: Path, *more: str) -> Path:
    options = ["--trials", str(TRIALS), "--practice", str(PRACTICE), "--exposure", str(EXPOSURE), *more]
    assert main(["study", str(folder / "red"), str(folder / "blue"), "--out", str(folder / "s.html"), *options]) == 0
    return folder / "s.html"


def plan_of(file: Path) -> dict[str, Any]:
    found = re.search(r'id="plan">(.*?)<', file.read_text())
    assert found is not None
    return json.loads(base64.b64decode(found[1]))


def alpha_by_counting(ratings: Any) -> float:
    """Disagreeing pairs, one by one."""
    units = [[r for r in unit if r == r] for unit in zip(*ratings, strict=True)]
    units = [unit for unit in units if len(unit) > 1]
    everything = [r for unit in units for r in unit]
    within = sum(sum(a != b for a, b in permutations(unit, 2)) / (len(unit) - 1) for unit in units)
    across = sum(a != b for a, b in permutations(everything, 2)) / (len(everything) - 1)
    return 1 - within / across
