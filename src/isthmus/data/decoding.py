"""Pictures of all kinds brought to one size, once: afterwards a data set is a memory map."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib.format import open_memmap

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
    shape = len(pictures), form.channels, form.height, form.width
    if (need := int(np.prod(shape))) > (free := shutil.disk_usage(file.parent).free):
        raise DataError(
            f"{pictures.name} needs {need / 1e9:.1f} GB in the cache and {file.parent.parent} has {free / 1e9:.1f} GB "
            "free: make room, choose a smaller --size, or set ISTHMUS_CACHE"
        )
    pixels = open_memmap(file, "w+", np.uint8, shape)

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


def bring(picture: Array, form: Form) -> Array:
    """One picture to [H, W, C] uint8 of the wanted form."""
    return to_8bit(fit(to_channels(picture, form.channels), form.width, form.height, form.fit))


def drop(file: Path, kept: Array) -> None:
    """Keep only some rows of a .npy file."""
    whole = np.load(file, mmap_mode="r")
    partial = file.with_suffix(".part")
    rows = open_memmap(partial, "w+", whole.dtype, (len(kept), *whole.shape[1:]))
    for row, i in enumerate(kept):
        rows[row] = whole[i]
    del rows, whole  # Windows replaces no file that is mapped
    partial.replace(file)


def binarise(file: Path) -> None:
    """Each pixel to 255 with probability grey/255, else to 0."""
    pixels = np.load(file, mmap_mode="r+")
    random = np.random.default_rng(0)
    for image in pixels:  # a draw from 0..254 is below the grey value with exactly that probability
        image[:] = np.where(random.integers(0, 255, image.shape, dtype=np.uint8) < image, 255, 0)
