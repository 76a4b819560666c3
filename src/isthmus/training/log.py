"""What a run tells while it runs: metrics.jsonl, TensorBoard, Weights & Biases, and the progress bar."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from isthmus.errors import ConfigError
from isthmus.training.board import Board
from isthmus.training.checkpoint import write
from isthmus.training.options import RunOptions

METRICS = "metrics.jsonl"


def check_loggers(options: RunOptions) -> None:
    """Raise ConfigError, before any work begins, if the package of a log that is asked for is missing."""
    if options.wandb:
        try:
            import wandb  # noqa: F401
        except ImportError:
            raise ConfigError("--wandb needs the package wandb: pip install wandb") from None


class Log:
    """Writes rows of numbers to every place that the user asked for."""

    def __init__(self, folder: Path, options: RunOptions, step: int) -> None:
        self.file = folder / METRICS
        if self.file.exists():  # what a killed run logged after its last checkpoint will be logged again
            lines = [line for line in self.file.read_text().splitlines() if line.endswith("}")]
            kept = [line for line in lines if json.loads(line)["step"] <= step]
            write(self.file, "".join(line + "\n" for line in kept))
        self.board = Board(folder, step)
        self.wandb: Any = None
        if options.wandb:
            import wandb

            self.wandb = wandb.init(project=options.wandb, dir=str(folder), name=folder.name, resume="allow")

    def write(self, step: int, values: dict[str, float]) -> None:
        """Log `values` for `step`."""
        with self.file.open("a") as file:
            file.write(json.dumps({"step": step, **{k: round_sensibly(v) for k, v in values.items()}}) + "\n")
        self.board.write(step, values)
        if self.wandb:
            self.wandb.log(values, step=step)

    def close(self) -> None:
        self.board.close()
        if self.wandb:
            self.wandb.finish()


def round_sensibly(value: float) -> float:
    """Seven significant digits: what a float32 holds."""
    return float(f"{value:.7g}") if math.isfinite(value) else value


def totals(losses: dict[str, float]) -> dict[str, float]:
    """The losses as they are if they are few, else each player's total: a line has room for four."""
    if len(losses) <= 4:
        return losses
    players = dict.fromkeys(name.split("/")[0] for name in losses)
    return {p: sum(value for name, value in losses.items() if name.split("/")[0] == p) for p in players}


class Bar:
    """A progress bar with losses, speed and time left; where there is no terminal, a line now and then."""

    def __init__(self, title: str, total: int, start: int, *, show: bool = True) -> None:
        self.console = Console(stderr=True, emoji=False)
        self.title, self.total, self.show, self.said, self.text = title, total, show, start, ""
        self.progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[losses]}"),
            console=self.console,
            disable=not (show and self.console.is_terminal),
        )
        self.task = self.progress.add_task(title, total=total, completed=start, speed="", losses="")

    def update(self, step: int, losses: dict[str, float], speed: float) -> None:
        """Show the step; no `losses` leaves those that were shown before."""
        if losses:
            self.text = "  ".join(f"{name} {value:.4g}" for name, value in totals(losses).items())
        text = self.text
        self.progress.update(self.task, completed=step, losses=text, speed=f"{speed:,.0f} steps/s" if speed else "")
        due = step - self.said >= self.total / 10 or (step == self.total and step > self.said)
        if due and not self.console.is_terminal:
            self.say(f"{self.title}: step {step} of {self.total}  {text}")
            self.said = step

    def say(self, text: str) -> None:
        """Print a line."""
        if self.show:
            self.console.print(text, soft_wrap=True, highlight=False, markup=False)

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()
