"""Give pictures other classes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from isthmus.data.cache import Array


def swap(
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    inputs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[INPUT ...]")] = (),
    *,
    out: Path,
    classes: tuple[str, ...] = (),
    label: str | None = None,
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 8,
    seed: int = 0,
    overwrite: bool = False,
    checkpoint: str = "last",
) -> None:
    """Give pictures other classes, and keep all else that the model found in them.

    Args:
        run: The run folder, or a model on the Hugging Face hub: owner/name.
        inputs: Picture files, or folders of them; without any, test images of the data that the model was trained on.
        out: A .png file for a sheet with a row for each picture: itself, and beside it each class. Or a folder, where
            photo.jpg becomes photo-cat.png and photo-dog.png.
        classes: The classes to give, by name or number; by default all. With its own one a picture is reconstructed.
        label: The class that the pictures have; by default the model tells it.
        n: How many test images.
        seed: Of the choice of test images.
        overwrite: Replace files that are there.
        checkpoint: Which weights: last, best, or a folder's name in checkpoints/.
    """
    from isthmus.errors import ConfigError

    if n < 1:
        raise ConfigError(f"-n is the number of test images, at least 1, got {n}")

    from isthmus.apps.bulk import carry, opened, report, table
    from isthmus.apps.examples import examples
    from isthmus.apps.plan import arrange, is_png, plan
    from isthmus.training.checkpoint import write

    with opened(run, checkpoint) as trained:
        spec, wanted = trained.model.spec, trained.new_classes(classes or None)
        endings = [f"-{name}" for name in wanted]
        own: Iterator[str] | None = None
        if inputs:
            jobs = plan(inputs, out, endings, overwrite, sheet=True)
        else:
            pictures, own = examples(trained, run, n, seed)
            jobs = arrange(pictures, out, endings, overwrite, sheet=True)

        def swapped(pictures: list[Array]) -> list[list[Array]]:
            told = label if label or own is None else [*islice(own, len(pictures))]
            return trained.swap(pictures, wanted, told)

        done = carry(trained, jobs, spec, swapped, keep=is_png(out))
    if done.rows:
        write(out, table(done.rows))
    report(done.failed, len(jobs))
