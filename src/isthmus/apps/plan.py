"""Which pictures a command reads and which files it will write, settled before any work begins. Imports no torch."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from isthmus.apps import film, video
from isthmus.apps.cli import complain
from isthmus.data.files import PICTURES, SOUNDS, Kind, scan, walk
from isthmus.data.options import shorten
from isthmus.data.read import SUFFIXES
from isthmus.errors import ConfigError, DataError, OutputError

SPECIAL = re.compile(r"[^\w.,=+-]")
FILMED = Kind("pictures or films", SUFFIXES | video.READ, f"{PICTURES.examples}, films .mp4, .webm, .gif and the like")


class Job(NamedTuple):
    """One picture and the files that are made of it; none where it goes into a sheet."""

    source: Any  # its file, or the picture itself
    outputs: tuple[Path, ...]
    film: bool = False  # whether it is a film


def plan(
    inputs: Sequence[Path],
    out: Path,
    endings: Sequence[str],
    overwrite: bool,
    *,
    sheet: bool = False,
    films: bool = False,
    beside: Collection[Path] = (),
) -> list[Job]:
    """What to read and where to write it. Raises an IsthmusError if that cannot be, or would destroy something.

    A picture keeps its name, and in a folder its subfolder: photo.jpg becomes `out`/photo.png, or photo-1.png and so
    on with the `endings` "-1", "-2". A single one may become the file `out`, if that ends in .png; with `sheet`, such a
    file is for all of them together. A sound becomes a .wav file in the same ways, but for the sheet, which draws it.
    With `films`, what moves is a film, and becomes one of its own kind. Files `beside` are read, too.
    """
    named = {name: path for path, name in unique(find(inputs, out, FILMED if films else PICTURES)).items()}
    moving = frozenset(path for path in named.values() if film.is_film(path)) if films else frozenset()
    jobs = arrange(named, out, endings, overwrite, sheet=sheet, films=moving, beside=beside)
    for job in jobs:
        if job.film:
            film.check_video(job.source)
            film.check_video(job.outputs[0])
    return jobs


def arrange(
    sources: Mapping[str, Any],
    out: Path,
    endings: Sequence[str],
    overwrite: bool,
    *,
    sheet: bool = False,
    films: Collection[Path] = (),
    beside: Collection[Path] = (),
) -> list[Job]:
    """The same for pictures, or their files, by name; those that are `films`."""
    moves = {name: isinstance(source, Path) and source in films for name, source in sources.items()}
    single = is_single(out, bool(films))
    if not single:
        check_folder(out, bool(films))
        kinds = {name: film.suffix_for(s) if moves[name] else suffix_of(s) for name, s in sources.items()}
        jobs = [Job(s, outputs(out, name, endings, kinds[name]), moves[name]) for name, s in sources.items()]
    elif sheet and is_png(out):
        jobs = [Job(source, ()) for source in sources.values()]
    elif (count := len(sources) * len(endings)) > 1:
        raise ConfigError(f"--out {out} is one file, but {count} pictures are to be written; give a folder")
    else:
        jobs = [Job(source, (out,), moves[name]) for name, source in sources.items()]
    files = [out] if single else [file for job in jobs for file in job.outputs]
    check_different(files)
    read = [source for source in sources.values() if isinstance(source, Path)]
    check_free(files, overwrite, inputs=[*read, *beside])
    return jobs


def numbered(draws: int) -> list[str]:
    """The endings of the files of so many draws. Raises ConfigError for none."""
    if draws < 1:
        raise ConfigError(f"-n is the number of draws, at least 1, got {draws}")
    return [""] if draws == 1 else [f"-{k}" for k in range(1, draws + 1)]


def find(inputs: Sequence[Path], out: Path | None = None, kind: Kind = PICTURES) -> dict[Path, PurePath]:
    """The pictures named, with their names below `out`.

    Of a folder all pictures in it, but not those in `out` where that lies in the folder: an earlier run wrote them.
    What is left out is named on stderr.
    """
    if not inputs:
        raise ConfigError("no pictures named: give files or folders")
    found: dict[Path, PurePath] = {}
    for path in inputs:
        if path.is_dir():
            inside = {path / name: PurePath(name) for name in scan(path, str(path), kind)}
            made = [] if out is None else [file for file in inside if written(file, path, out)]
            found |= {file: name for file, name in inside.items() if file not in made}
            leave_out(path, [str(inside[file]) for file in made], f"they lie in --out {out}")
            leave_out(path, others(path, kind), f"they are no {kind.what}")
        else:
            found[path] = PurePath(path.name)
    if not found:
        raise DataError(f"{shorten([*map(str, inputs)])} holds no pictures but those in --out {out}")
    different = {path.resolve(): path for path in reversed(found)}  # a file that is named twice counts once
    return {path: name for path, name in found.items() if different[path.resolve()] == path}


def others(folder: Path, kind: Kind) -> list[str]:
    """The files in a folder that are not of a kind."""
    files = (Path(entry.path) for entry in walk(folder, {os.path.realpath(folder)}))
    return sorted(str(file.relative_to(folder)) for file in files if file.suffix.lower() not in kind.suffixes)


def leave_out(folder: Path, files: list[str], reason: str) -> None:
    """Name files in a folder that are not read, if there are any."""
    if files:
        complain(f"of {folder}, since {reason}: {shorten(files, 5)}", label="left out")


def written(file: Path, folder: Path, out: Path) -> bool:
    """Whether a file of `folder` lies in `out`, which is a part of that folder."""
    inside = out.is_dir() and not out.samefile(folder) and out.resolve().is_relative_to(folder.resolve())
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


def outputs(folder: Path, name: str, endings: Iterable[str], suffix: str = ".png") -> tuple[Path, ...]:
    """One file for each ending, in which no sign has a meaning to a file system or a shell."""
    return tuple(folder / f"{name}{SPECIAL.sub('_', ending)}{suffix}" for ending in endings)


def suffix_of(source: Any) -> str:
    """The kind of file that is made of a file, or of a picture."""
    return ".wav" if isinstance(source, Path) and source.suffix.lower() in SOUNDS.suffixes else ".png"


def is_single(out: Path, film_too: bool = False) -> bool:
    """Whether `out` is to be one file."""
    suffixes = (".png", ".wav", *(film.SUFFIXES if film_too else ()))
    return out.suffix.lower() in suffixes and not out.is_dir()


def is_png(out: Path) -> bool:
    """Whether `out` is to be one file, with a picture."""
    return out.suffix.lower() == ".png" and not out.is_dir()


def check_png(option: str, file: Path) -> None:
    """Raises ConfigError if `file`, given with `option`, is not to be a PNG file."""
    if file.suffix.lower() != ".png":
        raise ConfigError(f"{option} {file} must be a name that ends in .png")


def check_folder(out: Path, film_too: bool = False) -> None:
    """Raises ConfigError or OutputError if `out` cannot be a folder to write to."""
    if out.is_file():
        raise OutputError(f"--out {out} is a file; give a folder")
    if out.suffix.lower() in FILMED.suffixes and not out.is_dir():
        kinds = f"pictures are written as .png{', films as ' + ', '.join(film.SUFFIXES) if film_too else ''}"
        raise ConfigError(f"--out {out}: {kinds}; give such a name, or a folder")


def check_apart(out: Path, examples: Iterable[Path]) -> None:
    """Raises ConfigError if `out` is one of the folders of examples, among which results would later count."""
    if out.is_dir() and any(path.is_dir() and path.samefile(out) for path in examples):
        raise ConfigError(f"--out {out} is the folder of --style, where results would count as examples; give another")


def check_different(files: Sequence[Path]) -> None:
    """Raises OutputError if two of `files` are one."""
    counts = Counter(str(file).casefold() for file in files)
    if twice := [file for file in files if counts[str(file).casefold()] > 1]:
        raise OutputError(f"two pictures would be written to {twice[0]}; rename one, or give it another place")


def check_free(files: Iterable[Path], overwrite: bool, inputs: Iterable[Path] = ()) -> None:
    """Raises OutputError if one of `files` exists, unless `overwrite`; nobody's inputs are ever overwritten."""
    there = [file for file in files if file.exists()]
    sources = {path.resolve() for path in inputs}
    if own := [file for file in there if file.resolve() in sources]:
        raise OutputError(f"{own[0]} is one of the pictures to read and would be overwritten; give another --out")
    if there and not overwrite:
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        raise OutputError(f"{there[0]}{more} exists; --overwrite it, or give another --out")
