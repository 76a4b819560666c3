"""Two processes do what one does with batches of twice the size, and write one run folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import two_processes
from isthmus.apps import cli
from isthmus.training.folder import RunFolder

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distribution")


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=200)


def test_two_processes_equal_one_with_the_double_batch(tmp_path: Path) -> None:
    together, alone = tmp_path / "together", tmp_path / "alone"
    together.mkdir()
    alone.mkdir()
    done = program(two_processes.__file__, str(together), "2", "4")
    assert done.returncode == 0, done.stderr
    two_processes.main(alone, 1, 8)
    assert (together / "0.safetensors").read_bytes() == (together / "1.safetensors").read_bytes()
    ours, theirs = load_file(together / "0.safetensors"), load_file(alone / "0.safetensors")
    torch.manual_seed(0)
    start = two_processes.Quiet().build(two_processes.SPEC).state_dict()
    for name, weight in theirs.items():
        torch.testing.assert_close(ours[name], weight, rtol=1e-6, atol=1e-6)
        assert (weight - start[name]).abs().max() > 1e-3, "the test is empty: nothing was learned"
    losses = [json.loads((folder / "losses.json").read_text()) for folder in (together, alone)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)  # the mean over both processes


def test_the_command_line_on_two_devices(tmp_path: Path) -> None:
    """End to end: one run folder with one log, that one process can go on with."""
    out = tmp_path / "run"
    options = ["--data", "digits", "--hidden", "16", "--latent", "4", "--threads", "1", "--accelerator", "cpu"]
    options += [
        "--devices",
        "2",
        "--steps",
        "20",
        "--checkpoint-every",
        "10",
        "--log-every",
        "5",
        "--sample-every",
        "10",
    ]
    done = program("-m", "isthmus", "train", "vae", *options, "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert [path.name for path in RunFolder(out).steps()] == ["step-00000010", "step-00000020"]
    assert len(list(out.glob("events.out.*"))) == 1
    assert sorted(path.name for path in (out / "samples").iterdir()) == ["step-00000010.png", "step-00000020.png"]
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "vae/kl" in row] == [5, 10, 15, 20]
    assert [row["step"] for row in rows if "validation/vae/kl" in row] == [10, 20]
    assert not list(out.rglob(".writing-*"))
    assert cli.main(["resume", str(out), "--steps", "22", "--devices", "1"]) == 0
    assert RunFolder(out).steps()[-1].name == "step-00000022"


@pytest.mark.slow
def test_a_mistake_ends_both_processes_with_one_message(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    arguments = ["train", "vae", "--data", "digits", "--accelerator", "cpu", "--devices", "2", "--out", str(tmp_path)]
    done = program("-m", "isthmus", *arguments)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert done.stderr.count("exists; give another --out") == 1, done.stderr
