"""Lead from one picture to another through codes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro


def interpolate(
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    start: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="START")],
    end: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="END")],
    out: Path,
    steps: int = 8,
    spherical: bool = False,
    overwrite: bool = False,
    checkpoint: str = "last",
) -> None:
    """Lead from one picture to another, through codes between theirs.

    Args:
        run: The run folder, or a model on the Hugging Face hub: owner/name.
        start: The picture to start from.
        end: The picture to arrive at.
        out: A .png file for a row of pictures, or a .gif file for a film.
        steps: Pictures, with both ends.
        spherical: Keep the length of the codes on the way, as suits codes that are Gaussian.
        overwrite: Replace a file that is there.
        checkpoint: Which weights: last, best, or a folder's name in checkpoints/.
    """
    from isthmus.apps.plan import check_free
    from isthmus.errors import ConfigError

    if out.suffix.lower() not in (".png", ".gif"):
        raise ConfigError(
            f"--out {out} must be a name that ends in .png, for a row of pictures, or in .gif, for a film"
        )
    check_free([out], overwrite, inputs=[start, end])

    from isthmus.apps.bulk import film, square
    from isthmus.apps.forms import to_model
    from isthmus.apps.trained import load
    from isthmus.training.checkpoint import write

    trained = load(run, checkpoint)
    spec = trained.model.spec
    first, last = (to_model(picture, spec, trained.fit) for picture in (start, end))
    images = trained.interpolate(first, last, steps, spherical)
    write(out, film(images) if out.suffix.lower() == ".gif" else square(images, columns=steps))
