"""Rows of different requests in one batch, each as if it were alone.

Two things could tell a row in which company it was. Draws: within `ByRow` each row draws from its own seed. Rounding:
how a matrix product is rounded depends on its size, so that a batch always has the same one, and short ones are filled
up. That costs little where a batch pays at all: where a convolution keeps the processor busy by itself, rows run alone.
What a function does that is neither, `batch_size` finds out by trial, and its rows run alone as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from isthmus.training.draws import drawing

Row = tuple[Tensor, ...]
Function = Callable[..., Tensor]  # batches [n, ...], one for each tensor of a row, to [n, ...]

SIZED = frozenset((torch.rand, torch.randn))  # which may take their size as numbers
DRAWS = SIZED | frozenset((torch.randint, torch.rand_like, torch.randn_like, torch.bernoulli, torch.multinomial))
DRAWS |= frozenset((torch.normal, F.dropout, torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.bernoulli_))
CONVOLUTIONS = frozenset((torch.conv1d, torch.conv2d, torch.conv_transpose1d, torch.conv_transpose2d))
BUSY = 2 * 10**6  # operations of a convolution of one image that one processor does no faster for several


ONE_AT_A_TIME = Lock()  # torch's default generator, from which all models draw, is one for all threads


class NotByRowError(Exception):
    """Something is drawn that has not one row for each row of the batch."""


class ByRow(TorchFunctionMode):
    """Inside, each row of what is drawn at random follows from its own seed, as it would in a batch of its own.

    There are `size` rows; those without a seed, which fill the batch up, are like the last that has one.
    """

    def __init__(self, seeds: Sequence[int], size: int, device: torch.device) -> None:
        super().__init__()
        self.size = size
        self.generator = torch.default_generator
        if device.type == "cuda":
            self.generator = torch.cuda.default_generators[device.index or 0]
        self.left = self.generator.get_state()  # by our own draws
        self.states = [torch.Generator(device).manual_seed(seed).get_state() for seed in seeds]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in DRAWS or kwargs.get("generator") is not None:
            return func(*args, **kwargs)
        if func in SIZED and isinstance(args[0], int):
            args = (args,)
        drawn = []
        for i, state in enumerate(self.states):
            self.generator.set_state(state)
            own = func(*(one(a, i, self.size) for a in args), **{k: one(v, i, self.size) for k, v in kwargs.items()})
            if not own.ndim or len(own) != 1:
                raise NotByRowError
            drawn.append(own)
            self.states[i] = self.left = self.generator.get_state()
        return torch.cat(drawn + drawn[-1:] * (self.size - len(drawn)))

    def __exit__(self, kind: Any, *error: Any) -> None:
        super().__exit__(kind, *error)  # type: ignore[no-untyped-call]
        if kind is None and not torch.equal(self.left, self.generator.get_state()):
            raise NotByRowError  # something was drawn that we did not see


def one(value: Any, i: int, count: int) -> Any:
    """Row i of a batch of `count`, or the size of one row where `value` is the size of a batch."""
    if isinstance(value, Tensor) and value.ndim and len(value) == count:
        return value[i : i + 1]
    if isinstance(value, tuple | list) and value and value[0] == count:
        return (1, *value[1:])
    return value


class Convolutions(TorchFunctionMode):
    """Notes how many operations the largest convolution takes."""

    largest = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in CONVOLUTIONS:
            image, weight = args[:2]
            places = image if "transpose" in func.__name__ else out  # of the kernel
            self.largest = max(self.largest, 2 * places.numel() * weight[0].numel())
        return out


def run(function: Function, rows: Sequence[Row], seeds: Sequence[int], size: int, device: torch.device) -> Tensor:
    """The function of up to `size` rows, each with the draws of its seed: [rows, ...] on the CPU."""
    if size == 1:
        with ONE_AT_A_TIME, drawing(seeds[0], device):
            return function(*(part[None].to(device) for part in rows[0])).cpu()
    filled = [*rows, *[rows[-1]] * (size - len(rows))]
    batches = [torch.stack(parts).to(device) for parts in zip(*filled, strict=True)]
    with ONE_AT_A_TIME, drawing(seeds[0], device), ByRow(seeds, size, device):
        return function(*batches)[: len(rows)].cpu()


def batch_size(function: Function, row: Row, most: int, device: torch.device) -> int:
    """How many rows shall run together: `most` where that pays and no row can tell, else 1."""
    if most > 1 and device.type == "cpu":
        with Convolutions() as convolutions:
            run(function, [row], [0], 1, device)
        if convolutions.largest > BUSY:
            return 1
    return most if most > 1 and steady(function, row, most, device) else 1


def steady(function: Function, row: Row, size: int, device: torch.device) -> bool:
    """Whether rows come out the same, to the last bit, in another place and in other company."""
    rows = [tuple(turned(part, i) for part in row) for i in range(size)]
    seeds = [*range(size)]
    try:
        there = run(function, rows, seeds, size, device)
        back = run(function, rows[::-1], seeds[::-1], size, device)
    except (NotByRowError, RuntimeError):
        return False
    return len(there) == size and torch.equal(there, back.flip(0))


def turned(part: Tensor, by: int) -> Tensor:
    """Other content of the same kind."""
    return part.flatten().roll(by).view_as(part) if part.is_floating_point() else part
