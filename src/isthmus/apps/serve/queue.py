"""Requests that wait together run together: a queue, and the one thread that has the models."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Any

import torch
from torch import Tensor

from isthmus.apps.serve.limits import Refused
from isthmus.apps.serve.rows import Function, NotByRowError, Row, batch_size, run
from isthmus.core.steps import watching

Share = list[tuple["Job", range]]  # what jobs have in a batch: some of their rows
Observer = Callable[[int, float], None]


@dataclass(eq=False)
class Ticket:
    """How far a request is."""

    total: int = 0  # rows, as far as they are known
    done: int = 0
    under_way: float = 0.0  # of the rows in the batch that runs

    @property
    def share(self) -> float:
        return (self.done + self.under_way) / max(1, self.total)


@dataclass(eq=False)
class Job:
    """Rows that go through one function of one model. Who cancels its future gives it up."""

    name: Hashable  # of the function
    settings: Hashable  # of it: jobs of equal names and settings have the same function
    function: Function
    rows: Sequence[Row]
    seeds: Sequence[int]
    device: torch.device
    ticket: Ticket
    begun: int = 0
    results: list[Tensor] = field(default_factory=list)
    future: Future[Tensor] = field(default_factory=Future)

    @property
    def kind(self) -> Hashable:
        """Jobs of one kind run together."""
        return self.name, self.settings

    @property
    def waits(self) -> bool:
        return self.begun < len(self.rows) and not self.future.done()

    def take(self, count: int) -> range:
        """The next of its rows."""
        start, self.begun = self.begun, min(self.begun + count, len(self.rows))
        return range(start, self.begun)

    def receive(self, results: Tensor) -> None:
        self.results += results
        self.ticket.done, self.ticket.under_way = self.ticket.done + len(results), 0.0
        if len(self.results) == len(self.rows):
            with suppress(InvalidStateError):  # it was given up in this moment
                self.future.set_result(torch.stack(self.results))

    def fail(self, error: Exception) -> None:
        with suppress(InvalidStateError):
            self.future.set_exception(error)


class GivenUpError(Exception):
    """Nobody waits for the batch that runs."""


class Queue:
    """Takes jobs from any thread, and plays them in its own, in batches of at most `most` rows of one kind.

    Requests take turns batch by batch, so that a long one does not keep short ones waiting.
    """

    def __init__(self, most: int = 16, requests: int = 64, threads: int | None = None) -> None:
        self.most, self.requests, self.threads = most, requests, threads
        self.jobs: deque[Job] = deque()
        self.changed, self.closed = Condition(), False
        self.sizes: dict[Hashable, int] = {}  # of batches, by name, as they turned out at first use
        self.inside, self.pace = 0, 0.1  # requests, and seconds that one takes
        self.observe: Observer = lambda rows, seconds: None
        self.thread = Thread(target=self.work, name="models", daemon=True)

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for one request. Raises Refused if the house is full."""
        if self.inside >= self.requests:
            wait = max(1, round(self.inside * self.pace))
            raise Refused(429, f"{self.inside} requests are waiting already; try again in {wait} s", retry=wait)
        self.inside, began = self.inside + 1, time.monotonic()
        try:
            yield
        finally:
            self.pace += 0.1 * ((time.monotonic() - began) / self.inside - self.pace)
            self.inside -= 1

    async def run(
        self,
        name: Hashable,
        settings: Hashable,
        function: Function,
        rows: Sequence[Row],
        seeds: Sequence[int],
        device: torch.device,
        ticket: Ticket,
    ) -> Tensor:
        """The function of all rows, [rows, ...] on the CPU. A caller that is cancelled gives its rows up."""
        job = Job(name, settings, function, rows, seeds, device, ticket)
        ticket.total += len(rows)
        with self.changed:
            self.jobs.append(job)
            self.changed.notify()
        return await asyncio.wrap_future(job.future)

    def work(self) -> None:
        """What the thread does."""
        if self.threads:
            torch.set_num_threads(self.threads)
        with torch.no_grad():
            while (first := self.first()) is not None:
                size = self.size_of(first)
                batch, began = self.gather(first, size), time.monotonic()
                self.attempt(batch, size)
                self.observe(sum(len(places) for _, places in batch), time.monotonic() - began)

    def attempt(self, batch: Share, size: int) -> None:
        """Play a batch; what a model raises is told to who asked, and the thread goes on."""
        try:
            self.play(batch, size)
        except Exception as error:
            for job, _ in batch:
                job.fail(error)

    def first(self) -> Job | None:
        """The job whose turn it is, once there is one; None when the queue is closed."""
        with self.changed:
            while True:
                self.jobs = deque(job for job in self.jobs if job.waits)
                if self.jobs or self.closed:
                    return self.jobs[0] if self.jobs and not self.closed else None
                self.changed.wait()

    def size_of(self, job: Job) -> int:
        """How many rows of the job's function run together."""
        if job.name not in self.sizes:
            try:
                with watching(lambda items, total, _: self.watch(items, total, [(job, range(0))])):
                    self.sizes[job.name] = batch_size(job.function, job.rows[0], self.most, job.device)
            except Exception:  # it was given up, or will tell what is wrong when it runs
                return 1
        return self.sizes[job.name]

    def gather(self, first: Job, size: int) -> Share:
        """A batch: rows of the first job, then of others of its kind; who has more rows stands at the end again."""
        with self.changed:
            batch: Share = []
            for job in [job for job in self.jobs if job.kind == first.kind and job.waits]:
                batch.append((job, job.take(size)))
                self.jobs.remove(job)
                if job.waits:
                    self.jobs.append(job)
                size -= len(batch[-1][1])
                if not size:
                    break
        return batch

    def play(self, batch: Share, size: int) -> None:
        """Run a batch, and give to each job what is its own."""
        rows = [job.rows[i] for job, places in batch for i in places]
        if not rows:
            return
        seeds = [job.seeds[i] for job, places in batch for i in places]
        head = batch[0][0]
        try:
            with watching(lambda items, total, _: self.watch(items, total, batch)):
                results = run(head.function, rows, seeds, size, head.device)
        except GivenUpError:
            return
        except NotByRowError:  # as it did not turn out at first, with other settings
            self.sizes[head.name] = 1
            results = torch.cat(
                [run(head.function, [row], [seed], 1, head.device) for row, seed in zip(rows, seeds, strict=True)]
            )
        except Exception:
            if len(batch) == 1:
                raise
            for part in batch:  # one of them is to blame, and no other shall suffer for it
                self.attempt([part], size)
            return
        for (job, _), own in zip(batch, results.split([len(places) for _, places in batch]), strict=True):
            job.receive(own)

    def watch(self, items: Iterable[Any], total: int, batch: Share) -> Iterator[Any]:
        """A long loop inside a model: whoever waits sees how far it is, and it ends when nobody does."""
        for k, item in enumerate(items):
            if all(job.future.cancelled() for job, _ in batch):
                raise GivenUpError
            for job, places in batch:
                job.ticket.under_way = len(places) * k / total
            yield item

    def start(self) -> None:
        self.thread.start()

    def close(self) -> None:
        with self.changed:
            self.closed = True
            for job in self.jobs:
                job.future.cancel()
            self.changed.notify()
        self.thread.join(timeout=5)
