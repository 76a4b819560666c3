"""What a model costs: parameters, memory and time per step, from a short trial on random images."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from statistics import median

import torch

from isthmus.core import Model, Spec
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
    shape: tuple[int, int, int]
    parameters: dict[str, int]  # by player
    frozen: int
    memory: int  # bytes at the peak of a step, the program's own included on a CPU
    step: float  # seconds, the median of the trial

    def rows(self) -> list[tuple[str, str]]:
        """Names and values for people."""
        channels, height, width = self.shape
        return [
            ("images", f"{width}x{height}, {channels} channels"),
            *((f"parameters of {player}", f"{count:,}") for player, count in self.parameters.items()),
            ("parameters frozen", f"{self.frozen:,}"),
            ("memory", f"{self.memory / 2**20:,.0f} MiB at the peak, on {self.device}"),
            ("time per step", f"{1000 * self.step:,.1f} ms"),
            ("1,000 steps", f"{1000 * self.step / 60:,.1f} minutes"),
        ]


def estimate(model: Model, data: DataOptions, options: RunOptions, rounds: int = 10) -> Estimate:
    """Build `model` for images of `data.size` (32x32 by default) and `data.channels` (3), and play some rounds."""
    fabric = start(options)
    width, height = data.width_height() or (32, 32)
    spec = Spec(data.channels or 3, height, width, tuple(map(str, range(CLASSES))), "random images")
    count = model.domains()
    domains = [noise(spec) for _ in range(count)]
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
    return Estimate(str(fabric.device), spec.shape, players, frozen, memory, median(seconds[1:]))


def noise(spec: Spec) -> Images:
    labels = torch.arange(EXAMPLES) % len(spec.classes)
    return Images(torch.randint(256, (EXAMPLES, *spec.shape), dtype=torch.uint8), spec, labels)


def peak_memory() -> int:
    """The largest resident size of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
