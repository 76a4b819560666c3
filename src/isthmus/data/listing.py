"""The pictures of one split of one domain, as the sources hand them over: arrays, or encoded files not yet decoded.

Both tell the `size()` (width, height) that all their pictures have, the `channels()` that these need (1 if all are
grey, else 3), and give `picture(i, near)` as an array [H, W, C], which may be coarser than it is as long as its sides
keep 2 `near` pixels. `key` changes when any picture changes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from isthmus.data.cache import Array, digest, load_arrays, remember, save_arrays
from isthmus.data.read import decode, describe
from isthmus.data.work import each
from isthmus.errors import DataError


def relabel(labels: Array, keep: Sequence[int]) -> tuple[Array, Array]:
    """Where the labels are among `keep`, and these labels renumbered from 0 in that order."""
    index = np.flatnonzero(np.isin(labels, keep))
    new = np.full(max(*keep, int(labels.max(initial=0))) + 1, -1)
    new[list(keep)] = np.arange(len(keep))
    return index, new[labels[index]]


@dataclass(frozen=True, eq=False)
class Arrays:
    """Pictures, or sounds, of equal size that are decoded already: uint8 `pixels` [n, C, H, W]."""

    name: str
    key: str
    pixels: Array
    labels: Array | None
    classes: tuple[str, ...]
    names: Sequence[str] = ()
    rate: int = 0  # of sounds, in samples per second

    def __len__(self) -> int:
        return len(self.pixels)

    def only(self, keep: list[int]) -> Self:
        """Only the classes `keep`, renumbered."""
        if self.labels is None or len(keep) == len(self.classes):
            return self
        index, labels = relabel(self.labels, keep)
        classes = tuple(self.classes[label] for label in keep)
        return replace(self, key=digest(self.key, keep), pixels=self.pixels[index], labels=labels, classes=classes)

    def size(self) -> tuple[int, int]:
        return self.pixels.shape[3], self.pixels.shape[2]

    def channels(self) -> int:
        return int(self.pixels.shape[1])

    def picture(self, i: int, near: int) -> Array:
        return np.ascontiguousarray(self.pixels[i].transpose(1, 2, 0))


class UnreadError(DataError):
    """A file that could not be read."""


class Failure(NamedTuple):
    """Why a picture is left out."""

    text: str
    passing: bool  # disk, permissions, network or memory failed and not the picture: another run may read it

    @classmethod
    def of(cls, error: DataError) -> Self:
        return cls(str(error), isinstance(error, UnreadError) or isinstance(error.__cause__, MemoryError))


def fetch(blob: Callable[[str], bytes], name: str) -> bytes:
    """A picture's file."""
    try:
        return blob(name)
    except OSError as error:
        raise UnreadError(f"{name} cannot be read: {error.strerror or error}") from error


UNREADABLE = 2**64 - 1  # in place of a digest; so large that such a picture never counts as held out


class Headers(NamedTuple):
    """What is known of encoded pictures without decoding them; arrays [n]."""

    digest: Array  # uint64, equal for equal contents
    width: Array  # int64, 0 where the header cannot be read
    height: Array
    bits: Array
    colour: Array  # bool
    mode: Array  # str, as Pillow calls it
    error: Array  # str objects, empty where the header can be read

    def take(self, index: Array) -> Self:
        return type(self)(*(column[index] for column in self))

    def among(self, others: Headers) -> Array:
        """Which of these pictures are among `others` too: bool [n]."""
        return np.isin(self.digest, others.digest) & (self.error == "")

    def join(self, other: Headers) -> Headers:
        return Headers(*map(np.concatenate, zip(self, other, strict=True)))


