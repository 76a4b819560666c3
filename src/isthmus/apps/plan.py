"""Which pictures a command reads and which files it will write, settled before any work begins. Imports no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from isthmus.data.files import scan
from isthmus.data.options import shorten
from isthmus.data.read import SUFFIXES
from isthmus.errors import ConfigError, DataError, OutputError


class Job(NamedTuple):
    """One picture and the files that are made of it, one for each draw."""

    source: Path
    outputs: tuple[Path, ...]


def plan(inputs: Sequence[Path], out: Path, draws: int, overwrite: bool) -> list[Job]:
    """What to read and where to write it. Raises an IsthmusError if that cannot be, or would destroy something.

    A picture keeps its name, and in a folder its subfolder: photo.jpg becomes `out`/photo.png, or photo-1.png and so
    on with several draws. A single one may become the file `out`, if that ends in .png.
    """
    if draws < 1:
        raise ConfigError(f"-n is the number of draws, at least 1, got {draws}")
    found = find(inputs, out)
    if is_png(out):
        if len(found) > 1 or draws > 1:
            files = len(found) * draws
            raise ConfigError(f"--out {out} is one file, but {files} pictures are to be written; give a folder")
        jobs = [Job(file, (out,)) for file in found]
    else:
        check_folder(out)
        jobs = [Job(file, outputs(out, name, draws)) for file, name in unique(found).items()]
    check_free([file for job in jobs for file in job.outputs], overwrite, inputs=found)
    return jobs


def find(inputs: Sequence[Path], out: Path) -> dict[Path, PurePath]:
    """The pictures named, with their names below `out`.

    Of a folder all pictures in it, but not those in `out` where that lies in the folder: an earlier run wrote them.
    """
    if not inputs:
        raise ConfigError("no pictures named: give files or folders")
    found: dict[Path, PurePath] = {}
    for path in inputs:
        if path.is_dir():
            found |= {
                path / name: PurePath(name) for name in scan(path, str(path)) if not written(path / name, path, out)
            }
        else:
            found[path] = PurePath(path.name)
    if not found:
        raise DataError(f"{shorten([*map(str, inputs)])} holds no pictures but those in --out {out}")
    different = {path.resolve(): path for path in reversed(found)}  # a file that is named twice counts once
    return {path: name for path, name in found.items() if different[path.resolve()] == path}


def written(file: Path, folder: Path, out: Path) -> bool:
    """Whether a file of `folder` lies in `out`, which is a part of that folder."""
    inside = out.resolve() != folder.resolve() and out.resolve().is_relative_to(folder.resolve())
    return inside and file.resolve().is_relative_to(out.resolve())


def unique(found: Mapping[Path, PurePath]) -> dict[Path, str]:
    """A name without suffix for each; a.jpg beside a.png keeps its suffix, and what is still the same is numbered."""
    stems = Counter(str(name.with_suffix("")).casefold() for name in found.values())
    taken: set[str] = set()
    names = {}
    for path, name in found.items():
        stem = str(name.with_suffix(""))
        wanted = chosen = stem if stems[stem.casefold()] == 1 else str(name)
        number = 1
        while chosen.casefold() in taken:  # some file systems take A for a
            number += 1
            chosen = f"{wanted}~{number}"
        taken.add(chosen.casefold())
        names[path] = chosen
    return names


def outputs(folder: Path, name: str, draws: int) -> tuple[Path, ...]:
    """One file for each draw."""
    if draws == 1:
        return (folder / f"{name}.png",)
    return tuple(folder / f"{name}-{k}.png" for k in range(1, draws + 1))


def is_png(out: Path) -> bool:
    """Whether `out` is to be one file."""
    return out.suffix.lower() == ".png" and not out.is_dir()


def check_png(option: str, file: Path) -> None:
    """Raises ConfigError if `file`, given with `option`, is not to be a PNG file."""
    if file.suffix.lower() != ".png":
        raise ConfigError(f"{option} {file} must be a name that ends in .png")


def check_folder(out: Path) -> None:
    """Raises ConfigError or OutputError if `out` cannot be a folder to write to."""
    if out.is_file():
        raise OutputError(f"--out {out} is a file; give a folder")
    if out.suffix.lower() in SUFFIXES and not out.is_dir():
        raise ConfigError(f"--out {out}: pictures are written as .png; give such a name, or a folder")


def check_free(files: Iterable[Path], overwrite: bool, inputs: Iterable[Path] = ()) -> None:
    """Raises OutputError if one of `files` exists, unless `overwrite`; nobody's inputs are ever overwritten."""
    there = [file for file in files if file.exists()]
    sources = {path.resolve() for path in inputs}
    if own := [file for file in there if file.resolve() in sources]:
        raise OutputError(f"{own[0]} is one of the pictures to read and would be overwritten; give another --out")
    if there and not overwrite:
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        raise OutputError(f"{there[0]}{more} exists; --overwrite it, or give another --out")
