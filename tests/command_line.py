"""The command line as tests call it: in this process, with short runs on a few digits, and pictures for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from isthmus.apps.cli import main
from isthmus.data.read import write

SMALL = ["--hidden", "8", "--latent", "2"]
SHORT = ["--steps", "12", "--batch-size", "8", "--threads", "1", "--accelerator", "cpu"]
RULE = ["--data", "digits:0-1", "digits:2-3", "--pair", "0=2,1=3"]


def train_vae(out: Path | str, *more: str, data: str = "digits:0-1") -> int:
    return main(["train", "vae", "--data", data, "--out", str(out), *SMALL, *SHORT, *more])


def train_bridge(out: Path | str, a: Path | str, b: Path | str, *more: str) -> int:
    ends = ["--a", str(a), "--b", str(b)]
    return main(["train", "latent-bridge", *ends, "--out", str(out), "--hidden", "8", "--layers", "1", *SHORT, *more])


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """What went to stderr since the last call, without the lines of progress."""
    lines = capsys.readouterr().err.splitlines()
    return "\n".join(line for line in lines if ": step " not in line)


def program(arguments: Sequence[str], cwd: Path, **settings: object) -> subprocess.CompletedProcess[str]:
    """`python -m isthmus` in a process of its own."""
    command = [sys.executable, "-m", "isthmus", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=200, **settings)  # type: ignore[call-overload]


def put(name: str, channels: int = 3, size: tuple[int, int] = (30, 40), bits: int = 8) -> Path:
    """Write a random picture of (height, width) that depends on its name."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(list(name.encode()))
    write(path, random.integers(0, 2**bits, (*size, channels), np.uint8 if bits == 8 else np.uint16))
    return path


def files(folder: Path | str) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in Path(folder).rglob("*") if p.is_file())
