"""The run's options. No torch here: the command line shows them before anything heavy is imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from isthmus.errors import ConfigError


@dataclass(kw_only=True)
class RunOptions:
    """How long, how fast, and where to."""

    out: Path  # run folder to create
    steps: int = 5000  # rounds of the model's turns
    epochs: float | None = None  # length in passes through the data, instead of steps
    minutes: float | None = None  # stop (and save) after so long, even if steps remain; resumed, it counts anew
    batch_size: int = 64  # examples in each turn, for each device
    accumulate: int = 1  # batches whose gradients make one update
    seed: int = 0  # of weights, order of data and noise: the same seed is the same run
    precision: Literal["32", "bf16-mixed", "16-mixed"] = "32"  # of the arithmetic; losses are always computed in 32
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"  # where to compute
    devices: int = 1  # processes, one for each device
    threads: int | None = None  # CPU threads of each process; by default what torch chooses
    clip: float = 0.0  # largest gradient norm of a player; 0 does not clip
    average: float = 0.0  # decay of the averaged weights, e.g. 0.999; 0 keeps none
    compile: bool = False  # compile the networks with torch.compile
    log_every: int = 50  # steps between logged losses
    sample_every: int = 1000  # steps between sample pictures; 0 draws none
    checkpoint_every: int = 1000  # steps between checkpoints (and validations)
    keep: int = 2  # newest checkpoints to keep
    validation: float = 0.05  # fraction of the training images held out for validation; 0 holds out none
    monitor: str | None = None  # held-out loss that chooses the best checkpoint, as PLAYER/TERM; by default the sum
    wandb: str | None = None  # also log to this Weights & Biases project

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulate", "devices", "log_every", "checkpoint_every", "keep"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("epochs", "minutes", "threads"):
            if getattr(self, name) is not None and getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("validation", "average"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        for name in ("clip", "sample_every"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.monitor is not None and not self.validation:
            raise ConfigError(f"monitor {self.monitor!r} needs held-out images: give a validation fraction above 0")
