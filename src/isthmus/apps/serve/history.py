"""How a training went, and goes: losses and sample pictures of a run folder, also while it is written."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

from isthmus.apps.serve.limits import Refused
from isthmus.training.log import METRICS

POINTS = 1000  # of a curve, at most
LIVE = 60  # seconds since the last line, after which a training is thought to have stopped


def history(folder: Path, config: dict[str, Any], after: int = 0) -> dict[str, Any]:
    """Losses from byte `after` of the file on: rows of steps and values, and `next`, from where to go on."""
    rows, place = logged(folder / METRICS, after)
    total = config.get("run", {}).get("steps")
    return {
        "steps": total,
        "live": age(folder / METRICS) < LIVE,
        "rows": rows[:: math.ceil(len(rows) / POINTS) or 1],
        "next": place,
        "samples": sorted(samples(folder)),
    }


def logged(file: Path, after: int) -> tuple[list[dict[str, float | None]], int]:
    """The whole lines behind a place, and the place behind them; from the start where the file is shorter by now."""
    try:
        content = file.read_bytes()
    except OSError:
        return [], 0
    start = after if after <= len(content) else 0
    end = content.rfind(b"\n") + 1
    if end <= start:
        return [], start
    lines = content[start:end].decode(errors="replace").splitlines()
    return [row for line in lines if (row := parsed(line)) is not None], end


def parsed(line: str) -> dict[str, float | None] | None:
    """The numbers of a line, those that are not finite as None."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    if not isinstance(row, dict) or not isinstance(row.get("step"), int):
        return None
    numbers = {name: value for name, value in row.items() if isinstance(value, int | float)}
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}


def age(file: Path) -> float:
    """Seconds since a file was written."""
    try:
        return time.time() - file.stat().st_mtime
    except OSError:
        return math.inf


def samples(folder: Path) -> dict[int, Path]:
    """Sample pictures by the step at which they were drawn."""
    found = {}
    for file in folder.glob("samples/step-*.png"):
        number = file.stem.removeprefix("step-")
        if number.isdecimal():
            found[int(number)] = file
    return found


def sample(folder: Path, step: int) -> bytes:
    """The sample picture of a step, out of those that are there. Raises Refused if there is none."""
    file = samples(folder).get(step)
    if file is None:
        raise Refused(404, f"there is no sample of step {step}")
    return file.read_bytes()
