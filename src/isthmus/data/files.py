"""Folders of pictures: which files count, what their subfolders mean, and which are held out for testing.

photos/*.jpg                              one domain, no classes, split by content
photos/cat/*.jpg photos/dog/*.jpg         two classes
photos/train/... photos/test/...          a split of their own; val/ stands in where test/ is missing
photos/trainA/... trainB testA testB      the same with classes A and B
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from isthmus.data.cache import Array, digest
from isthmus.data.listing import Files, held_out, read_headers
from isthmus.data.options import Source, Split, shorten
from isthmus.data.read import SUFFIXES
from isthmus.errors import DataError

SPLIT_OF = {"train": "train", "training": "train", "test": "test", "testing": "test"}
SPLIT_OF |= dict.fromkeys(("val", "valid", "validation"), "val")
JOINED = re.compile(rf"({'|'.join(sorted(SPLIT_OF, key=len, reverse=True))})[_-]?(.*)", re.IGNORECASE)  # trainA, test_x


class Kind(NamedTuple):
    """Which files of a folder are its content, and what to call them."""

    what: str
    suffixes: frozenset[str]
    examples: str


PICTURES = Kind("pictures", SUFFIXES, ".png, .jpg, .webp, .tif and the like")
SOUNDS = Kind("sounds", frozenset({".wav", ".wave"}), ".wav")


class Place(NamedTuple):
    """What the path of a picture says about it."""

    split: str | None  # "train", "test" or "val"; None where the folder has no split
    inner: tuple[str, ...]  # the path below the split


def scan(root: Path, spec: str, kind: Kind = PICTURES) -> dict[str, tuple[int, int]]:
    """All files of a kind in a folder and below it: path from `root` -> (size, time of last change), sorted."""
    if not root.exists():
        raise DataError(f'"{spec}": there is no folder {root}')
    if not root.is_dir():
        raise DataError(f'"{spec}": {root} is a file; name the folder that it lies in')
    others: Counter[str] = Counter()
    found: dict[str, tuple[int, int]] = {}
    for entry in walk(root, {os.path.realpath(root)}):
        suffix = Path(entry.name).suffix.lower()
        if suffix in kind.suffixes:
            status = entry.stat()
            found[Path(entry.path).relative_to(root).as_posix()] = status.st_size, status.st_mtime_ns
        else:
            others[suffix or entry.name] += 1
    if not found:
        raise DataError(f'"{spec}": {why_empty(root, others, kind)}')
    return dict(sorted(found.items()))


def walk(folder: str | Path, seen: set[str]) -> Iterator[os.DirEntry[str]]:
    """All files that are not hidden; links are followed, each folder once."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be read: {error.strerror}") from error
    for entry in entries:
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            continue
        if entry.is_symlink() and not os.path.exists(entry.path):  # a link that is broken, or points to itself
            continue
        if entry.is_dir():
            real = os.path.realpath(entry.path)
            if real not in seen:
                yield from walk(entry.path, seen | {real})
        elif entry.is_file():
            yield entry


def why_empty(root: Path, others: Counter[str], kind: Kind) -> str:
    """What a folder without files of a kind holds instead, and what to do."""
    what = kind.what
    if others:
        kinds = ", ".join(suffix for suffix, _ in others.most_common(3))
        return f"{root} holds no {what}, only other files ({kinds}); {what} are {kind.examples}"
    folders = sorted(
        entry.name for entry in os.scandir(root) if os.path.isdir(entry) and not entry.name.startswith(".")
    )
    if folders:
        return f"{root} and its subfolders ({shorten(folders, 5)}) hold no {what}: is it the right folder?"
    return f"{root} is empty: put {what} there, in subfolders if they have classes"


def places(names: Sequence[str], root: Path, pairs: bool = False) -> list[Place]:
    """Read the layout off the paths; of `pairs`, one of two domains may be without a name: train/ and trainLabels/."""
    paths = [tuple(name.split("/")) for name in names]
    tops = sorted({path[0] for path in paths if len(path) > 1})
    loose = any(len(path) == 1 for path in paths)
    splits = {top: SPLIT_OF[top.lower()] for top in tops if top.lower() in SPLIT_OF}
    if splits and len(splits) == len(tops) and not loose:
        return [Place(splits[path[0]], path[1:]) for path in paths]
    joined = {top: match for top in tops if (match := JOINED.fullmatch(top)) and (match[2] or pairs)}
    part_of = {top: SPLIT_OF[match[1].lower()] for top, match in joined.items()}
    domains = {part: {joined[top][2] for top in joined if (part_of[top] == "train") == part} for part in (True, False)}
    crossed = bool(domains[True] & domains[False])
    if crossed and len(joined) == len(tops) and not loose:
        return [Place(part_of[path[0]], (joined[path[0]][2], *path[1:])) for path in paths]
    known = list(joined if crossed else splits)
    if crossed or ("train" in splits.values() and len(set(splits.values())) > 1):  # else test pictures would be learnt
        beside = sorted({path[0] for path in paths} - {*known})
        raise DataError(
            f"{root} has {' and '.join(f'{top}/' for top in known)}, but also {shorten(beside, 5)} beside them: "
            "move that elsewhere, or into them"
        )
    return [Place(None, path) for path in paths]


def number_first(name: str) -> tuple[bool, int, str]:
    """Sort key that puts 2 before 10."""
    return (False, int(name), name) if name.isdecimal() else (True, 0, name)


def classes_of(found: list[Place]) -> tuple[str, ...]:
    """The subfolders that all pictures lie in; none if some lie outside."""
    if any(len(place.inner) == 1 for place in found):
        return ()
    return tuple(sorted({place.inner[0] for place in found}, key=number_first))


def in_split(found: list[Place], split: Split, content: Array, fraction: float, root: Path) -> Array:
    """Positions of the pictures of one split: by their place, or else by the digest of their `content`."""
    own = np.array([place.split or "" for place in found])
    test = "test" if (own == "test").any() else "val"
    if (own == "train").any() and (own == test).any():
        return np.flatnonzero(own == (split if split == "train" else test))
    if (own == test).any():
        raise DataError(f"{root} has {test}/ but no train/ with pictures")
    return np.flatnonzero(held_out(content, fraction) == (split == "test"))


def open_folder(source: Source, split: Split, fraction: float) -> Files:
    """One split of a folder of pictures, only the classes asked for."""
    root, files, found = whole_folder(source)
    return not_empty(files.take(in_split(found, split, files.headers.digest, fraction, root)), split)


def whole_folder(source: Source) -> tuple[Path, Files, list[Place]]:
    """A folder before the split, only the classes asked for, and what the path of each picture says about it."""
    root = Path(source.argument).expanduser()
    whole = list_folder(root, source.text)
    found = places(whole.names, root)
    classes = classes_of(found)
    keep = source.select(classes)
    if classes:
        labels = np.array([classes.index(place.inner[0]) for place in found], np.int64)
        found = [place for place, label in zip(found, labels, strict=True) if label in keep]
        whole = replace(whole, labels=labels, classes=classes).only(keep)
    return root, whole, found


def list_folder(root: Path, spec: str) -> Files:
    """All pictures of a folder, whatever its layout."""
    status = scan(root, spec)
    names = list(status)

    def blob(name: str) -> bytes:
        return (root / name).read_bytes()

    key = digest("folder", str(root.resolve()), tuple(status.items()))
    headers = read_headers(key, names, blob)
    return Files(spec, key, names, blob, headers, whole=headers)


def not_empty(files: Files, split: Split) -> Files:
    if not len(files):
        raise DataError(f"{files.name} has no picture for {split}ing: it takes at least two different ones")
    return files
