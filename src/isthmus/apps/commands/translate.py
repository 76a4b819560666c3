"""Carry pictures to another domain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import tyro


def translate(
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    inputs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="INPUT [INPUT ...]")],
    out: Path = Path("translated"),
    to: str | None = None,
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 1,
    style: tuple[Path, ...] = (),
    tile: bool = False,
    seed: int | None = None,
    grid: Path | None = None,
    overwrite: bool = False,
    checkpoint: str = "last",
) -> None:
    """Carry pictures and films, of any size and format, to another domain.

    Args:
        run: The run folder, or a model on the Hugging Face hub: owner/name.
        inputs: Picture files, films (.mp4, .webm, .gif and the like; videos take the package av), or folders of them.
        out: The folder to write to: photo.jpg becomes photo.png there, and clip.mp4 a clip.mp4. Or one file, for one
            picture or film.
        to: The domain to carry to: b (the default) is the second data set that the model was trained on, a the first;
            of a model of many domains in one data set, the name of the class. Not needed where there is one alone.
        n: Draws for each picture or film, where the model is random. A film is carried in one draw from end to end.
        style: A picture of that domain whose style to give, or several, or a folder, for their mean; else styles are
            drawn.
        tile: Keep the pictures' own sizes, however large, and carry them tile by tile.
        seed: Makes the draws the same each time.
        grid: Also write a sheet: the pictures, and below each what became of it. Films are not in it.
        overwrite: Replace files that are there.
        checkpoint: Which weights: last, best, or a folder's name in checkpoints/.
    """
    from isthmus.apps.plan import check_apart, check_different, check_free, check_png, find, numbered, plan

    examples = [*find(style, out)] if style else []
    check_apart(out, style)
    jobs = plan(inputs, out, numbered(n), overwrite, films=True, beside=examples)
    if grid is not None:
        check_png("--grid", grid)
        check_different([grid, *(file for job in jobs for file in job.outputs)])
        check_free([grid], overwrite, inputs=[*(job.source for job in jobs), *examples])

    from isthmus.apps.bulk import carry, carry_film, leave_out, opened, report, sheet
    from isthmus.errors import DataError
    from isthmus.training.checkpoint import write

    with opened(run, checkpoint) as trained, trained.seeded(seed):
        source, target, _ = trained.route(to)
        given = trained.style_of(examples, to) if examples else None

        def draws(pictures: list[Any]) -> list[list[Any]]:
            return [trained.translate(pictures, to, style=given, tile=tile) for _ in range(n)]

        stills = [job for job in jobs if not job.film]
        done = carry(trained, stills, None if tile else source, draws, to=target, keep=grid is not None)
        for job in jobs:
            try:
                for file in job.outputs if job.film else ():
                    carry_film(trained, job.source, file, to, given, tile=tile)
            except DataError as error:
                leave_out(error, done.failed)
    if grid is not None and done.rows:
        write(grid, sheet(done.rows))
    if len(done.failed) < len(jobs):
        print(f"translations are in {out}")
    report(done.failed, len(jobs))
