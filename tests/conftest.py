"""One thread, a cache and a folder of its own, a stand-in, a browser, and the option that writes golden losses."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from isthmus.apps.trained import Trained

QUIET = "--disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/golden/*.json instead of comparing")
    parser.addoption("--update-screenshots", action="store_true", help="write docs/images/serve-*.png anew")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tests leave the user's cache alone, unless ISTHMUS_CACHE names one for them."""
    return Path(os.environ.setdefault("ISTHMUS_CACHE", str(tmp_path_factory.mktemp("cache"))))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which commands run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tinted(monkeypatch: pytest.MonkeyPatch) -> Trained:
    """A translator with styles, which every run folder holds."""
    from film_helpers import SIDE
    from isthmus.apps import bulk
    from isthmus.apps.trained import Trained
    from tiny_models import Tinted

    model = Trained(Tinted().build(SIDE, SIDE), {})
    monkeypatch.setattr(bulk, "load", lambda *_: model)
    return model


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium without a window, for pages that are opened as files."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs chromium, e.g. of apt-get install chromium")
    arguments = ["--no-sandbox", "--disable-sync", *QUIET.split()]
    with playwright.sync_playwright() as engine:
        started = engine.chromium.launch(executable_path=chromium, args=arguments)
        yield started
        started.close()
