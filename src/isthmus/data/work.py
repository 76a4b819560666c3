"""Many small jobs at once: in threads, since Pillow and hashing do not hold the interpreter's lock."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

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
    """The same results, counted by a progress bar."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    progress = Progress(console=console, transient=True, disable=not console.is_terminal)
    task = progress.add_task(title, total=total)
    begin = time.monotonic()
    try:
        for result in results:
            progress.advance(task)
            if time.monotonic() - begin > 1:
                progress.start()
            yield result
    finally:
        progress.stop()
