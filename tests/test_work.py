"""Work in threads: in order, while the caller is busy, and no further ahead than memory allows."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from isthmus.data.work import ahead, drawn_ahead, workers


def test_results_come_in_order_and_items_are_taken_as_late_as_possible() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for i in range(20):
            taken.append(i)
            yield i

    with workers(3) as pool:
        found = ahead(pool, lambda i: i * i, items(), 4)
        assert not taken
        for i, square in enumerate(found):
            assert square == i * i
            assert len(taken) <= i + 1 + 4


def test_the_next_results_are_made_while_the_caller_is_busy() -> None:
    made = [threading.Event() for _ in range(4)]
    with workers(1) as pool:
        found = ahead(pool, lambda i: made[i].set(), range(4), 2)
        next(found)
        assert all(event.wait(10) for event in made[:3])  # the first one, and two beside it
        assert not made[3].is_set()
        next(found)
        assert made[3].wait(10)


def test_what_fails_fails_where_its_result_is_taken_and_the_rest_is_left_undone() -> None:
    done: list[int] = []

    def work(i: int) -> int:
        done.append(i)
        return 1 // (i - 2)

    def taken() -> None:
        with workers(1) as pool:
            for _ in ahead(pool, work, range(1000), 1):
                pass

    with pytest.raises(ZeroDivisionError):
        taken()
    assert max(done) <= 5


def test_items_of_a_generator_are_made_in_a_thread_one_after_the_other() -> None:
    names: set[str] = set()

    def items() -> Iterator[int]:
        for i in range(10):
            names.add(threading.current_thread().name)
            yield i

    with workers(1) as pool:
        assert list(drawn_ahead(pool, items(), 3)) == list(range(10))
    (name,) = names
    assert name != threading.current_thread().name
