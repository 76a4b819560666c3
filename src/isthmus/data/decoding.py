"""Pictures of all kinds brought to one size, once: afterwards a data set is a memory map."""

from __future__ import annotations

import errno
import os
import shutil
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib.format import open_memmap, write_array_header_1_0

from isthmus.data.cache import Array, digest, remember
from isthmus.data.listing import Failure, Pictures
from isthmus.data.options import Fit
from isthmus.data.read import fit, to_8bit, to_channels
from isthmus.data.work import each
from isthmus.errors import DataError

CHUNK = 32  # pictures that a thread decodes at a time


class Form(NamedTuple):
    """What all pictures are brought to."""

    width: int
    height: int
    channels: int
    fit: Fit
    binarise: bool


class Decoded(NamedTuple):
    """Pixels uint8 [k, C, H, W] of the pictures that could be decoded, and which these are."""

    pixels: Array
    kept: Array  # int64 [k]


def decoded(pictures: Pictures, form: Form) -> Decoded:
    """All pictures in one form, from the cache where it has them; what is damaged is left out with a warning."""

    def build(folder: Path) -> bool:
        failures = decode_all(pictures, form, folder / "pixels.npy")
        kept = np.array([i for i in range(len(pictures)) if i not in failures], np.int64)
        if not len(kept):
            raise DataError(f"{pictures.name}: none of {len(pictures)} pictures can be read, e.g. {failures[0].text}")
        if failures:
            drop(folder / "pixels.npy", kept)
        if form.binarise:
            binarise(folder / "pixels.npy")
        np.save(folder / "kept.npy", kept)
        np.save(folder / "errors.npy", np.array([failures[i].text for i in sorted(failures)], dtype=np.str_))
        return not any(failure.passing for failure in failures.values())

    def load(folder: Path) -> tuple[Decoded, list[str]]:
        pixels, kept = np.load(folder / "pixels.npy", mmap_mode="c"), np.load(folder / "kept.npy")
        return Decoded(pixels, kept), np.load(folder / "errors.npy").tolist()

    found, errors = remember(digest(pictures.key, form), build, load)
    if errors:
        left_out(pictures.name, errors, len(pictures))
    return found


def left_out(name: str, errors: list[str], total: int, what: str = "pictures") -> None:
    """Warn of files that cannot be used, by name."""
    shown = "; ".join(errors[:5]) + (f"; and {len(errors) - 5} more" if len(errors) > 5 else "")
    warnings.warn(f"{name}: {len(errors)} of {total} {what} left out: {shown}", stacklevel=3)


def decode_all(pictures: Pictures, form: Form, file: Path) -> dict[int, Failure]:
    """Decode into a new .npy file; returns what went wrong, by position."""
    pixels = room(pictures.name, file, (len(pictures), form.channels, form.height, form.width))

    def decode_chunk(start: int) -> dict[int, Failure]:
        failures = {}
        for i in range(start, min(start + CHUNK, len(pictures))):
            try:
                pixels[i] = bring(pictures.picture(i, max(form.width, form.height)), form).transpose(2, 0, 1)
            except DataError as error:
                failures[i] = Failure.of(error)
        return failures

    found = each(decode_chunk, range(0, len(pictures), CHUNK), f"decoding {pictures.name}")
    return {i: failure for failures in found for i, failure in failures.items()}


def room(name: str, file: Path, shape: tuple[int, ...]) -> Array:
    """A new .npy file of bytes that has its room on the disk, where the system can promise that.

    On a full disk, writing to a memory map without it kills the process.
    """
    need, place = int(np.prod(shape)), file.parent.parent
    if need > shutil.disk_usage(place).free:
        raise no_room(name, need, place)
    pixels = open_memmap(file, "w+", np.uint8, shape)
    if hasattr(os, "posix_fallocate"):
        try:
            with file.open("rb+") as opened:
                os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):  # others mean that this file system promises nothing
                raise no_room(name, need, place) from error
    return pixels


def no_room(name: str, need: int, place: Path) -> DataError:
    free = shutil.disk_usage(place).free
    return DataError(
        f"{name} needs {need / 1e9:.1f} GB in the cache and {place} has {free / 1e9:.1f} GB free: make room, choose a "
        "smaller --size, or set ISTHMUS_CACHE"
    )


def bring(picture: Array, form: Form) -> Array:
    """One picture to [H, W, C] uint8 of the wanted form."""
    return to_8bit(fit(to_channels(picture, form.channels), form.width, form.height, form.fit))


def drop(file: Path, kept: Array) -> None:
    """Keep only some rows, in ascending order, of a .npy file of bytes: in place, since the disk may hold no second."""
    rows = np.load(file, mmap_mode="r+")
    for row, i in enumerate(kept):
        rows[row] = rows[i]
    shape = len(kept), *rows.shape[1:]
    del rows  # Windows shortens no file that is mapped
    with file.open("rb+") as opened:  # a header is as long for fewer rows: numpy leaves room for any number
        write_array_header_1_0(opened, {"descr": "|u1", "fortran_order": False, "shape": shape})
        opened.truncate(opened.tell() + int(np.prod(shape)))


def binarise(file: Path) -> None:
    """Each pixel to 255 with probability grey/255, else to 0."""
    pixels = np.load(file, mmap_mode="r+")
    random = np.random.default_rng(0)
    for image in pixels:  # a draw from 0..254 is below the grey value with exactly that probability
        image[:] = np.where(random.integers(0, 255, image.shape, dtype=np.uint8) < image, 255, 0)
