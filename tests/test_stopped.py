"""What stops a command midway, a full disk or Ctrl-C: one sentence that says how to go on, and nothing broken is left.

Ctrl-C in training is in test_resume.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from command_line import RULE, SHORT, SMALL, files, program, put, said, train_bridge, train_vae
from isthmus.apps.cli import main
from isthmus.evaluation.judge import Recipe
from isthmus.training.folder import RunFolder

PATIENCE = 120  # seconds that a process may take, on a busy machine
TRAIN = ["train", "vae", "--out", "new", *SMALL, *SHORT]


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    assert train_vae(folder / "low") == 0
    assert train_vae(folder / "high", data="digits:2-3") == 0
    assert train_bridge(folder / "bridge", folder / "low", folder / "high", *RULE) == 0
    return folder / "bridge"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- a full disk, played by the largest size that a file may have


def limited(size: int) -> dict[str, object]:
    """Settings of a process whose files cannot grow beyond it, and in which Python leaves no torn bytecode behind."""
    return {
        "preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
        "env": {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    }


def test_a_disk_that_fills_up_in_training(here: Path) -> None:
    often = ["--log-every", "1", "--checkpoint-every", "50", "--sample-every", "0", "--steps", "2000"]
    done = program([*TRAIN, *often], here, **limited(20_000))
    assert done.returncode == 2, done.stderr
    kept = RunFolder(Path("new")).steps()[-1]
    message = done.stderr.splitlines()[-1]
    assert message == (
        f"error: cannot write to new: File too large; {kept.name} is kept. Make room, then: isthmus resume new"
    )
    assert kept.name != "step-00000000"
    assert "Traceback" not in done.stderr
    step = int(kept.name.removeprefix("step-"))
    assert main(["resume", "new", "--steps", str(step + 5)]) == 0
    assert main([*TRAIN, "--out", "whole", "--steps", str(step + 5)]) == 0
    assert Path("new/model.safetensors").read_bytes() == Path("whole/model.safetensors").read_bytes()


def test_a_disk_that_is_full_from_the_start(here: Path) -> None:
    done = program(TRAIN, here, **limited(2000))
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: cannot write new/checkpoints/")
    assert not Path("new").exists()


def test_a_disk_that_fills_up_in_translating(
    bridge: Path, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written by then is whole."""
    for i in range(3):
        put(f"in/{i}.png", size=(12, 12))
    write, room = Path.write_bytes, iter(range(2))

    def filling(path: Path, content: bytes) -> None:
        if next(room, None) is None:
            write(path, content[:20])
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(Path, "write_bytes", filling)
    assert main(["translate", str(bridge), "in", "--out", "out"]) == 2
    assert said(capsys) == "error: cannot write out/2.png: No space left on device"
    assert files("out") == ["0.png", "1.png"]
    for name in files("out"):
        with Image.open(f"out/{name}") as image:
            image.load()


def test_errors_of_the_system_that_nobody_foresaw(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing() -> None:
        raise OSError(28, "No space left on device", "/cache/x")

    monkeypatch.setattr("isthmus.apps.cli.overview", failing)
    assert main(["--help"]) == 2
    assert said(capsys) == "error: /cache/x: No space left on device"


# --- Ctrl-C


def interrupted(arguments: list[str], cwd: Path, sign: str) -> tuple[int, str]:
    """Exit code and last line of a command that gets Ctrl-C as soon as the file `sign` is there."""
    command = [sys.executable, "-m", "isthmus", *arguments]
    process = subprocess.Popen(command, cwd=cwd, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + PATIENCE
    while not (cwd / sign).exists():
        assert process.poll() is None, process.stderr
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=PATIENCE)[1]
    assert "Traceback" not in errors, errors
    return process.returncode, errors.splitlines()[-1]


def test_ctrl_c_in_the_demo(tmp_path: Path) -> None:
    code, message = interrupted(["demo", "--threads", "1"], tmp_path, "demo/a/checkpoints/step-00000000")
    assert (code, message) == (130, "stopped: start again with: isthmus demo --overwrite --out demo")
    from isthmus.apps.report import prepare_folder

    prepare_folder(tmp_path / "demo", ("a", "b", "bridge"), overwrite=True)  # what it says to do is allowed
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["results.json"]


def test_ctrl_c_while_a_judge_is_trained(
    bridge: Path, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = iter(range(5))

    def pressed(*_: object) -> None:
        if next(steps, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setenv("ISTHMUS_CACHE", str(here / "cache"))  # where there is no judge yet
    monkeypatch.setattr("torch.optim.lr_scheduler.OneCycleLR.step", pressed)
    assert Recipe().steps > 5
    assert main(["evaluate", str(bridge)]) == 130
    assert said(capsys) == "stopped: by the user"
    assert not list(Path("cache").rglob("*.safetensors"))
    assert not (bridge / "evaluation.json").exists()
