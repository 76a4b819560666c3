"""What is expensive to compute is computed once and kept as .npy files, which are memory-mapped ever after.

The cache may be deleted at any time. Entries are never changed: what they depend on is part of their key.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError

VERSION = 6  # of what is kept; raise it when the meaning of an entry changes
NAMES = "names.json"  # which arrays an entry has, so that one that is gone is missed
HEX = "[0-9a-f]" * 32
DAY = 24 * 3600  # seconds
TORN = OSError, EOFError, ValueError  # raised where a cleaner of disks or a power cut left only parts of an entry

Array = NDArray[Any]
T = TypeVar("T")


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


def remember(key: str, build: Callable[[Path], bool], load: Callable[[Path], T]) -> T:
    """What `load(folder)` reads of the entry `key`, which `build(folder)` fills the first time, or where it is torn.

    Nobody ever sees half an entry: it is built under another name and renamed. Processes that build the same entry at
    the same time do the work twice, and the first to finish wins. Where `build` returns False the entry is not kept.
    """
    place = root()
    entry = place / digest(VERSION, key)
    if entry.is_dir():
        with suppress(*TORN):
            return load(entry)
        shutil.rmtree(entry, ignore_errors=True)
    sweep(place)
    partial = place / f"{entry.name}.{uuid.uuid4().hex}"
    partial.mkdir()
    try:
        if build(partial):
            flush(partial)
            with suppress(OSError):  # another process was first, or what is torn cannot be removed
                partial.rename(entry)
        try:
            return load(entry)
        except TORN:
            return load(partial)  # whose memory maps outlive their files
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def sweep(place: Path) -> None:
    """Remove what processes that were killed have left half built, once nothing in it has changed for a day."""
    for partial in place.glob(f"{HEX}.{HEX}"):
        with suppress(OSError):  # it may get its name just now
            if time.time() - max(path.stat().st_mtime for path in (partial, *partial.iterdir())) > DAY:
                shutil.rmtree(partial, ignore_errors=True)


def flush(folder: Path) -> None:
    """Have files on the disk before their folder gets its name: a power cut would leave zeros in their place."""
    for file in folder.iterdir():
        with file.open("rb+") as opened:
            os.fsync(opened.fileno())


def remember_arrays(key: str, build: Callable[[], Mapping[str, Array]]) -> dict[str, Array]:
    """Arrays that `build` computes the first time. They are memory maps; changes to them stay private."""

    def save(folder: Path) -> bool:
        save_arrays(folder, build())
        return True

    return remember(key, save, load_arrays)


def save_arrays(folder: Path, arrays: Mapping[str, Array]) -> None:
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    (folder / NAMES).write_text(json.dumps([*arrays]))


def load_arrays(folder: Path) -> dict[str, Array]:
    names = json.loads((folder / NAMES).read_text())
    return {name: np.load(folder / f"{name}.npy", mmap_mode="c") for name in names}
