"""Pairs of pictures: side by side in one file, or in two folders under the same name.

facades/*.jpg                             left half | right half
facades/train/*.jpg facades/test/*.jpg    the same with a split
maps/A/1.png maps/B/1.png                 two folders, any names, each with train/ and test/ if they like
maps/trainA maps/trainB maps/testA ...    the same, the other way round
maps/train/A maps/train/B maps/test/A ... or so
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from isthmus.data.cache import digest
from isthmus.data.files import SPLIT_OF, Place, in_split, list_folder, not_empty, places
from isthmus.data.listing import UNREADABLE, Files
from isthmus.data.options import Source, Split, shorten
from isthmus.errors import DataError


def open_pairs(source: Source, split: Split, fraction: float) -> tuple[Files, Files]:
    """Both domains of one split; example i of the first belongs to example i of the second."""
    root = Path(source.argument).expanduser()
    whole = list_folder(root, source.text)
    found = places(whole.names, root, pairs=True)
    sides = sorted({place.inner[0] for place in found if len(place.inner) > 1})
    loose = any(len(place.inner) == 1 for place in found)
    if len(sides) == 2 and not loose:
        return two_folders(whole, found, sides, split, fraction, root)
    if sides:
        raise DataError(
            f'"{source.text}": {root} has {"pictures and " if loose else ""}subfolders {shorten(sides, 5)}; pairs are '
            "pictures side by side in one folder, or exactly two subfolders such as A/ and B/"
        )
    whole = without_odd(whole)
    return side_by_side(whole.take(in_split(found, split, whole.headers.digest, fraction, root)), split)


def without_odd(files: Files) -> Files:
    """Pictures whose halves are not equal count as damaged."""
    headers = files.headers
    errors = {
        files.names[i]: f"{files.names[i]} has an odd width, so that it is no pair side by side"
        for i in np.flatnonzero(headers.width % 2).tolist()
    }
    if not errors:
        return files

    def blob(name: str) -> bytes:
        if name in errors:
            raise DataError(errors[name])
        return files.blob(name)

    digests = np.where(headers.width % 2, np.uint64(UNREADABLE), headers.digest)
    reasons = np.array([errors.get(name, str(error)) for name, error in zip(files.names, headers.error, strict=True)])
    headers = headers._replace(digest=digests, error=reasons)
    return replace(files, blob=blob, headers=headers, whole=headers)


def side_by_side(files: Files, split: Split) -> tuple[Files, Files]:
    """The halves of each picture."""
    left, right = (
        replace(files, name=f"{files.name} ({side})", key=digest(files.key, side), half=half)
        for half, side in enumerate(("left", "right"))
    )
    return not_empty(left, split), right


def two_folders(
    whole: Files, found: list[Place], sides: list[str], split: Split, fraction: float, root: Path
) -> tuple[Files, Files]:
    """The pictures of two folders, matched by path without suffix."""
    inner = [split_inside(place) for place in found]
    stems = [(p.split, str(PurePosixPath(*p.inner[1:]).with_suffix(""))) for p in inner]
    a, b = ({stems[i]: i for i, place in enumerate(inner) if place.inner[0] == side} for side in sides)
    if alone := sorted(whole.names[x[stem]] for x in (a, b) for stem in x if stem not in a or stem not in b):
        raise DataError(
            f"{whole.name}: {len(alone)} pictures in {sides[0]}/ and {sides[1]}/ have no partner of the same name, "
            f"e.g. {shorten(alone, 3)}"
        )
    if twice := sorted(set(whole.names) - {whole.names[i] for x in (a, b) for i in x.values()}):
        raise DataError(f"{whole.name}: {twice[0]} has the name of another picture but for the suffix; rename one")
    first = np.array([a[stem] for stem in sorted(a, key=str)])
    second = np.array([b[stem] for stem in sorted(a, key=str)])
    # A pair stays together: which side of the split it is on depends on its first picture alone.
    chosen = in_split([inner[i] for i in first], split, whole.headers.digest[first], fraction, root)
    one, other = (
        replace(whole.take(index[chosen]), whole=whole.headers.take(index), name=f"{whole.name} ({side or 'plain'})")
        for index, side in zip((first, second), sides, strict=True)
    )
    return not_empty(one, split), other


def split_inside(place: Place) -> Place:
    """A/train/1.png as if it were train/A/1.png."""
    side, *rest = place.inner
    if place.split is None and len(rest) > 1 and rest[0].lower() in SPLIT_OF:
        return Place(SPLIT_OF[rest[0].lower()], (side, *rest[1:]))
    return place
