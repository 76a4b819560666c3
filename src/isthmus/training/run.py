"""One run, from data to a run folder; and its resumption, which goes on exactly where it stopped."""

from __future__ import annotations

import os
import platform
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor

from isthmus.core import Model
from isthmus.data.images import Images
from isthmus.data.open import open_data, pairing
from isthmus.data.options import DataOptions
from isthmus.data.pictures import grid, save_png
from isthmus.data.stream import Stream, seeded
from isthmus.errors import CheckpointError, ConfigError, DataError, OutputError, TrainingError
from isthmus.training.checkpoint import WEIGHTS, load_weights, read_config, rebuild, write_config
from isthmus.training.folder import RunFolder
from isthmus.training.log import Bar, Log
from isthmus.training.options import RunOptions
from isthmus.training.preview import preview, sheet
from isthmus.training.trainer import Trainer

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
        run.write_config()
        folder.write_checkpoint(run.trainer)
    run.play()


def resume(path: Path, **changes: Any) -> None:
    """Go on with the run in folder `path`; `changes` are run options, e.g. `steps=20_000`.

    Raises CheckpointError if there is nothing to resume.
    """
    folder, config = RunFolder(path), read_config(path)
    if "run" not in config:
        raise CheckpointError(f"{path} is a model without its run, which cannot be resumed; train a new one")
    data = data_of(config)
    options = RunOptions(**{**config["run"], **changes, "out": path})
    if not folder.steps():
        raise CheckpointError(f"{path} was stopped before its first step; train it again with --overwrite")
    fabric = start(options)
    model = rebuild(config)
    load_weights(model, folder.steps()[-1] / WEIGHTS)  # frozen parts must be there before the model prepares the data
    run = Run(folder, model, data, options, open_data(data, "train"), fabric)
    folder.restore(run.trainer)
    if run.main:
        folder.tidy()
        folder.settle(run.trainer, options.keep)  # the process may have died right after its last checkpoint
    if run.trainer.step >= options.steps:
        raise ConfigError(
            f"{path} is complete at step {run.trainer.step}; give more, e.g. --steps {2 * run.trainer.step}"
        )
    if run.main:
        run.write_config()
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
        """Raise DataError now, and not at the first checkpoint, if the held-out images cannot be paired."""
        try:
            self.stream(self.held_out)
        except DataError as error:
            share = self.options.validation
            raise DataError(f"too few images are held out by --validation {share} ({error}); give more, or 0") from None

    def write_config(self) -> None:
        """Make the folder self-describing."""
        data, run = plain(self.data), plain(self.options)
        write_config(self.folder.path, self.model, data=data, run=run, made_with=versions())

    def stream(self, domains: Sequence[Images], rank: int = 0, world: int = 1) -> Stream:
        pairs = pairing(self.data, tuple(domains))
        size, seed, device = self.options.batch_size, self.options.seed, self.fabric.device
        return Stream(domains, size, seed=seed, rank=rank, world=world, pairing=pairs, device=device)

    def play(self) -> None:
        """Play rounds until the end, the time limit, or the user's Ctrl-C; then save."""
        trainer, options = self.trainer, self.options
        log = Log(self.folder.path, options, trainer.step) if self.main else None
        self.model.train()
        began, marked = time.monotonic(), (time.monotonic(), trainer.step)
        with Bar(self.folder.path.name, options.steps, trainer.step, show=self.main) as bar, self.listening():
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
            bar.update(trainer.step, {}, 0)
        self.checkpoint(log)
        if log:
            log.close()
        if self.stopped and trainer.step < options.steps:
            raise KeyboardInterrupt(f"stopped at step {trainer.step}; go on with: isthmus resume {self.folder.path}")

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

    def checkpoint(self, log: Log | None) -> None:
        """Validate and save, unless the weights are no longer finite."""
        losses = self.checked(self.trainer.losses())
        if log and losses:
            log.write(self.trainer.step, losses)
        if not all(bool(t.isfinite().all()) for t in self.model.state_dict().values() if t.is_floating_point()):
            raise TrainingError(self.diverged("weights that are not finite appeared"))
        if not self.main or self.folder.at(self.trainer.step).exists():  # it is, where a run is stopped right after one
            return
        if self.held_out:
            self.validate(log)
        try:
            self.folder.save(self.trainer, self.options.keep)
        except OutputError as error:
            last = self.folder.steps()[-1].name if self.folder.steps() else "nothing"
            raise TrainingError(
                f"{error}; {last} is kept. Make room, then: isthmus resume {self.folder.path}"
            ) from None

    def validate(self, log: Log | None) -> None:
        """Log the losses on held-out images, and keep the best checkpoint by them."""
        losses = held_out_losses(self.trainer, self.stream(self.held_out), self.rounds())
        if log:
            log.write(self.trainer.step, {f"validation/{name}": value for name, value in losses.items()})
        players = {name.split("/")[0] for name in losses}
        if self.options.monitor is not None:
            if self.options.monitor not in losses:
                raise ConfigError(f"no loss {self.options.monitor!r} to monitor; there are: {', '.join(losses)}")
            loss = losses[self.options.monitor]
        elif len(players) == 1:
            loss = sum(losses.values())
        else:
            return
        if loss < self.folder.best_score():
            self.folder.save_best(self.trainer.result, {"step": self.trainer.step, "loss": loss})

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
            save_png(picture, self.folder.path / "samples" / f"step-{self.trainer.step:08d}.png")

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


@contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """Evaluation mode inside the block."""
    before = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(before)


def held_out_losses(trainer: Trainer, batches: Stream, rounds: int) -> dict[str, float]:
    """Mean losses of `rounds` rounds of the model to use, without moving anybody: weights and buffers are as before."""
    model, sums, counts = trainer.result, dict[str, Tensor](), dict[str, int]()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(0)  # the same noise each time, so that figures compare
    with evaluating(model):
        for _ in range(rounds):
            with trainer.context():
                for turn in model.turns(batches):
                    for term, value in turn.losses.items():
                        key = f"{turn.player}/{term}"
                        sums[key] = sums.get(key, torch.zeros((), device=value.device)) + value.detach()
                        counts[key] = counts.get(key, 0) + 1
    model.load_state_dict(state)
    return {key: total.item() / counts[key] for key, total in sums.items()}


def start(options: RunOptions) -> Fabric:
    """Devices, precision and processes, as the options say."""
    if options.threads:
        torch.set_num_threads(options.threads)
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


def split(domains: Sequence[Images], options: RunOptions) -> tuple[Sequence[Images], Sequence[Images]]:
    """Training images and held-out ones; pairs by position stay pairs."""
    if not options.validation:
        return domains, ()
    train, held_out = [], []
    for domain in domains:
        order = torch.randperm(len(domain), generator=seeded(options.seed, len(domain)))
        cut = max(1, round(options.validation * len(domain)))
        if len(domain) <= cut:
            raise ConfigError(
                f"{domain.spec.name} has {len(domain)} images, too few for --validation {options.validation}"
            )
        train.append(domain.take(order[cut:].sort().values))
        held_out.append(domain.take(order[:cut].sort().values))
    return train, held_out


def steps_of(epochs: float, domains: Sequence[Images], options: RunOptions, world: int) -> int:
    """The number of rounds that take about `epochs` passes through the largest domain."""
    examples = options.batch_size * options.accumulate * world
    return max(1, round(epochs * max(map(len, domains)) / examples))


def plain(options: DataOptions | RunOptions) -> dict[str, Any]:
    """Options as JSON holds them."""
    return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(options).items()}


def data_of(config: dict[str, Any]) -> DataOptions:
    """The data options that `config.json` holds."""
    values = config["data"]
    root = values["data_root"]
    return DataOptions(**{**values, "data": tuple(values["data"]), "data_root": None if root is None else Path(root)})


def versions() -> dict[str, str]:
    """What made the run."""
    return {"python": platform.python_version(), "torch": torch.__version__, "machine": platform.machine()}