@dataclass(frozen=True, eq=False)
class Files:
    """Encoded pictures, of any size and format."""

    name: str
    key: str
    names: Sequence[str]
    blob: Callable[[str], bytes]  # a picture's file by its name
    headers: Headers
    whole: Headers  # of both splits, so that these agree on the size and the channels
    labels: Array | None = None
    classes: tuple[str, ...] = ()
    half: int | None = None  # 0 or 1 for the left or right half of each picture
    rate: ClassVar[int] = 0

    def __len__(self) -> int:
        return len(self.names)

    def take(self, index: Array) -> Self:
        """Only the pictures `index`; the size and the channels remain those of the whole."""
        names = [self.names[i] for i in index]
        labels = None if self.labels is None else self.labels[index]
        return replace(self, key=digest(self.key, names), names=names, headers=self.headers.take(index), labels=labels)

    def only(self, keep: list[int]) -> Self:
        """Only the classes `keep`, renumbered; to be asked before the split, since it narrows the whole."""
        if self.labels is None or len(keep) == len(self.classes):
            return self
        index, labels = relabel(self.labels, keep)
        classes = tuple(self.classes[label] for label in keep)
        return replace(self.take(index), whole=self.headers.take(index), labels=labels, classes=classes)

    def readable(self) -> Headers:
        """The headers of the whole that could be read."""
        found = np.flatnonzero(self.whole.error == "")
        if not len(found):
            errors = self.whole.error
            raise DataError(f"{self.name}: none of {len(errors)} pictures can be read, e.g. {errors[0]}")
        return self.whole.take(found)

    def size(self) -> tuple[int, int]:
        headers = self.readable()
        smallest, largest = ((int(f(headers.width)), int(f(headers.height))) for f in (np.min, np.max))
        if smallest != largest:
            raise DataError(
                f"{self.name}: the pictures have different sizes, widths {smallest[0]} to {largest[0]} and heights "
                f"{smallest[1]} to {largest[1]}: choose one, e.g. --size 128 or --size 128x96"
            )
        return (smallest[0] // 2 if self.half is not None else smallest[0]), smallest[1]

    def channels(self) -> int:
        return 3 if self.readable().colour.any() else 1

    def picture(self, i: int, near: int) -> Array:
        name = self.names[i]
        data = fetch(self.blob, name)
        if self.half is None:
            return decode(data, name, near)
        whole = decode(data, name, 2 * near)
        middle = whole.shape[1] // 2
        return whole[:, :middle] if self.half == 0 else whole[:, -middle:]


Pictures = Arrays | Files


def wrong_folder(shared: int, total: int, a: str, b: str) -> str:
    """What to say of `total` pictures of domain `a` of which some are in domain `b`."""
    return f"{shared} of the {many(total)} of {a} are in {b} too: is one the wrong folder?"


def many(count: int, what: str = "pictures") -> str:
    """ "1 picture", "2 pictures"."""
    return f"{count} {what.replace('pictures', 'picture') if count == 1 else what}"


def read_headers(key: str, names: Sequence[str], blob: Callable[[str], bytes]) -> Headers:
    """The headers of all pictures; reads every file once, the first time."""

    def one(name: str) -> tuple[Any, ...]:
        try:
            data = fetch(blob, name)
            header = describe(data, name)
        except DataError as error:
            return UNREADABLE, 0, 0, 0, False, "", Failure.of(error)
        content = int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
        return content, header.width, header.height, header.bits, header.colour, header.mode, None

    def build(folder: Path) -> bool:
        *columns, found = zip(*each(one, names, "reading headers"), strict=True)
        types = (np.uint64, np.int64, np.int64, np.int64, np.bool_, np.str_)
        save_arrays(folder, {f: np.array(c, t) for f, c, t in zip(Headers._fields[:-1], columns, types, strict=True)})
        failures = {i: failure for i, failure in enumerate(found) if failure}
        # Not as a column, each of whose rows would be as wide as the longest text.
        (folder / "errors.json").write_text(json.dumps({i: failure.text for i, failure in failures.items()}))
        return not any(failure.passing for failure in failures.values())

    def load(folder: Path) -> Headers:
        error = np.full(len(names), "", object)
        for i, text in json.loads((folder / "errors.json").read_text()).items():
            error[int(i)] = text
        return Headers(**{field: np.asarray(a) for field, a in load_arrays(folder).items()}, error=error)

    return remember(digest("headers", "sparse errors", key), build, load)


def held_out(content: Array, fraction: float) -> Array:
    """Which pictures are for testing: a choice by content, so that copies stay together and newcomers move nobody.

    Where there are two different pictures, both sides get one, however few they are.
    """
    chosen = content < np.uint64(fraction * 2.0**64)
    if not chosen.any():
        chosen = content == content.min()
    if chosen.all():
        chosen = content != content.max()
    return chosen
