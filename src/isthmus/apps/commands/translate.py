"""Carry pictures to another domain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import tyro


def translate(
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    inputs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="INPUT [INPUT ...]")],
    out: Path,
    to: str = "b",
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 1,
    style: tuple[Path, ...] = (),
    tile: bool = False,
    seed: int | None = None,
    grid: Path | None = None,
    overwrite: bool = False,
    checkpoint: str = "last",
) -> None:
    """Carry pictures, of any size and format, to another domain.

    Args:
        run: The run folder, or a model on the Hugging Face hub: owner/name.
        inputs: Picture files, or folders of them.
        out: The folder to write to: photo.jpg becomes photo.png there. Or one .png file, for one picture.
        to: The domain to carry to: b is the second data set that the model was trained on, a the first; of a model of
            many domains in one data set, the name of the class.
        n: Draws for each picture, where the model is random.
        style: A picture of that domain whose style to give, or several for their mean; else styles are drawn.
        tile: Keep the pictures' own sizes, however large, and carry them tile by tile.
        seed: Makes the draws the same each time.
        grid: Also write a sheet: the pictures, and below each what became of it.
        overwrite: Replace files that are there.
        checkpoint: Which weights: last, best, or a folder's name in checkpoints/.
    """
    from isthmus.apps.plan import check_free, check_png, numbered, plan

    jobs = plan(inputs, out, numbered(n), overwrite)
    if grid is not None:
        check_png("--grid", grid)
        check_free([grid], overwrite, inputs=[job.source for job in jobs])

    from isthmus.apps.bulk import carry, opened, report, sheet
    from isthmus.training.checkpoint import write

    with opened(run, checkpoint) as trained, trained.seeded(seed):
        source, target, _ = trained.route(to, style or None)

        def draws(pictures: list[Any]) -> list[list[Any]]:
            return [trained.translate(pictures, to, style=style or None, tile=tile) for _ in range(n)]

        done = carry(trained, jobs, None if tile else source, draws, to=target, keep=grid is not None)
    if grid is not None and done.rows:
        write(grid, sheet(done.rows))
    report(done.failed, len(jobs))
