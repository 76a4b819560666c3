"""Many small jobs at once: in threads, since Pillow and hashing do not hold the interpreter's lock."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")
R = TypeVar("R")


def each(function: Callable[[T], R], items: Sequence[T], title: str) -> list[R]:
    """`function` of every item, in order; on a terminal with a progress bar once it has taken more than a second."""
    pool = ThreadPoolExecutor(threads())
    try:
        return list(watched(pool.map(function, items), len(items), title))
    finally:
        pool.shutdown(cancel_futures=True)  # so that Ctrl-C does not wait for all that is left


def threads() -> int:
    """As many as there are cores for this process, up to 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, cores)


def watched(results: Iterable[R], total: int, title: str) -> Iterator[R]:
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
