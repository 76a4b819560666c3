"""The run folder.

    config.json          model, configuration, specs, data and run options, versions
    model.safetensors    the weights to use: the average where there is one, else the latest
    metrics.jsonl        one line for each logged step
    events.out.*         the same for TensorBoard
    samples/             pictures over time
    checkpoints/
        step-00001000/   model.safetensors, average.safetensors, trainer.pt (tensors and numbers alone)
        best/            model.safetensors, score.json
    evaluation.json      the figures of isthmus evaluate

A checkpoint is written beside its place and renamed into it: whatever moment the process dies at, each folder
`step-*` is whole.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch

from isthmus.core import Model
from isthmus.errors import CheckpointError, OutputError
from isthmus.training.checkpoint import CONFIG, UNFINISHED, WEIGHTS, load_weights, read_config, weights, write
from isthmus.training.log import METRICS
from isthmus.training.trainer import Trainer

FIGURES = "evaluation.json"
LOGS = (METRICS, "events.out.*", "wandb")
CONTENT = (CONFIG, WEIGHTS, *LOGS, "samples", "checkpoints", FIGURES, "cpu_seconds")  # all that we write there


class RunFolder:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        self.path, self.checkpoints = path, path / "checkpoints"

    def check(self, overwrite: bool) -> None:
        """Raise OutputError if the folder is taken: if it has content, unless that is a run and may be overwritten."""
        if self.path.exists() and (not self.path.is_dir() or self.content()):
            if not overwrite:
                raise OutputError(
                    f"{self.path} exists; give another --out, --overwrite it, or isthmus resume {self.path}"
                )
            if not self.is_run():
                raise OutputError(
                    f"{self.path} is not a run folder, so --overwrite leaves it alone; give another --out"
                )
            check_all_ours(self.path, CONTENT, "a run")

    def is_run(self) -> bool:
        """Whether a run of Isthmus is described here: many a folder has a config.json."""
        try:
            return "run" in read_config(self.path)
        except CheckpointError:
            return False

    def content(self) -> list[Path]:
        """What is in the folder, beside what was left half written before there was a run."""
        return [path for path in self.path.iterdir() if not path.name.startswith(UNFINISHED)]

    def create(self) -> None:
        """Make the folder, empty; `check` comes before."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            empty(self.path, mark=CONFIG)
        except OSError as error:
            raise OutputError(f"cannot create {self.path}: {error.strerror}") from None

    def remove(self) -> None:
        """Take the folder away, as far as that is possible."""
        shutil.rmtree(self.path, ignore_errors=True)

    def save(self, trainer: Trainer, keep: int) -> None:
        """Write a checkpoint, publish its weights for use, and delete all but the newest `keep`."""
        self.write_checkpoint(trainer)
        self.settle(trainer, keep)

    def settle(self, trainer: Trainer, keep: int) -> None:
        """What follows a checkpoint, and can be done again: publish its weights, delete all but the newest `keep`."""
        write(self.path / WEIGHTS, weights(trainer.result))
        for old in self.steps()[:-keep]:
            hidden = old.with_name(f"{UNFINISHED}{old.name}")  # a folder under its own name is whole, to the last
            old.rename(hidden)
            shutil.rmtree(hidden, ignore_errors=True)

    def tidy(self) -> None:
        """Remove what a process that was killed left half written or half deleted."""
        for path in list(self.path.rglob(f"{UNFINISHED}*")):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def write_checkpoint(self, trainer: Trainer) -> None:
        """Write all that resuming takes."""
        final = self.at(trainer.step)
        temporary = self.checkpoints / f"{UNFINISHED}{trainer.step}-{os.getpid()}"
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            write(temporary / WEIGHTS, weights(trainer.model))
            if trainer.average:
                write(temporary / "average.safetensors", weights(trainer.average.model))
            state = io.BytesIO()
            torch.save(trainer.state_dict(), state)
            write(temporary / "trainer.pt", state.getvalue())
            with contextlib.suppress(OSError):  # the rename itself must be on disk before older ones are deleted
                sync_folder(temporary)
            temporary.replace(final)
            with contextlib.suppress(OSError):
                sync_folder(self.checkpoints)
        except OSError as error:
            raise OutputError(f"cannot write {final}: {error.strerror or error}") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def save_best(self, model: Model, score: dict[str, Any]) -> None:
        """Keep this model's weights as the best so far."""
        write(self.checkpoints / "best" / WEIGHTS, weights(model))
        write(self.checkpoints / "best" / "score.json", json.dumps(score))

    def best_score(self) -> float:
        """The held-out loss of the best checkpoint; infinite while there is none."""
        file = self.checkpoints / "best" / "score.json"
        return float(json.loads(file.read_text())["loss"]) if file.exists() else float("inf")

    def at(self, step: int) -> Path:
        """Where the checkpoint of a step is, or would be."""
        return self.checkpoints / f"step-{step:08d}"

    def steps(self) -> list[Path]:
        """The whole checkpoints, oldest first."""
        return sorted(path for path in self.checkpoints.glob("step-*") if path.is_dir())

    def restore(self, trainer: Trainer) -> None:
        """Bring the trainer to the newest checkpoint."""
        newest = self.steps()[-1]
        load_weights(trainer.model, newest / WEIGHTS)
        if trainer.average:
            load_weights(trainer.average.model, newest / "average.safetensors")
        try:
            state = torch.load(newest / "trainer.pt", map_location="cpu", weights_only=True)
        except Exception as error:
            raise CheckpointError(f"{newest} is damaged ({error}); delete it to resume from the one before") from None
        trainer.load_state_dict(state)


def check_all_ours(folder: Path, names: Iterable[str], what: str) -> None:
    """Raise OutputError if the folder holds anything but `names` (patterns), since --overwrite would delete it."""
    patterns = (*names, f"{UNFINISHED}*")
    if others := sorted(p.name for p in folder.iterdir() if not any(fnmatch(p.name, known) for known in patterns)):
        raise OutputError(
            f"{folder} holds more than {what} ({others[0]}), so --overwrite leaves it alone; give another --out"
        )


def empty(folder: Path, mark: str) -> None:
    """Delete what is in the folder, which itself may be a mount point and stays.

    The file `mark` goes last: until then, should the process die, the folder is known for what it is.
    """
    for path in sorted(folder.iterdir(), key=lambda path: path.name == mark):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
