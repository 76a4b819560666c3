"""Held-out images: chosen once, and the losses that a model has on them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from isthmus.core import Model
from isthmus.core.spec import counted
from isthmus.data.images import Images
from isthmus.data.stream import Stream, seeded
from isthmus.errors import ConfigError
from isthmus.training.options import RunOptions
from isthmus.training.trainer import Trainer


def split(domains: Sequence[Images], options: RunOptions) -> tuple[Sequence[Images], Sequence[Images]]:
    """Training images and held-out ones; pairs by position stay pairs."""
    if not options.validation:
        return domains, ()
    train, held_out = [], []
    for domain in domains:
        order = torch.randperm(len(domain), generator=seeded(options.seed, len(domain)))
        cut = max(1, round(options.validation * len(domain)))
        if len(domain) <= cut:
            images = counted(len(domain), "image")
            raise ConfigError(
                f"{domain.spec.name} has {images}, too few for --validation {options.validation}; add some, or give 0"
            )
        train.append(domain.take(order[cut:].sort().values))
        held_out.append(domain.take(order[:cut].sort().values))
    return train, held_out


def warn_if_moved(held_out: Sequence[Images], now: Sequence[int], before: Sequence[int]) -> None:
    """Say so if a run whose domains had `before` many images goes on with others: these choose which are held out."""
    for domain, has, had in zip(held_out, now, before, strict=False):
        if has != had:
            warnings.warn(
                f"{domain.spec.name} has {counted(has, 'image')} and had {had} when the run began, so that other ones "
                "are held out, some of which were trained on: the losses on them look better than they are",
                stacklevel=2,
            )


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
