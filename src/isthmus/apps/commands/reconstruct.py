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
    from isthmus.apps.plan import is_png, plan

    jobs = plan(inputs, out, [""], overwrite, sheet=True)

    from isthmus.apps.bulk import carry, opened, report, sheet
    from isthmus.training.checkpoint import write

    with opened(run, checkpoint) as trained:
        spec, keep = trained.model.spec, is_png(out)
        done = carry(trained, jobs, spec, lambda pictures: [trained.reconstruct(pictures)], keep=keep)
    if done.rows:
        write(out, sheet(done.rows))
    report(done.failed, len(jobs))
