"""Endless batches whose order is a function of (seed, position) alone, so that a resumed run is the same run.

An order is an endless concatenation of epochs, each a permutation. With B = batch_size * world, batch k of a stream
takes the places [k * B, (k + 1) * B) of it, and rank r every `world`-th of them from the r-th on. Hence two ranks with
batches of 32, or two microbatches of 32, see together what one process sees with batches of 64, whatever the size of
the data set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from isthmus.core import Batch
from isthmus.data.images import Images
from isthmus.errors import DataError

Epoch = Callable[[torch.Generator], tuple[Tensor, ...]]  # one epoch: a column of indices [n] for each of its domains


def seeded(*numbers: int) -> torch.Generator:
    """A generator that depends on these numbers alone."""
    return torch.Generator().manual_seed(hash(numbers) & (2**63 - 1))


def alone(domain: Images) -> Epoch:
    """Every example once, in random order."""
    return lambda generator: (torch.randperm(len(domain), generator=generator),)


def by_index(a: Images, b: Images) -> Epoch:
    """Aligned pairs: example i of `a` with example i of `b`."""
    if len(a) != len(b):
        raise DataError(
            f"pairing by index needs equally many images: {a.spec.name} has {len(a)}, {b.spec.name} {len(b)}"
        )

    def epoch(generator: torch.Generator) -> tuple[Tensor, ...]:
        order = torch.randperm(len(a), generator=generator)
        return order, order

    return epoch


def by_class(a: Images, b: Images, rule: dict[int, int]) -> Epoch:
    """Each example of `a` whose class is in `rule`, with a random example of `b` of the class it is paired with.

    `rule` maps labels of `a` to labels of `b`; both domains have labels, and `b` has examples of every class named.
    """
    if a.labels is None or b.labels is None:
        raise DataError("pairing by class needs data with classes on both sides; --pair index pairs by position")
    members = {label: (b.labels == label).nonzero().flatten() for label in set(rule.values())}
    ruled = torch.isin(a.labels, torch.tensor(list(rule))).nonzero().flatten()
    labels = a.labels[ruled]

    def epoch(generator: torch.Generator) -> tuple[Tensor, ...]:
        shuffled = torch.randperm(len(ruled), generator=generator)
        partner = torch.empty(len(ruled), dtype=torch.int64)
        for source, target in rule.items():
            places = (labels[shuffled] == source).nonzero().flatten()
            choice = torch.randint(len(members[target]), (len(places),), generator=generator)
            partner[places] = members[target][choice]
        return ruled[shuffled], partner

    return epoch


class Order:
    """An endless concatenation of epochs, addressed by position."""

    def __init__(self, epoch: Epoch, seed: int) -> None:
        self.epoch, self.seed = epoch, seed
        self.known: dict[int, tuple[Tensor, ...]] = {}
        self.length = len(self.at_epoch(0)[0])

    def at_epoch(self, number: int) -> tuple[Tensor, ...]:
        if number not in self.known:
            self.known = {k: v for k, v in self.known.items() if k == number - 1}
            self.known[number] = self.epoch(seeded(self.seed, number))
        return self.known[number]

    def slice(self, start: int, stop: int) -> tuple[Tensor, ...]:
        """The columns at positions [start, stop), across as many epochs as that takes."""
        pieces = []
        while start < stop:
            number, place = divmod(start, self.length)
            end = min(self.length, place + stop - start)
            pieces.append(tuple(column[place:end] for column in self.at_epoch(number)))
            start += end - place
        return pieces[0] if len(pieces) == 1 else tuple(torch.cat(columns) for columns in zip(*pieces, strict=True))


class Stream(Iterator["Batch | tuple[Batch, ...]"]):
    """Batches of one domain, or tuples with a batch of each of several, for rank `rank` of `world`.

    Without `pairing` the domains are drawn independently of each other. `position` counts the batches drawn; setting
    it is all that resuming takes.
    """

    def __init__(
        self,
        domains: Sequence[Images],
        batch_size: int,
        *,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        pairing: Epoch | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.domains, self.batch_size, self.seed, self.rank, self.world = domains, batch_size, seed, rank, world
        self.device, self.position, self.together = torch.device(device), 0, pairing is not None
        epochs = [pairing] if pairing else [alone(domain) for domain in domains]
        self.orders = [Order(epoch, seed + 7919 * i) for i, epoch in enumerate(epochs)]

    def __next__(self) -> Batch | tuple[Batch, ...]:
        size = self.batch_size * self.world
        start = self.position * size
        columns = [c[self.rank :: self.world] for order in self.orders for c in order.slice(start, start + size)]
        seeds = [0 if self.together else i for i in range(len(columns))]  # what belongs together is cropped alike
        batches = tuple(
            domain.batch(index, seeded(self.seed, self.position, k), rank=self.rank, world=self.world).to(self.device)
            for domain, index, k in zip(self.domains, columns, seeds, strict=True)
        )
        self.position += 1
        return batches if len(batches) > 1 else batches[0]
