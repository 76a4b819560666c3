"""Not a test, but what one runs: `python two_processes.py FOLDER DEVICES BATCH_SIZE` plays a game without noise.

It writes the weights of every process after some rounds, FOLDER/RANK.safetensors, the first one's losses, and the
position of its stream.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from isthmus.core import Batch, Model, Player, Spec, Turn
from isthmus.data.stream import Stream
from isthmus.training.checkpoint import weights
from isthmus.training.options import RunOptions
from isthmus.training.run import start
from isthmus.training.trainer import Trainer
from tiny import SPEC, images

ROUNDS = 5


class Quiet(Model):
    """Two players that share a forward pass, without randomness: a linear code, and a map back."""

    def networks(self, spec: Spec) -> None:
        pixels = spec.channels * spec.height * spec.width
        self.there, self.back = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 4)), nn.Linear(4, pixels)

    def players(self) -> dict[str, Player]:
        # Descent, since Adam would divide a gradient of nothing but rounding errors by its size.
        return {name: Player(getattr(self, name), lr=0.01, optimizer="SGD") for name in ("there", "back")}

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        for name in ("there", "back"):
            x = next(batches).image
            error = self.back(self.there(x)) - x.flatten(1)
            yield Turn(name, {"error": error.square().sum(1).mean()})


def main(folder: Path, devices: int, batch_size: int) -> None:
    options = RunOptions(out=folder, accelerator="cpu", devices=devices, threads=1, batch_size=batch_size, clip=2.0)
    fabric = start(options)
    torch.manual_seed(fabric.global_rank)  # the trainer gives every process the weights of the first
    model = Quiet().build(SPEC)
    stream = Stream([images()], batch_size, rank=fabric.global_rank, world=fabric.world_size)
    trainer = Trainer(model, stream, options, fabric)
    for _ in range(ROUNDS):
        trainer.round()
    (folder / f"{fabric.global_rank}.safetensors").write_bytes(weights(model))
    losses = trainer.losses()
    if fabric.global_rank == 0:
        (folder / "losses.json").write_text(json.dumps(losses))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
