"""What the trainer costs over a loop written by hand: CPU time of a round of a tiny GAN, in microseconds.

The networks are so small (two MLPs with 32 hidden units, on points in the plane) that bookkeeping would show: a round
is one update of the critic and one of the generator, on one thread, with fused Adam. The contenders take turns in
chunks of 200 rounds, and the medians over the chunks are compared.

    python benchmarks/overhead.py [--chunks 15] [--json]
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from isthmus.core import Batch, Model, Player, Spec, Turn
from isthmus.losses.adversarial import fake, real
from isthmus.nn.mlp import mlp
from isthmus.training.options import RunOptions
from isthmus.training.run import start
from isthmus.training.trainer import Trainer

LATENT, HIDDEN, BATCH, POINTS = 8, 32, 64, 4096
RATE, BETAS = 1e-3, (0.5, 0.999)
ROUNDS = 200  # in a chunk
BAR = 100.0  # microseconds a round that the trainer may cost over the loop by hand
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "averaging": {"average": 0.999},
    "clipping": {"clip": 1.0},
    "bf16": {"precision": "bf16-mixed"},
}


class Ring:
    """Points around a circle, in memory: an endless stream of batches."""

    def __init__(self) -> None:
        angles = torch.rand(POINTS, generator=torch.Generator().manual_seed(0)) * 6.2832
        self.batches = torch.stack([angles.cos(), angles.sin()], dim=1).split(BATCH)
        self.position = 0

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        self.position += 1
        return Batch(self.batches[self.position % len(self.batches)])


class PointGAN(Model):
    """The game that both contenders play."""

    def networks(self, spec: Spec) -> None:
        self.generator, self.critic = mlp(LATENT, HIDDEN, HIDDEN, 2), mlp(2, HIDDEN, HIDDEN, 1)

    def players(self) -> dict[str, Player]:
        return {name: Player(getattr(self, name), lr=RATE, betas=BETAS) for name in ("critic", "generator")}

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        x = next(batches).image
        drawn = self.generator(torch.randn(BATCH, LATENT))
        yield Turn("critic", {"real": real(self.critic(x)), "fake": fake(self.critic(drawn.detach()))})
        yield Turn("generator", {"adversarial": real(self.critic(drawn))})


def built() -> PointGAN:
    """The model with the weights that everybody starts from."""
    torch.manual_seed(0)
    return PointGAN().build(Spec(1, 1, 2))


def by_hand(
    *, clip: float = 0, average: float = 0, precision: str = "32", before: Callable[[int], Any] | None = None
) -> tuple[Callable[[], None], PointGAN]:
    """The loop as one writes it for this model alone: a function that plays a round, and the model it trains.

    `before(step)` is called before each round, where a test wants the noise of the trainer.
    """
    model, batches, steps = built(), Ring(), count()
    critic, generator = model.critic, model.generator
    smooth = copy.deepcopy(model)
    pairs = [list(smooth.parameters()), list(model.parameters())]
    critic_optimizer, generator_optimizer = (
        torch.optim.Adam(net.parameters(), lr=RATE, betas=BETAS, fused=True) for net in (critic, generator)
    )

    def context() -> AbstractContextManager[Any]:
        return nullcontext() if precision == "32" else torch.autocast("cpu", torch.bfloat16)

    def update(net: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()

    def play() -> None:
        if before is not None:
            before(next(steps))
        with context():
            x = next(batches).image
            drawn = generator(torch.randn(BATCH, LATENT))
            loss = real(critic(x)) + fake(critic(drawn.detach()))
        update(critic, critic_optimizer, loss)
        with context():
            loss = real(critic(drawn))
        update(generator, generator_optimizer, loss)
        if average:
            with torch.no_grad():
                torch._foreach_lerp_(*pairs, 1 - average)

    return play, model


def by_trainer(**settings: Any) -> Trainer:
    """The trainer with the same model and data."""
    options = RunOptions(out=Path("unused"), steps=10**6, accelerator="cpu", threads=1, **settings)
    return Trainer(built(), Ring(), options, start(options))


def measure(chunks: int) -> dict[str, tuple[float, float]]:
    """Median CPU time of a round in microseconds, (by hand, by the trainer), for each variant."""
    contenders = {name: (by_hand(**how)[0], by_trainer(**how).round) for name, how in VARIANTS.items()}
    spent: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in VARIANTS}
    for _ in range(chunks + 1):
        for name, pair in contenders.items():
            for play, times in zip(pair, spent[name], strict=True):
                began = time.process_time()
                for _ in range(ROUNDS):
                    play()
                times.append(1e6 * (time.process_time() - began) / ROUNDS)
    return {name: (median(hand[1:]), median(ours[1:])) for name, (hand, ours) in spent.items()}  # the first warms up


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--chunks", type=int, default=15, help="chunks of 200 rounds for each contender")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    times = measure(arguments.chunks)
    if arguments.json:
        rows = {name: {"by_hand": hand, "trainer": ours, "over": ours - hand} for name, (hand, ours) in times.items()}
        print(json.dumps({"unit": "microseconds of CPU time a round", "bar": BAR, "variants": rows}, indent=2))
        return
    print("CPU time of a round, in microseconds\n               by hand   trainer   over")
    for name, (hand, ours) in times.items():
        print(f"{name:15s} {hand:6.0f}    {ours:6.0f}   {ours - hand:+5.0f}")
    hand, ours = times["plain"]
    print(f"bar for plain: {BAR:.0f} over; {'held' if ours - hand <= BAR else 'MISSED'}")


if __name__ == "__main__":
    main()
