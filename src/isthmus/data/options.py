"""What the user says about the data, and how a data spec is read.

Imports no library: the command line needs it before it starts.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from isthmus.errors import ConfigError, DataError

Split = Literal["train", "test"]
Fit = Literal["crop", "pad", "frame", "stretch"]

NAMED = (
    "digits",
    "mnist",
    "fashion-mnist",
    "kmnist",
    "usps",
    "svhn",
    "cifar10",
    "mnist-m",
    "olivetti",
    "chars74k-digits",
    "tones",
    "gaussians-25",
    "mixture",
    "mnist-coloured",
    "mnist-domains",
    "mnist-inks",
    "mnist-hues",
    "outlines",
    "fillings",
    "twins",
    "fashion-edges",
    "modes-5",
    "modes-10",
    "texture-maps",
    "textures",
)
FOLDERS = ("folder", "pairs", "audio")  # what follows the colon is a path
WITH_PATH = (*FOLDERS, "hf")


@dataclass(kw_only=True)
class DataOptions:
    """Which images, and in which form the model sees them."""

    data: tuple[str, ...] = ("digits",)  # one spec per domain: mnist, mnist:0-4, folder:PATH, pairs:PATH, audio:PATH,
    # hf:owner/name
    pair: str | None = None  # pairs: "0=5,1=6" by class, "class" same class names, "index" name or order; else unpaired
    direction: Literal["a2b", "b2a"] = "a2b"  # b2a exchanges the two domains, those of pairs: above all
    size: str | None = None  # "128", or "128x96" = width x height; by default the size that all pictures have
    channels: Literal[1, 3, 4] | None = None  # 1 grey, 3 colour, 4 with alpha; by default 1, or 3 if any is coloured
    fit: Fit = "crop"  # how a picture of another shape is brought to the size; "frame" pads, and enlarges none
    crop: float = 0.0  # random crops: pictures are kept larger than the size by this fraction
    flip: bool = False  # mirror left and right at random in training
    binarise: bool = False  # usual static binarisation: on with probability grey/255, drawn once from a fixed seed
    data_root: Path | None = None  # where named data sets lie; by default $ISTHMUS_DATA or ~/.cache/isthmus/data
    test_fraction: float = 0.1  # held out where the data have no test split of their own
    rate: int | None = None  # samples per second to which sounds are brought; by default what all their files have
    seconds: float | None = None  # sounds are cut into pieces of this length; by default the length that all have

    def __post_init__(self) -> None:
        if not self.data:
            raise ConfigError("no data named: give one spec for each domain, e.g. --data digits")
        if not 0 <= self.crop <= 1:
            raise ConfigError(f"crop is a fraction between 0 and 1, got {self.crop}")
        if not 0 < self.test_fraction < 1:
            raise ConfigError(f"test_fraction lies between 0 and 1, got {self.test_fraction}")
        for name in ("rate", "seconds"):
            if (value := getattr(self, name)) is not None and value <= 0:
                raise ConfigError(f"{name} must be positive, got {value}")
        self.width_height()

    def width_height(self) -> tuple[int, int] | None:
        """`size` as (width, height), or None where it is left to the data."""
        if self.size is None:
            return None
        match = re.fullmatch(r"([1-9]\d*)(?:x([1-9]\d*))?", self.size.strip().lower())
        if not match:
            raise ConfigError(f'size is "128", or "128x96" for width x height, got "{self.size}"')
        return int(match[1]), int(match[2] or match[1])

    def root(self) -> Path:
        """The folder of the named data sets."""
        return Path(self.data_root or os.environ.get("ISTHMUS_DATA") or "~/.cache/isthmus/data").expanduser()


@dataclass(frozen=True)
class Source:
    """One data spec, taken apart."""

    text: str  # as the user wrote it
    kind: str  # a named data set, or one of folder, pairs, audio, hf
    argument: str = ""  # path or repository
    classes: tuple[str, ...] | None = None  # the classes asked for, None for all

    def select(self, known: tuple[str, ...]) -> list[int]:
        """Labels of the classes asked for, in the order of the `known` names; a number may stand for a wordy name."""
        if self.classes is None:
            return list(range(len(known)))
        if not known:
            raise DataError(f'"{self.text}" asks for classes, but these data have none')
        numbered = {} if any(name.isdigit() for name in known) else {str(i): name for i, name in enumerate(known)}
        wanted = {numbered.get(name, name) for name in self.classes}
        if missing := sorted(wanted - set(known)):
            raise DataError(f'"{self.text}" asks for class {", ".join(missing)}; the classes are {shorten(known)}')
        return [label for label, name in enumerate(known) if name in wanted]


def parse(spec: str) -> Source:
    """Read a data spec: `NAME[:CLASSES]`, `folder:PATH[:CLASSES]`, `pairs:PATH`, and so on."""
    kind, _, rest = spec.partition(":")
    kind = kind.strip().lower()
    if kind in NAMED:
        return Source(spec, kind, classes=parse_classes(rest, spec) if ":" in spec else None)
    if kind not in WITH_PATH:
        raise DataError(unknown(spec, kind))
    if not rest.strip():
        raise DataError(f'"{spec}" lacks what follows the colon: {kind}:{"owner/name" if kind == "hf" else "PATH"}')
    path, classes = split_path(rest) if kind != "pairs" else (rest, None)
    return Source(spec, kind, path, None if classes is None else parse_classes(classes, spec))


def split_path(text: str) -> tuple[str, str | None]:
    """`PATH[:CLASSES]` into its parts; a drive letter, or a path that has colons itself, stays whole."""
    path, colon, classes = text.rpartition(":")
    if not colon or re.search(r"[/\\]", classes) or Path(text).expanduser().exists():
        return text, None
    return path, classes


def parse_classes(text: str, spec: str) -> tuple[str, ...]:
    """`0,3,5-7` into the names 0 3 5 6 7; what is no range of numbers is a name."""
    names: list[str] = []
    for item in (item.strip() for item in text.split(",")):
        span = re.fullmatch(r"(\d+)-(\d+)", item)
        if not item or (span and int(span[1]) > int(span[2])):
            raise DataError(f'"{spec}" has classes that cannot be read; write them as 0-4, 7 or 0,3,5-7')
        names += map(str, range(int(span[1]), int(span[2]) + 1)) if span else [item]
    return tuple(dict.fromkeys(names))


def unknown(spec: str, kind: str) -> str:
    """The message for a spec of no known kind."""
    if spec.strip() and Path(spec).expanduser().is_dir():
        return f'"{spec}" is a folder: write folder:{spec}'
    near = get_close_matches(kind, (*NAMED, *WITH_PATH), n=2, cutoff=0.5)
    hint = (
        f"did you mean {' or '.join(near)}?"
        if near
        else f"there are {', '.join(NAMED)}, and " + ("folder:PATH, pairs:PATH, audio:PATH, hf:owner/name")
    )
    return f'unknown data "{spec}": {hint}'


def shorten(names: tuple[str, ...] | list[str], limit: int = 20) -> str:
    """The first names of a long list, separated by commas."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
