"""Pairs of pictures: side by side in one file, or in two folders under the same name.

facades/*.jpg                             left half | right half
facades/train/*.jpg facades/test/*.jpg    the same with a split
maps/A/1.png maps/B/1.png                 two folders, any names, each with train/ and test/ if they like
maps/trainA maps/trainB maps/testA ...    the same, the other way round
maps/train/A maps/train/B maps/test/A ... or so

Two specs of folders are matched by name as well (`--pair index`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from isthmus.data.cache import digest
from isthmus.data.files import SPLIT_OF, Place, in_split, list_folder, not_empty, places, whole_folder
from isthmus.data.listing import UNREADABLE, Files, many
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
        return by_name(two_folders(whole, found, root), split, fraction)
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


class Side(NamedTuple):
    """One domain of pairs by name, before the split."""

    files: Files
    places: list[Place]  # the split of each picture, and the path that its partner has too
    root: Path

    def positions(self) -> dict[tuple[str | None, str], int]:
        """Split and path without suffix -> position of the picture."""
        names = [(place.split, str(PurePosixPath(*place.inner).with_suffix(""))) for place in self.places]
        found = {name: i for i, name in enumerate(names)}
        if twice := [self.files.names[i] for i, name in enumerate(names) if found[name] != i]:
            raise DataError(
                f"{self.files.name}: {twice[0]} has the name of another picture but for the suffix; rename one"
            )
        return found


def by_name(sides: Sequence[Side], split: Split, fraction: float) -> tuple[Files, Files]:
    """One split of both domains; example i of the first has the name of example i of the second."""
    one, other = sides
    a, b = one.positions(), other.positions()
    alone = [one.root / one.files.names[a[name]] for name in a.keys() - b.keys()]
    alone += [other.root / other.files.names[b[name]] for name in b.keys() - a.keys()]
    if alone:
        raise DataError(
            f"{one.files.name} and {other.files.name}: there is no partner of the same name for "
            f"{many(len(alone))}, e.g. {shorten(sorted(map(str, alone)), 3)}: rename or remove what is alone"
        )
    first, second = (np.array([found[name] for name in sorted(a, key=str)]) for found in (a, b))
    # A pair stays together: which side of the split it is on depends on its first picture alone.
    places, content = [one.places[i] for i in first], one.files.headers.digest[first]
    chosen = in_split(places, split, content, fraction, one.root)
    return not_empty(one.files.take(first[chosen]), split), other.files.take(second[chosen])


def open_matched(sources: Sequence[Source], split: Split, fraction: float) -> tuple[Files, Files]:
    """Two folders that are paired by the names of their pictures."""
    return by_name([folder_side(source) for source in sources], split, fraction)


def folder_side(source: Source) -> Side:
    """A folder; where a single class is asked for, its partner may have another."""
    root, files, found = whole_folder(source)
    if source.classes is not None and len(files.classes) == 1:
        found = [Place(place.split, place.inner[1:]) for place in found]
    return Side(files, found, root)


def two_folders(whole: Files, found: list[Place], root: Path) -> list[Side]:
    """The domains of a folder with two subfolders."""
    inner = [split_inside(place) for place in found]
    sides = []
    for side in sorted({place.inner[0] for place in inner}):
        index = np.array([i for i, place in enumerate(inner) if place.inner[0] == side])
        name, headers = f"{whole.name} ({side or 'plain'})", whole.headers.take(index)
        files = replace(whole.take(index), whole=headers, name=name)
        sides.append(Side(files, [Place(inner[i].split, inner[i].inner[1:]) for i in index], root))
    return sides


def split_inside(place: Place) -> Place:
    """A/train/1.png as if it were train/A/1.png."""
    side, *rest = place.inner
    if place.split is None and len(rest) > 1 and rest[0].lower() in SPLIT_OF:
        return Place(SPLIT_OF[rest[0].lower()], (side, *rest[1:]))
    return place
