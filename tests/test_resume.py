"""A run that is killed and resumed is the run that was never stopped: really killed, at any moment, file by file."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from command_line import put
from isthmus.apps import cli
from isthmus.training.folder import RunFolder

RUN = ["--batch-size", "16", "--threads", "1", "--accelerator", "cpu", "--average", "0.9", "--log-every", "3"]
OFTEN = ["--checkpoint-every", "1", "--sample-every", "4", "--validation", "0.02"]
VAE = ["vae", "--data", "digits", "--hidden", "16", "--latent", "4", *RUN]


@pytest.fixture(scope="module")
def autoencoders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two trained autoencoders, of digits below five and of the others."""
    folder = tmp_path_factory.mktemp("autoencoders")
    for name, data in (("low", "digits:0-4"), ("high", "digits:5-9")):
        arguments = ["vae", "--data", data, "--hidden", "16", "--latent", "4", "--steps", "20", *RUN]
        assert cli.main(["train", *arguments, "--out", str(folder / name)]) == 0
    return folder / "low", folder / "high"


@pytest.fixture(scope="module")
def bridge(autoencoders: tuple[Path, Path]) -> list[str]:
    """The arguments that train a bridge between them."""
    a, b = map(str, autoencoders)
    data = ["--data", "digits:0-4", "digits:5-9", "--pair", "0=5,1=6,2=7,3=8,4=9"]
    return ["latent-bridge", "--a", a, "--b", b, "--hidden", "16", "--layers", "1", *data, *RUN]


# Forked from a process that has imported everything, since a start of Python takes seconds.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["isthmus.apps.commands.train", "isthmus.training.run", "sklearn.datasets", "tensorboardX"]
)


def command(arguments: Sequence[str]) -> None:
    sys.exit(cli.main(arguments))


def kill_between_checkpoints(process: Any, out: Path, chance: random.Random, kill: Callable[[], None]) -> None:
    """Let the process come some steps further, wait a moment that ends anywhere in a round, and kill it."""
    began = {path.name for path in RunFolder(out).steps()}
    deadline = time.monotonic() + 100
    while len({path.name for path in RunFolder(out).steps()} - began) < 2:
        assert process.is_alive(), "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    time.sleep(chance.uniform(0, 0.1))
    kill()
    process.join()


