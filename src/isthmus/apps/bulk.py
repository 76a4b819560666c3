"""Many pictures through a trained model and into files, a part at a time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from isthmus.apps.film import Film, Frame, lasting, reading, writing
from isthmus.apps.forms import pixels
from isthmus.apps.plan import Job
from isthmus.apps.trained import Trained, load
from isthmus.apps.video import is_video
from isthmus.core import Spec
from isthmus.core.steps import watching
from isthmus.data import audio
from isthmus.data.cache import Array
from isthmus.data.pictures import grid, to_png_bytes
from isthmus.data.read import fit, to_8bit, to_channels
from isthmus.data.work import ahead, drawn_ahead, watched, workers
from isthmus.errors import ConfigError, DataError
from isthmus.training.checkpoint import whole_file, write

COLUMNS = 16  # pictures side by side in a sheet
CONSOLE = Console(stderr=True, emoji=False, soft_wrap=True, highlight=False, markup=False)


@contextmanager
def opened(run: str, checkpoint: str) -> Iterator[Trained]:
    """The trained model; inside the block, what takes it long has a progress bar."""
    with watching(watched):
        yield load(run, checkpoint)


class Done(NamedTuple):
    """What became of the pictures."""

    rows: list[list[Array]]  # the pictures read, and those made of them draw by draw; empty unless asked for
    failed: list[str]  # why pictures could not be read


def carry(
    trained: Trained,
    jobs: Sequence[Job],
    spec: Spec | None,
    function: Callable[[list[Array]], list[list[Array]]],
    *,
    to: Spec | None = None,
    keep: bool = False,
) -> Done:
    """Read the pictures in domain `spec`, and write what `function` makes of them, in domain `to` if that is another.

    Without `spec` pictures are read as they are, one by one.

    It makes a list for each draw. What cannot be read is named on stderr and left out; `keep` collects the rows of a
    sheet. Raises OutputError where a file cannot be written, ConfigError for one that is of another kind.

    While `function` is at work, the next pictures are decoded and the last ones encoded, in threads.
    """
    made_of = to or spec
    rate = made_of.rate if made_of else 0
    failed: list[str] = []
    kept: list[list[list[Array]]] = []

    def made() -> Iterator[tuple[Path, Array]]:
        for part, pictures in readable(trained, jobs, spec, failed):
            draws = function(pictures)
            if keep:  # what keeps its own size may be large, and a sheet holds all of them
                rows = [pictures, *draws]
                kept.append(rows if spec else [[small(picture, to) for picture in row] for row in rows])
            for job, results in zip(part, zip(*draws, strict=True), strict=True):
                for file, picture in zip(job.outputs, results, strict=False):  # no outputs where only a sheet is wanted
                    check_kind(file, rate)
                    yield file, picture

    with workers() as pool:
        for file, data in ahead(pool, lambda item: (item[0], content(item[1], rate)), made(), part_size(trained, spec)):
            write(file, data)
    return Done([[p for piece in row for p in piece] for row in zip(*kept, strict=True)], failed)


def readable(
    trained: Trained, jobs: Sequence[Job], spec: Spec | None, failed: list[str]
) -> Iterator[tuple[list[Job], list[Array]]]:
    """The pictures that can be read, in parts, as the model sees them; why others cannot goes to `failed`.

    Without `spec` they come as they are, one by one.
    """
    size = part_size(trained, spec)

    def read(job: Job) -> tuple[Job, Array | DataError]:
        try:
            return job, trained.fitted(job.source, spec) if spec else pixels(job.source)
        except DataError as error:
            return job, error

    with workers() as pool:
        found = watched(ahead(pool, read, jobs, size), len(jobs), f"{len(jobs)} pictures")
        while part := [*islice(found, size)]:
            good: list[tuple[Job, Array]] = []
            for job, picture in part:
                if isinstance(picture, DataError):
                    leave_out(picture, failed)
                else:
                    good.append((job, picture))
            if good:
                yield [job for job, _ in good], [picture for _, picture in good]


def small(picture: Array, spec: Spec | None) -> Array:
    """A picture brought to the size of `spec`, if there is one."""
    return fit(picture, spec.width, spec.height, "pad") if spec else picture


def part_size(trained: Trained, spec: Spec | None) -> int:
    """How many pictures go through the model at once: of those that keep their sizes one."""
    return trained.part if spec else 1


def leave_out(error: DataError, failed: list[str]) -> None:
    """Say why a picture cannot be read, at once and in the end."""
    CONSOLE.print(f"left out: {error}")
    failed.append(str(error))


def carry_film(
    trained: Trained, path: Path, file: Path, to: str | None = None, style: Any = None, *, tile: bool = False
) -> None:
    """Carry the film in `path` as `Trained.film` does, and write it to `file`.

    While the model is at work, the next frames are decoded and the last ones encoded. Raises DataError if the film
    cannot be read to its end, or not be made a film of that kind, and OutputError where it cannot be written; then
    there is no new file, and an older one stays.
    """
    source, target, _ = trained.route(to)
    if source.rate or target.rate:
        raise ConfigError(f"{path} is a film, and this {trained.name} carries sounds")
    count = 1 if tile else trained.part
    filmed = is_video(file) and not is_video(path)
    times: deque[tuple[Fraction, Fraction]] = deque()  # of the frames under way

    def seen(film: Film) -> Iterator[Array]:
        for frame in lasting(film.frames) if filmed else film.frames:
            times.append((frame.start, frame.seconds))
            yield frame.pixels if tile else trained.fitted(frame.pixels, source)

    with reading(path) as film, workers(1) as reader, workers(1) as writer, whole_file(file) as unfinished:
        written = writing(unfinished, file.suffix.lower(), film, sound=path)
        carried = trained.film(drawn_ahead(reader, seen(film), count), to, style=style, tile=tile)
        frames = (Frame(pixels, *times.popleft()) for pixels in watched(carried, film.count, str(path)))
        deque(ahead(writer, written.add, frames, count), maxlen=0)
        written.close()


def check_kind(file: Path, rate: int) -> None:
    """Raises ConfigError if a file is not named for what is made: sounds if there is a `rate`, else pictures."""
    kind, suffix = ("sounds", ".wav") if rate else ("pictures", ".png")
    if file.suffix.lower() != suffix:
        raise ConfigError(f"{file}: the model makes {kind}, which are written as {suffix}; give such a name as --out")


def content(image: Tensor | Array, rate: int) -> bytes:
    """A PNG file, or a WAV file of `rate` samples per second where that is not 0."""
    return audio.encode(image, rate) if rate else to_png_bytes(image)


def report(failed: Sequence[str], total: int) -> None:
    """Raises DataError if any picture failed; by then the others are written."""
    if failed:
        raise DataError(f"{len(failed)} of {total} pictures could not be read, e.g. {failed[0]}")


def sheet(rows: Sequence[Sequence[Array]]) -> bytes:
    """A PNG file of rows of equally many pictures, below each other; long rows go on in the next band of rows."""
    columns = min(COLUMNS, len(rows[0]))
    tiles, blank = alike(rows)
    shown: list[Array] = []
    for start in range(0, len(rows[0]), columns):
        for row in tiles:
            band = row[start : start + columns]
            shown += band + [blank] * (columns - len(band))
    return laid_out(shown, columns)


def table(columns: Sequence[Sequence[Array]]) -> bytes:
    """A PNG file of columns of equally many pictures, beside each other."""
    tiles, _ = alike(columns)
    return laid_out([picture for row in zip(*tiles, strict=True) for picture in row], len(columns))


def alike(rows: Sequence[Sequence[Array]]) -> tuple[list[list[Array]], Array]:
    """The pictures with 8 bits, and with the height, width and channels of the largest; and a white one."""
    height, width, channels = (max(picture.shape[i] for row in rows for picture in row) for i in range(3))
    tiles = [[to_8bit(fit(to_channels(p, channels), width, height, "pad")) for p in row] for row in rows]
    return tiles, np.full((height, width, channels), 255, np.uint8)


def laid_out(tiles: Sequence[Array], columns: int) -> bytes:
    return to_png_bytes(grid(torch.from_numpy(np.stack(tiles)).permute(0, 3, 1, 2), columns))


def square(images: Tensor, columns: int | None = None) -> bytes:
    """A PNG file of images [n, channels, height, width], about as many in a row as below each other."""
    return to_png_bytes(grid(images, columns or math.ceil(math.sqrt(len(images)))))
