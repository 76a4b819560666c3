"""An LSTM along the lines of an image, and the diagonals of it (van den Oord et al., 2016, arXiv:1601.06759).

Its state is that of a whole line of places. What the input adds to the gates of all lines is known before; only the
state goes from line to line, by a convolution over the places of the line before (eq. 3).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def lstm(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Hidden state and cell [..., hidden] after `gates` [..., 4 * hidden], in the paper's order o, f, i, g (eq. 3)."""
    hidden = cell.shape[-1]
    three, new = gates.split((3 * hidden, hidden), -1)
    output, forget, write = three.sigmoid().chunk(3, -1)
    cell = torch.addcmul(forget * cell, write, new.tanh())
    return output * cell.tanh(), cell


def along(lines: Sequence[Tensor], starts: Sequence[int], weight: Tensor) -> Tensor:
    """Hidden states [directions, places of all lines, batch, hidden] of an LSTM that goes from line to line.

    `lines[t]` [directions, places, batch, 4 * hidden] is what the input adds to the gates of line t, whose first place
    is number `starts[t]`. `weight` [directions, taps * hidden, 4 * hidden] is the state-to-state convolution: two taps
    are for the place before and the same place, three for the one after too. States outside the line before are zero.
    """
    hidden = weight.shape[2] // 4
    taps = weight.shape[1] // hidden
    before, after = taps // 2, (taps - 1) // 2
    state = cell = lines[0].new_zeros(len(weight), 0, lines[0].shape[2], hidden)
    begin = end = starts[0]
    states = []
    for line, start in zip(lines, starts, strict=True):
        places, stop = line.shape[1], start + line.shape[1]
        state = F.pad(state, (0, 0, 0, 0, begin - start + before, stop - end + after))  # or cut, where negative
        cell = F.pad(cell, (0, 0, 0, 0, begin - start, stop - end))
        near = torch.cat([state[:, tap : tap + places] for tap in range(taps)], -1)
        gates = torch.baddbmm(line.flatten(1, 2), near.flatten(1, 2), weight)
        state, cell = lstm(gates.view(line.shape), cell)
        states.append(state)
        begin, end = start, stop
    return torch.cat(states, 1)


def diagonals(height: int, width: int) -> tuple[list[int], list[int]]:
    """The highest row of each diagonal, and how many places it has, from the upper left to the lower right."""
    numbers = range(height + width - 1)
    starts = [max(0, number - width + 1) for number in numbers]
    return starts, [min(height, number + 1) - start for number, start in zip(numbers, starts, strict=True)]


def skew(x: Tensor) -> Tensor:
    """All diagonals [directions, height * width, ...] of `x` [directions, height, width, ...], each from its top down.

    They are the columns of the paper's skewed map (figure 3), without the places that belong to no pixel.
    """
    height, width = x.shape[1:3]
    return x.flatten(1, 2).index_select(1, by_diagonal(height, width, x.device))


def unskew(x: Tensor, height: int, width: int) -> Tensor:
    """What was skewed: [directions, height, width, ...]."""
    return x.index_select(1, by_diagonal(height, width, x.device).argsort()).unflatten(1, (height, width))


def by_diagonal(height: int, width: int, device: torch.device) -> Tensor:
    """Numbers of all pixels [height * width] in raster order, diagonal by diagonal."""
    row, column = torch.arange(height, device=device), torch.arange(width, device=device)
    return (row[:, None] + column).flatten().argsort(stable=True)


def late(x: Tensor) -> Tensor:
    """[..., height, width], moved one row down; zero in the first row."""
    return F.pad(x, (0, 0, 1, -1))
