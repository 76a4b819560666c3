"""Send pictures through a model's code and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro


def reconstruct(
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    inputs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="INPUT [INPUT ...]")],
    out: Path,
    overwrite: bool = False,
    checkpoint: str = "last",
) -> None:
    """Send pictures, of any size and format, through a model's code and back.

    Args:
        run: The run folder, or a model on the Hugging Face hub: owner/name.
        inputs: Picture files, or folders of them.
        out: A .png file for a sheet with the reconstructions below the originals, or a folder for single pictures.
        overwrite: Replace files that are there.
        checkpoint: Which weights: last, best, or a folder's name in checkpoints/.
    """
    from isthmus.apps.plan import Job, check_free, find, is_png, plan

    if one_sheet := is_png(out):
        jobs = [Job(file, ()) for file in find(inputs, out)]
        check_free([out], overwrite, inputs=[job.source for job in jobs])
    else:
        jobs = plan(inputs, out, 1, overwrite)

    from isthmus.apps.bulk import carry, report, sheet
    from isthmus.apps.trained import load
    from isthmus.training.checkpoint import write

    trained = load(run, checkpoint)
    done = carry(trained, jobs, trained.model.spec, lambda pictures: [trained.reconstruct(pictures)], keep=one_sheet)
    if done.rows:
        write(out, sheet(done.rows))
    report(done.failed, len(jobs))
