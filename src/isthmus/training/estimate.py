"""What a model costs: parameters, memory and time per step, from a short trial on random images."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from statistics import median

import torch

from isthmus.core import Model, Spec
from isthmus.core.spec import counted
from isthmus.data.images import Images
from isthmus.data.options import DataOptions
from isthmus.data.stream import Stream
from isthmus.training.options import RunOptions
from isthmus.training.run import start
from isthmus.training.trainer import Trainer

EXAMPLES, CLASSES = 256, 10  # of the random data


@dataclass(frozen=True)
class Estimate:
    """The costs of one model in one form."""

    device: str
    shapes: tuple[tuple[int, int, int], ...]  # (channels, height, width) of each domain's images
    parameters: dict[str, int]  # by player
    frozen: int
    memory: int  # bytes at the peak of a step, the program's own included on a CPU
    step: float  # seconds, the median of the trial

    def rows(self) -> list[tuple[str, str]]:
        """Names and values for people."""
        return [
            *(
                ("images", f"{width}x{height}, {counted(channels, 'channel')}")
                for channels, height, width in self.shapes
            ),
            *((f"parameters of {player}", f"{count:,}") for player, count in self.parameters.items()),
            ("parameters frozen", f"{self.frozen:,}"),
            ("memory", f"{self.memory / 2**20:,.0f} MiB at the peak, on {self.device}"),
            ("time per step", f"{1000 * self.step:,.1f} ms"),
            ("1,000 steps", f"{1000 * self.step / 60:,.1f} minutes"),
        ]


def estimate(model: Model, data: DataOptions, options: RunOptions, rounds: int = 10) -> Estimate:
    """Build `model` for random images, as `shapes_of` says, and play some rounds."""
    fabric = start(options)
    shapes = shapes_of(model, data)
    domains = [noise(Spec(*shape, tuple(map(str, range(CLASSES))), "random images")) for shape in shapes]
    torch.manual_seed(options.seed)
    model.build(*(domain.spec for domain in domains))
    model.to(fabric.device)
    stream = Stream(model.prepare(*domains), options.batch_size, device=fabric.device)  # type: ignore[arg-type]
    trainer = Trainer(model, stream, options, fabric)
    cuda = fabric.device.type == "cuda"
    seconds = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        trainer.round()
        if cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    players = {name: sum(p.numel() for p in player.parameters()) for name, player in model.players().items()}
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    memory = torch.cuda.max_memory_allocated() if cuda else peak_memory()
    return Estimate(str(fabric.device), shapes, players, frozen, memory, median(seconds[1:]))


def shapes_of(model: Model, data: DataOptions) -> tuple[tuple[int, int, int], ...]:
    """(channels, height, width) of each domain: as `data` says, or as the trained models inside take it, or 3x32x32."""
    trained = [part.spec.shape for part in model.config().values() if isinstance(part, Model)]
    if data.size is None and data.channels is None and len(trained) == model.domains():
        return tuple(trained)
    width, height = data.width_height() or (32, 32)
    return ((data.channels or 3, height, width),) * model.domains()


def noise(spec: Spec) -> Images:
    labels = torch.arange(EXAMPLES) % len(spec.classes)
    return Images(torch.randint(256, (EXAMPLES, *spec.shape), dtype=torch.uint8), spec, labels)


def peak_memory() -> int:
    """The largest resident size of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
