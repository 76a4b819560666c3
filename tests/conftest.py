"""One thread, a cache of its own, and the option that writes golden losses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/golden/*.json instead of comparing")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tests leave the user's cache alone, unless ISTHMUS_CACHE names one for them."""
    return Path(os.environ.setdefault("ISTHMUS_CACHE", str(tmp_path_factory.mktemp("cache"))))
