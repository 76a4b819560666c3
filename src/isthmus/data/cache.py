"""What is expensive to compute is computed once and kept as .npy files, which are memory-mapped ever after.

The cache may be deleted at any time. Entries are never changed: what they depend on is part of their key.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError

VERSION = 6  # of what is kept; raise it when the meaning of an entry changes

Array = NDArray[Any]


def root() -> Path:
    """The cache folder: $ISTHMUS_CACHE or ~/.cache/isthmus, or a temporary one where that cannot be written."""
    wanted = Path(os.environ.get("ISTHMUS_CACHE") or "~/.cache/isthmus").expanduser()
    if writable(wanted):
        return wanted
    other = Path(tempfile.gettempdir()) / f"isthmus-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"
    warnings.warn(f"the cache folder {wanted} cannot be written, using {other}; set ISTHMUS_CACHE", stacklevel=2)
    if not writable(other):
        raise DataError(f"neither {wanted} nor {other} can be written: set ISTHMUS_CACHE to a folder that can")
    return other


def writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def digest(*parts: object) -> str:
    """A key that depends on the `repr` of all `parts`."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def stamp(*files: Path) -> tuple[tuple[str, int, int], ...]:
    """What tells whether files have changed: names, sizes, times of the last change."""
    return tuple((file.name, (s := file.stat()).st_size, s.st_mtime_ns) for file in files)


def remember(key: str, build: Callable[[Path], None]) -> Path:
    """The folder of the entry `key`, which `build(folder)` fills the first time.

    Nobody ever sees half an entry: it is built under another name and renamed. Processes that build the same entry at
    the same time do the work twice, and the first to finish wins.
    """
    place = root()
    entry = place / digest(VERSION, key)
    if entry.is_dir():
        return entry
    partial = place / f"{entry.name}.{uuid.uuid4().hex}"
    partial.mkdir()
    try:
        build(partial)
        partial.rename(entry)
    except OSError:
        if not entry.is_dir():
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return entry


def remember_arrays(key: str, build: Callable[[], Mapping[str, Array]]) -> dict[str, Array]:
    """Arrays that `build` computes the first time. They are memory maps; changes to them stay private."""

    def save(folder: Path) -> None:
        for name, array in build().items():
            np.save(folder / f"{name}.npy", array)

    folder = remember(key, save)
    return {file.stem: np.load(file, mmap_mode="c") for file in folder.glob("*.npy")}
