"""Long loops inside models, which a tool can watch without the models knowing how."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")
Watch = Callable[[Iterable[Any], int, str], Iterable[Any]]

WATCH: ContextVar[Watch | None] = ContextVar("watch", default=None)


def steps(items: Sequence[T], title: str) -> Iterator[T]:
    """The same items; whoever is `watching` sees how far the loop over them is."""
    watch = WATCH.get()
    return iter(items) if watch is None else iter(watch(items, len(items), title))


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Inside the block, `watch(items, total, title)` takes part in every loop over `steps`, e.g. as a progress bar."""
    token = WATCH.set(watch)
    try:
        yield
    finally:
        WATCH.reset(token)
