"""Draw the missing part of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from isthmus.apps.region import Region

if TYPE_CHECKING:
    from isthmus.data.cache import Array


def complete(
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    inputs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[INPUT ...]")] = (),
    *,
    out: Path,
    keep: Region | None = None,
    part: float = 0.5,
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 8,
    examples: int = 8,
    temperature: float = 1.0,
    seed: int | None = None,
    overwrite: bool = False,
    checkpoint: str = "last",
) -> None:
    """Keep a part of each picture, and draw the rest anew so that it goes with that part.

    An autoregressive model draws from its distribution of the rest only if what is kept comes first in reading order,
    as the top does. Of any other part, each pixel goes with what is kept above and before it alone.

    Args:
        run: The run folder, or a model on the Hugging Face hub: owner/name.
        inputs: Picture files, or folders of them; without any, test images of the data that the model was trained on.
        out: A .png file for a sheet with a row for each picture: itself, what is kept, and the draws. Or a folder,
            where photo.jpg becomes photo-1.png, photo-2.png and so on.
        keep: What is kept: a side, or a corner; by default what the model must have, or else the top.
        part: How much of it is kept: of the height, of the width, or of both.
        n: Draws for each picture.
        examples: How many test images, where no pictures are named.
        temperature: Spread of the draws: 1 is what the model learnt, less is more typical, 0 the most typical alone.
        seed: Makes the draws, and the choice of test images, the same each time.
        overwrite: Replace files that are there.
        checkpoint: Which weights: last, best, or a folder's name in checkpoints/.
    """
    from isthmus.apps.plan import arrange, is_png, numbered, plan
    from isthmus.errors import ConfigError

    endings = numbered(n)
    if examples < 1:
        raise ConfigError(f"--examples is the number of test images, at least 1, got {examples}")
    jobs = plan(inputs, out, endings, overwrite, sheet=True) if inputs else []

    from isthmus.apps.bulk import carry, opened, report, table
    from isthmus.apps.examples import examples as test_images
    from isthmus.training.checkpoint import write

    with opened(run, checkpoint) as trained, trained.seeded(seed):
        known = trained.kept(keep, part)
        if not inputs:
            some, _ = test_images(trained, run, examples, seed or 0)
            jobs = arrange(some, out, endings, overwrite, sheet=True)

        def draws(pictures: list[Array]) -> list[list[Array]]:
            return [trained.complete(pictures, known, temperature=temperature) for _ in range(n)]

        done = carry(trained, jobs, trained.model.spec, draws, keep=is_png(out))
    if done.rows:
        pictures, *drawn = done.rows
        missing = ~known.numpy()
        write(out, table([pictures, [greyed(picture, missing) for picture in pictures], *drawn]))
    report(done.failed, len(jobs))


def greyed(picture: Array, missing: Array) -> Array:
    """The picture [H, W, C] in mid grey where it is `missing`, [H, W]."""
    import numpy as np

    return np.where(missing[..., None], np.iinfo(picture.dtype).max // 2, picture).astype(picture.dtype)