class Program:
    """`python -m isthmus ...`, with the methods of a `multiprocessing.Process`."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.started = subprocess.Popen(
            [sys.executable, "-m", "isthmus", *arguments], stderr=subprocess.PIPE, text=True
        )
        self.said = ""

    def is_alive(self) -> bool:
        return self.started.poll() is None

    def kill(self) -> None:
        self.started.kill()

    def interrupt(self) -> None:
        self.started.send_signal(signal.SIGINT)

    def join(self) -> None:
        self.said = self.started.communicate(timeout=100)[1]

    @property
    def exitcode(self) -> int | None:
        return self.started.returncode


def forked(arguments: Sequence[str]) -> Any:
    process = CONTEXT.Process(target=command, args=(list(arguments),))
    process.start()
    return process


def assert_same(ours: Path, theirs: Path) -> None:
    """Equal weights, averages, best checkpoints, losses and pictures."""
    for pattern in ("*.safetensors", "score.json", "*.png"):
        files = sorted(path.relative_to(theirs) for path in theirs.rglob(pattern))
        assert files == sorted(path.relative_to(ours) for path in ours.rglob(pattern))
        for file in files:
            assert (ours / file).read_bytes() == (theirs / file).read_bytes(), f"{file} differs"
    assert metrics(ours) == metrics(theirs)
    assert not list(ours.rglob(".writing-*"))


def metrics(run: Path) -> list[dict[str, float]]:
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [{key: value for key, value in row.items() if key != "steps_per_second"} for row in rows]


def test_the_command_killed_anywhere(tmp_path: Path) -> None:
    whole, out, steps = tmp_path / "whole", tmp_path / "killed", ["--steps", "40"]
    assert cli.main(["train", *VAE, *OFTEN, *steps, "--out", str(whole)]) == 0
    kill_repeatedly(Program, ["train", *VAE, *OFTEN, *steps, "--out", str(out)], out, times=2)
    assert_same(out, whole)


def test_a_bridge_killed_anywhere(bridge: list[str], tmp_path: Path) -> None:
    whole, out, steps = tmp_path / "whole", tmp_path / "killed", ["--steps", "40"]
    assert cli.main(["train", *bridge, *OFTEN, *steps, "--out", str(whole)]) == 0
    kill_repeatedly(forked, ["train", *bridge, *OFTEN, *steps, "--out", str(out)], out, times=2)
    assert_same(out, whole)


def kill_repeatedly(start: Callable[[Sequence[str]], Any], train: list[str], out: Path, times: int) -> None:
    """Start, kill and resume; the last resumption may finish."""
    chance = random.Random(0)
    for arguments in [train, *[["resume", str(out)]] * (times - 1)]:
        process = start(arguments)
        kill_between_checkpoints(process, out, chance, process.kill)
        assert process.exitcode == -signal.SIGKILL
    assert cli.main(["resume", str(out)]) == 0


def die_at(moment: int, arguments: Sequence[str]) -> None:
    """Run a command, and die without a word at the `moment`-th time that it changes what is on the disk."""
    changes = count()

    def dying(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*inputs: Any, **settings: Any) -> Any:
            if next(changes) == moment:
                os._exit(9)
            return original(*inputs, **settings)

        return call

    for module, name in ((os, "fsync"), (os, "replace"), (os, "rename"), (os, "rmdir"), (os, "chmod")):
        setattr(module, name, dying(getattr(module, name)))
    for name in ("replace", "rename", "write_bytes", "mkdir"):
        setattr(Path, name, dying(getattr(Path, name)))
    command(arguments)


@pytest.mark.parametrize("stride", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_dead_at_a_change_of_the_disk(stride: int, tmp_path: Path) -> None:
    """Also within a checkpoint, at its renaming, and while old ones are deleted; by default at some of them."""
    often = ["--checkpoint-every", "1", "--sample-every", "0", "--keep", "1", "--validation", "0.02"]
    arguments, whole = [*VAE, *often, "--steps", "3"], tmp_path / "whole"
    assert cli.main(["train", *arguments, "--out", str(whole)]) == 0
    for moment in count(0, stride):
        out = tmp_path / "dead"
        process = CONTEXT.Process(target=die_at, args=(moment, ["train", *arguments, "--out", str(out)]))
        process.start()
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == 9
        checkpoints = RunFolder(out).steps()
        if checkpoints:
            done = checkpoints[-1].name == "step-00000003"
            assert cli.main(["resume", str(out)]) == (2 if done else 0)
        else:
            assert cli.main(["train", *arguments, "--overwrite", "--out", str(out)]) == 0
        assert_same(out, whole)
        shutil.rmtree(out)
    assert moment > 100, "the test did not see the moments it is about"


def test_a_longer_run_than_first_asked(tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "longer"
    often = ["--checkpoint-every", "5", "--sample-every", "5"]
    assert cli.main(["train", *VAE, *often, "--steps", "25", "--out", str(whole)]) == 0
    assert cli.main(["train", *VAE, *often, "--steps", "10", "--out", str(out)]) == 0
    assert cli.main(["resume", str(out), "--steps", "25"]) == 0
    assert_same(out, whole)


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, out = tmp_path / "whole", tmp_path / "stopped"
    program = Program(["train", *VAE, "--steps", "100000", "--checkpoint-every", "20", "--out", str(out)])
    kill_between_checkpoints(program, out, random.Random(1), program.interrupt)
    assert program.exitcode == 130
    step = int(RunFolder(out).steps()[-1].name.removeprefix("step-"))
    said = " ".join(program.said.split())
    assert f"stopped: stopped at step {step}; go on with: isthmus resume {out}" in said
    assert "Traceback" not in said
    assert cli.main(["resume", str(out), "--steps", str(step + 7)]) == 0
    assert cli.main(["train", *VAE, "--steps", str(step + 7), "--out", str(whole)]) == 0
    assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert cli.main(["resume", str(out)]) == 2
    assert f"is complete at step {step + 7}; give more" in " ".join(capsys.readouterr().err.split())


def test_minutes_count_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that moves a second with every look."""
    ticks, out = count(), str(tmp_path / "run")
    monkeypatch.setattr("isthmus.training.run.time.monotonic", lambda: float(next(ticks)))
    train, again, reached = ["train", *VAE, "--steps", "1000", "--minutes", "1", "--out", out], ["resume", out], [0]
    for command in (train, again, [*again, "--minutes", "2"]):
        assert cli.main(command) == 0
        reached.append(int(RunFolder(tmp_path / "run").steps()[-1].name.removeprefix("step-")))
        assert reached[-1] > reached[-2]
        last = f"stopped by --minutes at step {reached[-1]}; go on with: isthmus resume {out}"
        assert capsys.readouterr().err.splitlines()[-1] == last
    assert cli.main([*again, "--steps", str(reached[-1] + 1)]) == 0
    assert "stopped" not in capsys.readouterr().err


