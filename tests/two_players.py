"""A model of two players, one of which has two turns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from isthmus.core import Batch, Model, Player, Spec, Turn


class Two(Model):
    """Two players, the second twice, with everything that the options of a player can say."""

    optimizer: str = "Adam"
    poison: float = 2.0  # the progress from which a loss is NaN
    shared: bool = False  # whether the second player moves the first one's net too
    frozen: bool = False  # whether the second player has nothing to learn

    def networks(self, spec: Spec) -> None:
        pixels = spec.channels * spec.height * spec.width
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 4), nn.BatchNorm1d(4))
        self.head = nn.Linear(4, 1)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))  # turns count, also in evaluation mode
        self.head.requires_grad_(not self.frozen)

    def players(self) -> dict[str, Player]:
        second = (self.head, self.encoder) if self.shared else (self.head,)
        return {
            "first": Player(self.encoder, lr=0.1, optimizer=self.optimizer, schedule=lambda progress: 1 - progress),
            "second": Player(*second, lr=0.01, optimizer="SGD"),
        }

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        code = self.encoder(next(batches).image)
        bad = float("nan") if self.progress >= self.poison else 1.0
        yield Turn("first", {"size": code.square().mean() * bad, "drift": code.sum(1).square().mean()})
        for _ in range(2):
            code = self.encoder(next(batches).image)
            self.seen += len(code)
            yield Turn("second", {"guess": (self.head(code) - 1).square().mean()})


SPEC = Spec(1, 12, 10)


def two(**changes: Any) -> Two:
    torch.manual_seed(0)
    return Two(**changes).build(SPEC).train()
