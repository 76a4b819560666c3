"""One run, from data to a run folder; and its resumption, which goes on exactly where it stopped."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, cast

import torch
from lightning_fabric import Fabric

from isthmus.core import Model
from isthmus.core.spec import counted
from isthmus.data.images import Images
from isthmus.data.open import open_data, pairing
from isthmus.data.options import DataOptions
from isthmus.data.pictures import grid, to_png_bytes
from isthmus.data.stream import Stream
from isthmus.errors import CheckpointError, ConfigError, DataError, OutputError, TrainingError
from isthmus.training.checkpoint import WEIGHTS, load_weights, read_config, rebuild, write, write_config
from isthmus.training.folder import RunFolder
from isthmus.training.log import Bar, Log, check_loggers
from isthmus.training.options import RunOptions
from isthmus.training.preview import preview, sheet
from isthmus.training.settings import data_of, reopen, run_of, settings
from isthmus.training.trainer import Trainer
from isthmus.training.validation import evaluating, held_out_losses, split, warn_if_moved

SHOWN = 8  # images in a row of a sample picture
VALIDATION_ROUNDS = 20  # at most


def train(model: Model, data: DataOptions, options: RunOptions, *, overwrite: bool = False) -> None:
    """Train `model` on `data` and write the run folder `options.out`.

    Raises OutputError if the folder exists (unless `overwrite`), DataError for unfit data, TrainingError if the losses
    are no longer finite, and KeyboardInterrupt, after saving, when the user stops it.
    """
    folder = RunFolder(options.out)
    folder.check(overwrite)  # by every process, before the first one can have made it
    fabric = start(options)
    domains = open_data(data, "train")
    if options.epochs is not None:
        options = replace(options, steps=steps_of(options.epochs, domains, options, fabric.world_size), epochs=None)
    torch.manual_seed(options.seed)
    model.build(*(domain.spec for domain in domains))
    run = Run(folder, model, data, options, domains, fabric)
    if run.main:
        folder.create()
        try:
            run.write_config(counts(domains))
            folder.write_checkpoint(run.trainer)
        except OutputError:
            folder.remove()  # what cannot be resumed would only be in the way
            raise
    run.play()


def resume(path: Path, **changes: Any) -> None:
    """Go on with the run in folder `path`; `changes` are run options, e.g. `steps=20_000`.

    Raises CheckpointError if there is nothing to resume.
    """
    folder, config = RunFolder(path), read_config(path)
    if "run" not in config:
        raise CheckpointError(f"{path} is a model without its run, which cannot be resumed; train a new one")
    data, options = data_of(config, path), run_of(config, path, **changes)
    if not folder.steps():
        raise CheckpointError(f"{path} has no checkpoint to go on from; train it again with --overwrite")
    fabric = start(options)
    model = rebuild(config)
    load_weights(model, folder.steps()[-1] / WEIGHTS)  # frozen parts must be there before the model prepares the data
    domains = reopen(config, "train", path)
    run = Run(folder, model, data, options, domains, fabric)
    folder.restore(run.trainer)
    if run.main:
        folder.tidy()
        folder.settle(run.trainer, options.keep)  # the process may have died right after its last checkpoint
    if run.trainer.step >= options.steps:
        raise ConfigError(
            f"{path} is complete at step {run.trainer.step}; give more, e.g. --steps {2 * run.trainer.step}"
        )
    if run.main:
        began_with = config.get("images", counts(domains))
        warn_if_moved(run.held_out, counts(domains), began_with)
        run.write_config(began_with)
    run.play()


class Run:
    """A trainer with its data, folder and log."""

    def __init__(
        self,
        folder: RunFolder,
        model: Model,
        data: DataOptions,
        options: RunOptions,
        domains: Sequence[Images],
        fabric: Fabric,
    ) -> None:
        check_loggers(options)
        self.folder, self.model, self.data, self.options, self.fabric = folder, model, data, options, fabric
        model.to(fabric.device)
        prepared = cast(Sequence[Images], model.prepare(*domains))
        self.domains, self.held_out = split(prepared, options)
        self.trainer = Trainer(model, self.stream(self.domains, fabric.global_rank, fabric.world_size), options, fabric)
        self.main = fabric.global_rank == 0
        self.stopped = False
        if self.held_out:
            self.check_held_out()

    def check_held_out(self) -> None:
        """Raise now, and not at the first checkpoint, if the held-out images cannot be paired or lack the monitor."""
        try:
            batches = self.stream(self.held_out)
        except DataError as error:
            share = self.options.validation
            raise DataError(f"too few images are held out by --validation {share} ({error}); give more, or 0") from None
        if self.options.monitor is not None:
            self.monitored(held_out_losses(self.trainer, batches, 1))

    def write_config(self, images: Sequence[int]) -> None:
        """Make the folder self-describing; `images` are as many as each domain had when the run began."""
        write_config(self.folder.path, self.model, **settings(self.data, self.options), images=images)

    def stream(self, domains: Sequence[Images], rank: int = 0, world: int = 1) -> Stream:
        pairs = pairing(self.data, tuple(domains))
        if self.model.paired and pairs is None:
            raise DataError(
                f"{type(self.model).__name__} learns from pairs: give pairs:FOLDER, or two data sets with --pair index "
                "or --pair class"
            )
        size, seed, device = self.options.batch_size, self.options.seed, self.fabric.device
        return Stream(domains, size, seed=seed, rank=rank, world=world, pairing=pairs, device=device)

    def play(self) -> None:
        """Play rounds until the end, the time limit, or the user's Ctrl-C; then save."""
        trainer, options = self.trainer, self.options
        bar = Bar(self.folder.path.name, options.steps, trainer.step, show=self.main)
        with self.explaining(), self.listening(), bar:
            log = Log(self.folder.path, options, trainer.step) if self.main else None
            self.model.train()
            began, marked = time.monotonic(), (time.monotonic(), trainer.step)
            while trainer.step < options.steps and not self.must_stop(began):
                trainer.round()
                if trainer.step % options.log_every == 0:
                    losses = self.checked(trainer.losses())
                    now = time.monotonic()
                    speed, marked = (trainer.step - marked[1]) / (now - marked[0]), (now, trainer.step)
                    bar.update(trainer.step, losses, speed)
                    if log:
                        log.write(trainer.step, {**losses, "steps_per_second": speed})
                if self.main and options.sample_every and trainer.step % options.sample_every == 0:
                    self.draw()
                # Last, since what comes after the last checkpoint is lost with a process that is killed.
                if trainer.step % options.checkpoint_every == 0 and trainer.step < options.steps:
                    self.checkpoint(log)
            bar.update(trainer.step, self.checkpoint(log), 0)
            if log:
                log.close()
        if trainer.step < options.steps:
            where = f"at step {trainer.step}; go on with: isthmus resume {self.folder.path}"
            if self.stopped:
                raise KeyboardInterrupt(f"stopped {where}")
            bar.say(f"stopped by --minutes {where}")

    def must_stop(self, began: float) -> bool:
        """Whether the user or the clock ends the run; several processes ask the first, once each log interval."""
        limit = self.options.minutes
        wanted = self.stopped or (limit is not None and time.monotonic() - began >= 60 * limit)
        if self.fabric.world_size == 1:
            return wanted
        if self.trainer.step % self.options.log_every:
            return False
        return self.fabric.broadcast(wanted)

    def checked(self, losses: dict[str, float]) -> dict[str, float]:
        """The losses, if all are finite. Raises TrainingError otherwise: a run must not go on with NaN."""
        for name, value in losses.items():
            if not torch.isfinite(torch.tensor(value)):
                raise TrainingError(self.diverged(f"the loss {name} became {value}"))
        return losses

    def diverged(self, what: str) -> str:
        kept = self.folder.steps()[-1].name
        return (
            f"{what} by step {self.trainer.step}, so the run was stopped; its last good checkpoint is {kept} in "
            f"{self.folder.checkpoints}. Try a lower learning rate or --clip 1"
        )

    def checkpoint(self, log: Log | None) -> dict[str, float]:
        """Validate and save, unless the weights are no longer finite. Returns the losses since the last log."""
        losses = self.checked(self.trainer.losses())
        if log and losses:
            log.write(self.trainer.step, losses)
        if not all(bool(t.isfinite().all()) for t in self.model.state_dict().values() if t.is_floating_point()):
            raise TrainingError(self.diverged("weights that are not finite appeared"))
        saved = self.folder.at(self.trainer.step).exists()  # it is, where a run is stopped right after one
        if self.main and not saved:
            if self.held_out:
                self.validate(log)
            self.folder.save(self.trainer, self.options.keep)
        return losses

    def validate(self, log: Log | None) -> None:
        """Log the losses on held-out images, and keep the best checkpoint by them."""
        losses = held_out_losses(self.trainer, self.stream(self.held_out), self.rounds())
        if log:
            log.write(self.trainer.step, {f"validation/{name}": value for name, value in losses.items()})
        loss = self.monitored(losses)
        if loss is not None and loss < self.folder.best_score():
            self.folder.save_best(self.trainer.result, {"step": self.trainer.step, "loss": loss})

    def monitored(self, losses: dict[str, float]) -> float | None:
        """The loss that chooses the best checkpoint; None where players oppose each other and none was named."""
        if self.options.monitor is None:
            alone = len({name.split("/")[0] for name in losses}) == 1
            return sum(losses.values()) if alone else None
        if self.options.monitor not in losses:
            raise ConfigError(f"no loss {self.options.monitor!r} to monitor; there are: {', '.join(losses)}")
        return losses[self.options.monitor]

    def rounds(self) -> int:
        needed = -(-max(map(len, self.held_out)) // self.options.batch_size)
        return min(needed, VALIDATION_ROUNDS)

    def draw(self) -> None:
        """Write a sample picture, always of the same images."""
        model = self.trainer.result
        domains = self.held_out or self.domains
        shown = torch.arange(min(SHOWN, *map(len, domains)))
        batches = [domain.batch(shown).to(self.fabric.device) for domain in domains]
        with evaluating(model):
            rows = preview(model, batches)
        if rows:
            picture = grid(sheet(rows), columns=len(rows[0]))
            write(self.folder.path / "samples" / f"step-{self.trainer.step:08d}.png", to_png_bytes(picture))

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Say what is kept, and how to go on, where a disk or a device is full."""
        try:
            yield
        except (OutputError, OSError) as error:
            path, kept = self.folder.path, self.folder.steps()[-1].name
            reason = f"cannot write to {path}: {error.strerror}" if isinstance(error, OSError) else str(error)
            raise TrainingError(f"{reason}; {kept} is kept. Make room, then: isthmus resume {path}") from None
        except torch.OutOfMemoryError:
            raise TrainingError("the device has not enough memory; train with a smaller --batch-size") from None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Let Ctrl-C (and SIGTERM) end the round first; a second one ends the program at once."""

        def stop(number: int, frame: FrameType | None) -> None:
            self.stopped = True
            signal.signal(number, signal.SIG_DFL)

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def start(options: RunOptions) -> Fabric:
    """Devices, precision and processes, as the options say."""
    if options.threads:
        torch.set_num_threads(options.threads)
    there = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if options.devices > there.get(options.accelerator, options.devices):
        wanted, found = counted(options.devices, f"{options.accelerator} device"), there[options.accelerator]
        raise ConfigError(
            f"{wanted} asked for, and {found or 'none'} found; give --accelerator auto, or fewer --devices"
        )
    if options.precision == "16-mixed" and not torch.cuda.is_available():
        raise ConfigError("--precision 16-mixed needs a CUDA device; on a CPU use bf16-mixed or 32")
    strategy = "ddp" if options.devices > 1 else "auto"
    fabric = Fabric(
        accelerator=options.accelerator, strategy=strategy, devices=options.devices, precision=options.precision
    )
    fabric.launch()
    # Set by lightning_fabric; with it each step of an optimiser looks for GPUs anew, 30 us where there are none.
    os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
    return fabric


def counts(domains: Sequence[Images]) -> list[int]:
    return [len(domain) for domain in domains]


def steps_of(epochs: float, domains: Sequence[Images], options: RunOptions, world: int) -> int:
    """The number of rounds that take about `epochs` passes through the largest domain."""
    examples = options.batch_size * options.accumulate * world
    return max(1, round(epochs * max(counts(domains)) / examples))