def test_what_a_crash_left_half_written_is_ignored_and_removed(tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "run"
    assert cli.main(["train", *VAE, "--steps", "8", "--out", str(whole)]) == 0
    assert cli.main(["train", *VAE, "--steps", "4", "--out", str(out)]) == 0
    torn = out / "checkpoints" / ".writing-8-4711"
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"half")
    (out / ".writing-abc").write_bytes(b"half")
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "vae/kl": 1')
    assert cli.main(["resume", str(out), "--steps", "8"]) == 0
    assert not list(out.rglob(".writing-*"))
    assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert [row["step"] for row in metrics(out)] == sorted(row["step"] for row in metrics(out))


def test_a_damaged_checkpoint_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert cli.main(["train", *VAE, "--steps", "4", "--checkpoint-every", "2", "--out", str(out)]) == 0
    newest = RunFolder(out).steps()[-1]
    for name in ("trainer.pt", "average.safetensors", "model.safetensors"):
        content = (newest / name).read_bytes()
        (newest / name).write_bytes(content[: len(content) // 2])
        assert cli.main(["resume", str(out), "--steps", "6"]) == 2
        said = "".join(capsys.readouterr().err.split())
        assert "step-00000004" in said
        (newest / name).write_bytes(content)
    shutil.rmtree(newest)  # what the message says to do
    assert cli.main(["resume", str(out), "--steps", "4"]) == 0


@pytest.mark.parametrize("validation", ["0.1", "0"])
def test_other_images_than_it_began_with(validation: str, tmp_path: Path) -> None:
    """They choose anew which are held out; each resumption says so, since what was learned once stays learned."""
    for i in range(30):
        put(str(tmp_path / f"photos/{i}.png"), 1, (8, 8))
    arguments = ["vae", *VAE[3:], "--data", f"folder:{tmp_path}/photos", "--validation", validation]
    assert cli.main(["train", *arguments, "--steps", "2", "--out", str(tmp_path / "run")]) == 0
    (began_with,) = json.loads((tmp_path / "run" / "config.json").read_text())["images"]
    for i in range(30, 60):
        put(str(tmp_path / f"photos/{i}.png"), 1, (8, 8))
    for steps in ("3", "4"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert cli.main(["resume", str(tmp_path / "run"), "--steps", steps]) == 0
        said = [str(warning.message) for warning in caught if "when the run began" in str(warning.message)]
        assert len(said) == (validation != "0")
        assert all(f"images and had {began_with} when the run began, so that other" in text for text in said)
