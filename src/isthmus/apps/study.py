"""A study with people as judges: one HTML file that shows pairs of pictures and needs nothing beside it.

Two-alternative forced choice as in pix2pix (Isola et al., 2017, arXiv:1611.07004, section 3.2): both pictures are seen
for one second, any time may be taken to answer, and the first 10 of 50 trials are practice with feedback. Everyone sees
the same pairs, so that their agreement can be measured; order and sides are each participant's own.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from random import Random
from typing import Any, Literal, NamedTuple

import torch
from jinja2 import Environment, PackageLoader

from isthmus.data.cache import Array, digest
from isthmus.data.files import scan
from isthmus.data.options import DataOptions, Split, parse
from isthmus.data.pictures import data_uri, to_array
from isthmus.data.read import fit, read, to_8bit, to_channels
from isthmus.errors import ConfigError, DataError
from isthmus.evaluation.sets import open_set

Mode = Literal["real", "prefer"]  # A is real and B generated, or A and B are two models
QUESTIONS = {"real": "Which picture is real?", "prefer": "Which picture do you prefer?"}
NAMES = {"real": "real,generated", "prefer": "A,B"}


@dataclass(frozen=True, kw_only=True)
class Design:
    """What the participants of a study share, beside the pictures."""

    mode: Mode
    question: str
    names: tuple[str, str]  # of A and B
    trials: int  # practice among them
    practice: int
    exposure: int  # milliseconds, 0 for no limit
    seed: int

    @classmethod
    def of(cls, mode: Mode, question: str | None, names: str | None, **numbers: int) -> Design:
        """With the usual question and names where none are given. Raises ConfigError for what makes no study."""
        pair = [name.strip() for name in (names or NAMES[mode]).split(",")]
        if len(pair) != 2 or not all(pair) or pair[0] == pair[1]:
            raise ConfigError(f'--names are two, with a comma between, such as "real,generated"; got "{names}"')
        design = cls(mode=mode, question=question or QUESTIONS[mode], names=(pair[0], pair[1]), **numbers)
        if not 0 <= design.practice < design.trials:
            raise ConfigError(
                f"--trials must be positive and --practice fewer than these, got {design.trials} and {design.practice}"
            )
        if design.exposure < 0:
            raise ConfigError(f"--exposure is in milliseconds, or 0 for no limit, got {design.exposure}")
        return design


@dataclass(frozen=True)
class Pictures:
    """One set that trials are drawn from."""

    spec: str
    names: Sequence[str]  # of files, one for each picture; none where data have no files
    count: int
    read: Callable[[int], Array]  # one picture [H, W, C], uint8, C in 1, 3

    def by_name(self) -> dict[str, int]:
        """Places of pictures by their names without suffix. Raises DataError where these do not tell them apart."""
        places = {str(PurePath(name).with_suffix("")): i for i, name in enumerate(self.names)}
        if not self.names or len(places) < len(self.names):
            raise DataError(f'--reference pairs by file name, and "{self.spec}" has none, or one name twice')
        return places


def open_pictures(spec: str, split: Split, options: DataOptions) -> Pictures:
    """A folder with its pictures as they are, or a data spec as `isthmus compare` takes it."""
    root = whole_folder(spec)
    if root is None:
        images = open_set(spec, split, options)
        return Pictures(spec, images.names, len(images), lambda i: to_array(images.take(torch.tensor([i])).pixels[0]))
    files, size = list(scan(root, spec)), options.width_height()

    def picture(i: int) -> Array:
        pixels = to_8bit(read(root / files[i]))
        pixels = to_channels(pixels, 3) if pixels.shape[2] == 4 else pixels
        return fit(pixels, *size) if size else pixels

    return Pictures(spec, files, len(files), picture)


def whole_folder(spec: str) -> Path | None:
    """The folder that a spec names, if it takes all of it."""
    if (path := Path(spec).expanduser()).is_dir():
        return path
    source = parse(spec)
    return Path(source.argument).expanduser() if source.kind == "folder" and source.classes is None else None


def check_different(specs: Sequence[str], splits: Sequence[Split]) -> None:
    """Raises ConfigError if two sets are the same one."""
    sets = [root.resolve() if (root := whole_folder(s)) else (s, split) for s, split in zip(specs, splits, strict=True)]
    if sets[0] == sets[1]:
        raise ConfigError(f'A and B are both "{specs[0]}"; people are to tell two sets apart')


def draw(sets: Sequence[Pictures], trials: int, random: Random) -> list[tuple[int, ...]]:
    """For each trial a picture of each set, none of them twice; of three sets those with the same file name.

    Raises DataError where there are too few.
    """
    if len(sets) == 2:
        for one in sets:
            if one.count < trials:
                raise DataError(
                    f'{trials} trials take {trials} pictures of each set, and "{one.spec}" has {one.count}: '
                    f"say --trials {one.count} or fewer (--practice among them), or add pictures"
                )
        return list(zip(*(random.sample(range(one.count), trials) for one in sets), strict=True))
    places = [one.by_name() for one in sets]
    common = sorted(set.intersection(*map(set, places)))
    if len(common) < trials:
        raise DataError(
            f"{trials} trials take {trials} file names that A, B and --reference share, and they share {len(common)} "
            f"({', '.join(f'{one.names[0]} in {one.spec}' for one in sets)}): rename, or lower --trials"
        )
    return [tuple(place[name] for place in places) for name in random.sample(common, trials)]


class Page(NamedTuple):
    """A study that is ready to be written."""

    id: str
    html: str
    note: str  # what gives the answer away, or nothing


def make_page(sets: Sequence[Pictures], design: Design) -> Page:
    """The study of two sets, and of references as a third one."""
    random = Random(design.seed)
    drawn = draw(sets, design.trials, random)
    trials = [[one.read(i) for one, i in zip(sets, trial, strict=True)] for trial in drawn]
    pictures = [picture for trial in trials for picture in trial]
    order = random.sample(range(len(pictures)), len(pictures))  # so that their places do not tell the sets
    width = len(sets)
    pairs = [[order.index(width * k + i) for i in range(width)] for k in range(design.trials)]
    shown: dict[str, Any] = {**asdict(design), "pairs": pairs}
    uris = [data_uri(pictures[i]) for i in order]
    shown["id"] = digest(shown, uris)[:12]
    page = Environment(loader=PackageLoader("isthmus.apps"), autoescape=True).get_template("study.html")
    hidden = base64.b64encode(json.dumps(shown).encode()).decode()  # who looks at the source does not read answers
    largest = max(256, *(max(picture.shape) for picture in pictures))  # the page enlarges what is smaller
    html = page.render(design=design, reference=width == 3, plan=hidden, pictures=uris, largest=largest)
    return Page(shown["id"], html, giveaway(*([trial[i] for trial in trials] for i in (0, 1))))


def giveaway(a: Sequence[Array], b: Sequence[Array]) -> str:
    """A sentence where size or colour alone tell the pictures of both sets apart."""
    sizes = [{picture.shape[:2] for picture in pictures} for pictures in (a, b)]
    if sizes[0].isdisjoint(sizes[1]):
        return "no picture of A has the size of one of B, which gives the answer away; --size makes them equal"
    grey = [{bool((picture == picture[..., :1]).all()) for picture in pictures} for pictures in (a, b)]
    if grey[0].isdisjoint(grey[1]):
        return "of A and B one is grey and one coloured, which gives the answer away"
    return ""
