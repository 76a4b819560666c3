"""Many pictures through a trained model and into files, a part at a time."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from isthmus.apps.forms import to_array
from isthmus.apps.plan import Job
from isthmus.apps.trained import Trained
from isthmus.core import Spec
from isthmus.data.cache import Array
from isthmus.data.pictures import enlarge, grid, to_png_bytes
from isthmus.data.read import fit, to_8bit, to_channels
from isthmus.data.work import threads, watched
from isthmus.errors import DataError
from isthmus.training.checkpoint import write

COLUMNS = 16  # pictures side by side in a sheet
CONSOLE = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)


class Done(NamedTuple):
    """What became of the pictures."""

    rows: list[list[Array]]  # the pictures read, and those made of them draw by draw; empty unless asked for
    failed: list[str]  # why pictures could not be read


def carry(
    trained: Trained,
    jobs: Sequence[Job],
    spec: Spec,
    function: Callable[[list[Array]], list[list[Array]]],
    *,
    keep: bool = False,
) -> Done:
    """Read the pictures in domain `spec`, and write what `function` makes of them: a list for each draw.

    What cannot be read is named on stderr and left out; `keep` collects the rows of a sheet. Raises OutputError where
    a file cannot be written.
    """
    failed: list[str] = []
    kept: list[list[list[Array]]] = []
    for part, pictures in readable(trained, jobs, spec, failed):
        draws = function(pictures)
        for job, made in zip(part, zip(*draws, strict=True), strict=True):
            for file, picture in zip(job.outputs, made, strict=False):  # no outputs where only a sheet is wanted
                write(file, to_png_bytes(picture))
        if keep:
            kept.append([pictures, *draws])
    return Done([[p for piece in row for p in piece] for row in zip(*kept, strict=True)], failed)


def readable(
    trained: Trained, jobs: Sequence[Job], spec: Spec, failed: list[str]
) -> Iterator[tuple[list[Job], list[Array]]]:
    """The pictures that can be read, in parts, as the model sees them; why others cannot goes to `failed`."""
    parts = [jobs[i : i + trained.part] for i in range(0, len(jobs), trained.part)]

    def read(job: Job) -> Array | DataError:
        try:
            return trained.fitted(job.source, spec)
        except DataError as error:
            return error

    with ThreadPoolExecutor(threads()) as pool:
        for part in watched(parts, len(parts), f"{len(jobs)} pictures"):
            good: list[tuple[Job, Array]] = []
            for job, picture in zip(part, pool.map(read, part), strict=True):
                if isinstance(picture, DataError):
                    CONSOLE.print(f"left out: {picture}")
                    failed.append(str(picture))
                else:
                    good.append((job, picture))
            if good:
                yield [job for job, _ in good], [picture for _, picture in good]


def report(failed: Sequence[str], total: int) -> None:
    """Raises DataError if any picture failed; by then the others are written."""
    if failed:
        raise DataError(f"{len(failed)} of {total} pictures could not be read, e.g. {failed[0]}")


def sheet(rows: Sequence[Sequence[Array]]) -> bytes:
    """A PNG file of rows of equally many pictures, below each other; long rows go on in the next band of rows."""
    pictures = [picture for row in rows for picture in row]
    height, width, channels = (max(picture.shape[i] for picture in pictures) for i in range(3))
    columns = min(COLUMNS, len(rows[0]))
    blank = np.full((height, width, channels), 255, np.uint8)
    tiles = []
    for start in range(0, len(rows[0]), columns):
        for row in rows:
            band = [to_8bit(fit(to_channels(p, channels), width, height, "pad")) for p in row[start : start + columns]]
            tiles += band + [blank] * (columns - len(band))
    images = torch.from_numpy(np.stack(tiles)).permute(0, 3, 1, 2)
    return to_png_bytes(grid(images, columns))


def square(images: Tensor, columns: int | None = None) -> bytes:
    """A PNG file of images [n, channels, height, width], about as many in a row as below each other."""
    return to_png_bytes(grid(images, columns or math.ceil(math.sqrt(len(images)))))


def film(images: Tensor, milliseconds: int = 120) -> bytes:
    """A GIF file that shows images [n, channels, height, width] one after the other, without end."""
    from PIL.Image import fromarray

    arrays = [to_array(image, np.dtype(np.uint8)) for image in enlarge(images)]
    first, *others = [fromarray(array[..., 0] if array.shape[2] == 1 else array) for array in arrays]
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=milliseconds, loop=0)
    return buffer.getvalue()
