"""Send pictures through a model's code and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro


def reconstruct(
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    inputs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[INPUT ...]")] = (),
    *,
    out: Path,
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 16,
    seed: int = 0,
    overwrite: bool = False,
    checkpoint: str = "last",
) -> None:
    """Send pictures, of any size and format, through a model's code and back.

    Args:
        run: The run folder, or a model on the Hugging Face hub: owner/name.
        inputs: Picture files, or folders of them; without any, test images of the data that the model was trained on.
        out: A .png file for a sheet with the reconstructions below the originals, or a folder for single pictures.
        n: How many test images.
        seed: Of the choice of test images.
        overwrite: Replace files that are there.
        checkpoint: Which weights: last, best, or a folder's name in checkpoints/.
    """
    from isthmus.apps.plan import arrange, is_png, plan
    from isthmus.errors import ConfigError

    if n < 1:
        raise ConfigError(f"-n is the number of test images, at least 1, got {n}")
    jobs = plan(inputs, out, [""], overwrite, sheet=True) if inputs else []

    from isthmus.apps.bulk import carry, opened, report, sheet
    from isthmus.apps.examples import examples
    from isthmus.training.checkpoint import write

    with opened(run, checkpoint) as trained:
        spec, keep = trained.model.spec, is_png(out)
        if not inputs:
            jobs = arrange(examples(trained, run, n, seed)[0], out, [""], overwrite, sheet=True)
        done = carry(trained, jobs, spec, lambda pictures: [trained.reconstruct(pictures)], keep=keep)
    if done.rows:
        write(out, sheet(done.rows))
    report(done.failed, len(jobs))
