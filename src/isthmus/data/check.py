"""Look at data before anything trains: what is there, and what may be wrong with it, in words.

Files are read but not decoded, unless the caller wants every picture tried.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from isthmus.data.cache import Array
from isthmus.data.listing import Files, Headers, Pictures, many, wrong_folder
from isthmus.data.options import DataOptions, Split, shorten
from isthmus.data.sources import grouped, open_group
from isthmus.data.work import each
from isthmus.errors import DataError

FEW = 100  # pictures for training below which generative models learn them by heart
UNEVEN = 10  # times as many in one class, or domain, as in another
MOST_CLASSES = 30  # that are shown
COPY = re.compile(r"[\s_-]*(\(\d+\)|\bcopy( \d+)?|\bkopie( \d+)?)$")  # "a (1)", "a copy", as file managers name copies


@dataclass
class SplitReport:
    """One split of one domain."""

    count: int
    classes: dict[str, int]  # name -> number of pictures
    widths: tuple[int, int, int]  # smallest, largest, median
    heights: tuple[int, int, int]
    sizes: dict[str, int]  # "width x height" -> number of pictures, the three most common
    modes: dict[str, int]  # "RGB 8 bit" -> number of pictures
    unreadable: list[str]  # each with its reason
    duplicates: list[list[str]]  # names of pictures with equal content
    similar: list[list[str]]  # names that look like copies of each other


@dataclass
class DomainReport:
    """One domain, by split."""

    name: str
    splits: dict[str, SplitReport]


@dataclass
class Report:
    """What `check` found; the warnings are whole sentences."""

    domains: list[DomainReport]
    warnings: list[str] = field(default_factory=list)

    def fault(self) -> str | None:
        """Why nothing can be trained on the data, if that is so."""
        for domain in self.domains:
            count, unreadable = domain.splits["train"].count, domain.splits["train"].unreadable
            if unreadable and len(unreadable) == count:
                return f"{domain.name}: none of {count} pictures can be read, e.g. {unreadable[0]}"
        return None

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return asdict(self)


def check(options: DataOptions, decode: bool = False) -> Report:
    """Examine the data that `options` name; with `decode` try every picture, which takes longer."""
    warnings: list[str] = []
    found: list[dict[Split, Pictures]] = []
    for sources in grouped(options):
        splits: dict[Split, tuple[Pictures, ...]] = {"train": open_group(sources, "train", options)}
        try:
            splits["test"] = open_group(sources, "test", options)
        except DataError as error:
            warnings.append(str(error))
        for i in range(len(splits["train"])):
            found.append({split: domains[i] for split, domains in splits.items()})
    known = [{split: headers_of(pictures) for split, pictures in domain.items()} for domain in found]
    report = Report([], warnings)
    for domain, headers in zip(found, known, strict=True):
        parts = {str(split): summarise(pictures, headers[split], decode) for split, pictures in domain.items()}
        report.domains.append(DomainReport(domain["train"].name, parts))
        warnings += concerns(report.domains[-1], domain, headers, options)
    warnings += between(report.domains, [domain["train"] for domain in found], [part["train"] for part in known])
    report.warnings = list(dict.fromkeys(warnings))
    return report


def headers_of(pictures: Pictures) -> Headers:
    """The headers of files, or of their halves; of arrays what headers would say."""
    if isinstance(pictures, Files):
        headers = pictures.headers
        return headers if pictures.half is None else headers._replace(width=headers.width // 2)
    n, channels, height, width = pictures.pixels.shape
    digests = [int.from_bytes(hashlib.blake2b(image.tobytes(), digest_size=8).digest()) for image in pictures.pixels]
    full, mode = np.full, {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    columns = full(n, width), full(n, height), full(n, 8), full(n, channels > 1), full(n, mode), full(n, "", np.str_)
    return Headers(np.array(digests, np.uint64), *columns)


def summarise(pictures: Pictures, headers: Headers, decode: bool) -> SplitReport:
    """Count and group."""
    where = np.flatnonzero(headers.error == "")
    readable = headers.take(where)
    names = [pictures.names[i] if pictures.names else f"#{i}" for i in where.tolist()]
    labels: Counter[int] = Counter() if pictures.labels is None else Counter(pictures.labels.tolist())
    sizes = Counter(f"{w}x{h}" for w, h in zip(readable.width, readable.height, strict=True))
    modes = Counter(f"{mode} {bits} bit" for mode, bits in zip(readable.mode, readable.bits, strict=True))
    unreadable = [str(error) for error in headers.error if error]
    if decode and isinstance(pictures, Files):
        unreadable = undecodable(pictures)
    return SplitReport(
        count=len(pictures),
        classes={name: labels[i] for i, name in enumerate(pictures.classes)},
        widths=spread(readable.width),
        heights=spread(readable.height),
        sizes=dict(sizes.most_common(3)),
        modes=dict(modes.most_common()),
        unreadable=unreadable,
        duplicates=groups(names, readable.digest.tolist()),
        similar=groups(names, [plain(name) for name in names]),
    )


def spread(values: Array) -> tuple[int, int, int]:
    return (int(values.min()), int(values.max()), int(np.median(values))) if len(values) else (0, 0, 0)


def undecodable(files: Files) -> list[str]:
    """What goes wrong when every picture is decoded."""

    def attempt(i: int) -> str:
        try:
            files.picture(i, near=1)
        except DataError as error:
            return str(error)
        return ""

    return [error for error in each(attempt, range(len(files)), f"decoding {files.name}") if error]


def groups(names: Sequence[str], keys: Sequence[object]) -> list[list[str]]:
    """Names that share a key."""
    members: dict[object, list[str]] = defaultdict(list)
    for name, key in zip(names, keys, strict=True):
        members[key].append(name)
    return [group for group in members.values() if len(group) > 1]


def plain(name: str) -> str:
    """A file name without suffix, case, and the marks of a copy."""
    return COPY.sub("", str(PurePosixPath(name).with_suffix("")).lower())


def concerns(
    report: DomainReport, domain: dict[Split, Pictures], headers: dict[Split, Headers], options: DataOptions
) -> Iterator[str]:
    """What may be wrong with one domain."""
    name, train = report.name, report.splits["train"]
    for split, part in report.splits.items():
        if part.unreadable:
            bad = many(len(part.unreadable), f"{split} pictures")
            yield f"{name}: {bad} of {part.count} cannot be read, e.g. {part.unreadable[0]}"
        if part.duplicates:
            extra = many(sum(len(group) - 1 for group in part.duplicates), f"{split} pictures")
            yield f"{name}: {extra} too many by exact copies, e.g. {shorten(part.duplicates[0], 3)}"
        elif part.similar:
            yield f"{name}: some {split} pictures have names like copies, e.g. {shorten(part.similar[0], 3)}"
        if empty := [label for label, count in part.classes.items() if not count]:
            yield f"{name}: no {split} pictures of class {shorten(empty, 5)}"
        elif part.classes and max(part.classes.values()) > UNEVEN * min(part.classes.values()):
            ends = (f(part.classes, key=part.classes.__getitem__) for f in (max, min))
            yield f"{name}: uneven {split} classes, " + " but ".join(f"{part.classes[c]} of {c}" for c in ends)
    copied = headers["test"].among(headers["train"]) if "test" in headers else np.zeros(0, bool)
    if len(where := np.flatnonzero(copied)):
        example = f", e.g. {domain['test'].names[where[0]]}" if domain["test"].names else ""
        bad = many(len(where), "test pictures")
        yield f"{name}: {bad} also in the training set{example}; scores on them mean nothing"
    if train.count < FEW:
        yield f"{name}: {many(train.count)} to train with, which is few: some hundreds are wanted"
    yield from about_form(name, train, domain["train"], options)


def about_form(name: str, train: SplitReport, pictures: Pictures, options: DataOptions) -> Iterator[str]:
    """Sizes, colours and depths that will be changed."""
    wanted = options.width_height()
    if wanted is None and isinstance(pictures, Files):
        try:
            pictures.size()
        except DataError as error:
            yield str(error)
    if wanted is not None and (wanted[0] > train.widths[2] or wanted[1] > train.heights[2]):
        yield (
            f"{name}: most pictures are smaller than the size {wanted[0]}x{wanted[1]}, about {train.widths[2]}x"
            f"{train.heights[2]}; enlarging them adds nothing"
        )
    grey = sum(count for mode, count in train.modes.items() if mode.split()[0] in ("1", "L", "LA") or "I;16" in mode)
    if 0 < grey < sum(train.modes.values()) and options.channels is None:
        yield f"{name}: {many(grey)} in grey among coloured ones; all are taken as coloured (or --channels 1)"
    if any(mode.split()[0] in ("RGBA", "LA", "PA") for mode in train.modes) and options.channels != 4:
        yield f"{name}: some pictures are transparent; they are laid on white (or --channels 4)"
    if any("16 bit" in mode for mode in train.modes):
        yield f"{name}: some pictures have 16 bits for each channel; 8 are used"


def between(domains: list[DomainReport], pictures: list[Pictures], headers: list[Headers]) -> Iterator[str]:
    """What may be wrong between two domains."""
    for (a, x, these), (b, _, those) in combinations(zip(domains, pictures, headers, strict=True), 2):
        halves = isinstance(x, Files) and x.half is not None  # which have a file in common and yet differ
        if (shared := int(these.among(those).sum())) and not halves:
            yield wrong_folder(shared, len(x), a.name, b.name)
        small, large = sorted((a, b), key=lambda domain: domain.splits["train"].count)
        if (more := large.splits["train"].count) > UNEVEN * (less := small.splits["train"].count):
            yield f"the domains are uneven: {more} pictures in {large.name}, {less} in {small.name}"


def show(report: Report, console: Console) -> None:
    """Print a report: the warnings, then what there is."""
    for warning in report.warnings or ["nothing wrong was found"]:
        console.print(f"[yellow]•[/] {escape(warning)}", highlight=False)
    for domain in report.domains:
        console.print(table(domain))
        for error in (error for part in domain.splits.values() for error in part.unreadable):
            console.print(f"[red]unreadable[/] {escape(error)}", highlight=False)


def table(domain: DomainReport) -> Table:
    """One domain, a column for each split."""
    out = Table("", *domain.splits, title=escape(domain.name), title_justify="left")
    parts = domain.splits.values()
    out.add_row("pictures", *(str(part.count) for part in parts))
    out.add_row("widths", *("{} to {}, median {}".format(*part.widths) for part in parts))
    out.add_row("heights", *("{} to {}, median {}".format(*part.heights) for part in parts))
    out.add_row("common sizes", *(listed(part.sizes) for part in parts))
    out.add_row("modes", *(listed(part.modes) for part in parts))
    out.add_row("unreadable", *(str(len(part.unreadable)) for part in parts))
    out.add_row("copies", *(str(sum(len(group) - 1 for group in part.duplicates)) for part in parts))
    classes = list(next(iter(parts)).classes)
    for name in classes[:MOST_CLASSES]:
        out.add_row(f"class {escape(name)}", *(str(part.classes[name]) for part in parts))
    if len(classes) > MOST_CLASSES:
        out.add_row(f"and {len(classes) - MOST_CLASSES} classes more")
    return out


def listed(counts: dict[str, int]) -> str:
    return "\n".join(f"{name}: {count}" for name, count in counts.items())
