"""Many small jobs at once: in threads, since Pillow and hashing do not hold the interpreter's lock."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import repeat, takewhile
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")
R = TypeVar("R")
END: Any = object()  # where there is no next item


def each(function: Callable[[T], R], items: Sequence[T], title: str) -> list[R]:
    """`function` of every item, in order; on a terminal with a progress bar once it has taken more than a second."""
    with workers() as pool:
        return list(watched(pool.map(function, items), len(items), title))


@contextmanager
def workers(count: int | None = None) -> Iterator[Executor]:
    """Threads, by default as many as `threads()`; what they have not begun when the block ends is left undone."""
    pool = ThreadPoolExecutor(count or threads())
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)  # so that Ctrl-C does not wait for all that is left


def ahead(pool: Executor, function: Callable[[T], R], items: Iterable[T], count: int) -> Iterator[R]:
    """`function` of every item, in order, begun in the pool while the caller is busy with earlier results.

    At most `count` results wait for the caller, and items are taken as late as that allows: so much is in memory.
    """
    waiting: deque[Future[R]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > count:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def drawn_ahead(pool: Executor, items: Iterable[T], count: int) -> Iterator[T]:
    """The same items, of which up to `count` are made in the pool, which has one thread, before they are asked for."""
    iterator = iter(items)
    return takewhile(lambda item: item is not END, ahead(pool, lambda _: next(iterator, END), repeat(None), count))


def threads() -> int:
    """As many as there are cores for this process, up to 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, cores)


def watched(results: Iterable[R], total: int | None, title: str) -> Iterator[R]:
    """The same results; on a terminal a progress bar counts them once they have taken more than a second.

    Inside a loop that is watched another one has its bar below.
    """
    progress = bars()
    task = progress.add_task(title, total=total, visible=False)
    begin = time.monotonic()
    try:
        for result in results:
            if time.monotonic() - begin > 1 and progress.console.is_terminal:
                for running in progress.task_ids:  # those around this one have taken longer
                    progress.update(running, visible=True)
                progress.start()
            yield result
            progress.advance(task)
    finally:
        progress.remove_task(task)
        if not progress.task_ids:  # it was the outermost; the next one starts afresh
            bars.cache_clear()
            if progress.live.is_started:
                progress.stop()


@cache
def bars() -> Progress:
    """The one display that loops inside each other share: two of them would draw over each other."""
    from rich.console import Console
    from rich.progress import Progress

    return Progress(console=Console(stderr=True, emoji=False), transient=True)
