"""Draw new pictures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import tyro


def sample(
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    out: Path,
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64,
    classes: tuple[str, ...] = (),
    seed: int | None = None,
    overwrite: bool = False,
    checkpoint: str = "last",
) -> None:
    """Draw new pictures.

    Args:
        run: The run folder, or a model on the Hugging Face hub: owner/name.
        out: A .png file for one sheet, or a folder for single pictures.
        n: How many.
        classes: Draw these classes in turn, by name or number, where the model knows classes.
        seed: Makes the pictures the same each time.
        overwrite: Replace files that are there.
        checkpoint: Which weights: last, best, or a folder's name in checkpoints/.
    """
    from isthmus.apps.plan import check_folder, check_free, is_png
    from isthmus.errors import ConfigError

    if n < 1:
        raise ConfigError(f"-n is the number of pictures, at least 1, got {n}")
    one_sheet = is_png(out)
    if not one_sheet:
        check_folder(out)
    files = [out] if one_sheet else [out / f"sample-{i:0{len(str(n))}}.png" for i in range(1, n + 1)]
    check_free(files, overwrite)

    from isthmus.apps.bulk import square
    from isthmus.apps.trained import load
    from isthmus.data.pictures import to_png_bytes
    from isthmus.data.work import watched
    from isthmus.training.checkpoint import write

    trained = load(run, checkpoint)
    if one_sheet:
        write(out, square(trained.sample(n, classes or None, seed), columns=len(classes) or None))
        return
    with trained.seeded(seed):  # a part at a time, so that any number fits into memory
        parts = watched(trained.drawn(n, classes or None), math.ceil(n / trained.part), f"{n} pictures")
        for file, image in zip(files, (image for part in parts for image in part), strict=True):
            write(file, to_png_bytes(image))
