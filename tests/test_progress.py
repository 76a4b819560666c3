"""Progress bars: loops inside each other share one display, which appears when there is something to wait for."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import rich.console

from command_line import train_vae
from isthmus.apps.bulk import opened
from isthmus.core import Spec, steps
from isthmus.core.steps import watching
from isthmus.data import work
from isthmus.data.work import bars, watched
from tiny_models import RowDrawer, save_vae


class Clock:
    """Time passes when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(work, "time", clock)
    return clock


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What a terminal was told."""
    monkeypatch.setenv("TERM", "xterm")
    told, console = io.StringIO(), rich.console.Console
    monkeypatch.setattr(
        rich.console, "Console", lambda **_: console(file=told, force_terminal=True, width=80, legacy_windows=False)
    )
    bars.cache_clear()
    yield told
    assert not bars.cache_info().currsize, "a display was left behind"


def titles(told: io.StringIO) -> set[str]:
    return {title for title in ("outer", "inner", "rows") if title in told.getvalue()}


def test_what_is_quick_shows_nothing(clock: Clock, terminal: io.StringIO) -> None:
    for _ in watched(range(9), 9, "outer"):
        clock.wait(0.1)
    assert terminal.getvalue() == ""


def test_what_takes_long_is_shown_and_wiped_away(clock: Clock, terminal: io.StringIO) -> None:
    assert [*watched(slowly(clock, range(5)), 5, "outer")] == [0, 1, 2, 3, 4]
    assert titles(terminal) == {"outer"}
    _, erased, after = terminal.getvalue().rpartition("\x1b[2K")
    assert erased
    assert titles(io.StringIO(after)) == set()


def slowly(clock: Clock, items: Iterable[int]) -> Iterator[int]:
    for item in items:
        clock.wait(0.6)
        yield item


def test_no_terminal_no_bar(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in watched(range(9), 9, "outer"):
        clock.wait(5)
    assert capsys.readouterr().err == ""


def test_a_loop_inside_another_is_a_line_of_the_same_display(clock: Clock, terminal: io.StringIO) -> None:
    for i in watched(range(3), 3, "outer"):
        for _ in watched(range(3), 3, "inner"):
            clock.wait(0.6)
            displays = bars()
        assert displays is bars()
        assert displays.finished is False
        if i == 0:
            assert titles(terminal) == {"outer", "inner"}  # the outer one has not come round yet
            assert [task.description for task in bars().tasks] == ["outer"]
    for _ in watched(slowly(clock, range(3)), 3, "rows"):
        assert bars() is not displays
    assert titles(terminal) == {"outer", "inner", "rows"}


def test_a_loop_that_is_left_takes_its_bar_away(clock: Clock, terminal: io.StringIO) -> None:
    def fail() -> None:
        for i in watched(slowly(clock, range(9)), 9, "outer"):
            for _ in watched(slowly(clock, range(3)), 3, "inner"):
                if i == 2:
                    raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert titles(terminal) == {"outer", "inner"}


def test_the_steps_of_a_model_are_watched_inside_the_block_alone(clock: Clock, terminal: io.StringIO) -> None:
    model = RowDrawer().build(Spec(1, 5, 4))
    model.sample(2)
    assert [*steps(range(3), "rows")] == [0, 1, 2]
    with watching(lambda items, total, title: watched(slowly(clock, items), total, title)):
        image = model.sample(2)
    assert image.shape == (2, 1, 5, 4)
    assert titles(terminal) == {"rows"}
    before = terminal.getvalue()
    model.sample(2)
    assert terminal.getvalue() == before


def test_commands_watch_the_models_that_they_open(tmp_path: Path, clock: Clock, terminal: io.StringIO) -> None:
    with opened(str(save_vae(tmp_path / "vae")), "last") as trained:
        assert trained.name == "vae"
        for _ in steps(range(3), "rows"):
            clock.wait(0.6)
    assert titles(terminal) == {"rows"}


def test_a_run_shorter_than_a_log_interval_says_its_losses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_vae(tmp_path / "run", "--log-every", "100") == 0
    assert re.search(r"run: step 12 of 12  vae/\S+ \d", capsys.readouterr().err)
