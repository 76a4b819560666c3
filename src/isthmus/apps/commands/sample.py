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
    temperature: float = 1.0,
    seed: int | None = None,
    overwrite: bool = False,
    checkpoint: str = "last",
) -> None:
    """Draw new pictures.

    Args:
        run: The run folder, or a model on the Hugging Face hub: owner/name.
        out: A .png file for one sheet, or a folder for single pictures. Sounds are written as .wav, into one file one
            after the other, or into a folder; a .png shows their curves.
        n: How many; of a model of two domains that belong together, pairs.
        classes: Draw these classes in turn, by name or number, where the model knows classes.
        temperature: Spread of the draws: 1 is what the model learnt, less is more typical, 0 the most typical alone.
        seed: Makes the pictures the same each time.
        overwrite: Replace files that are there.
        checkpoint: Which weights: last, best, or a folder's name in checkpoints/.
    """
    from isthmus.apps.plan import check_folder, check_free, is_png, is_single
    from isthmus.errors import ConfigError

    if n < 1:
        raise ConfigError(f"-n is the number of pictures, at least 1, got {n}")
    single = is_single(out)
    if single:
        check_free([out], overwrite)
    else:
        check_folder(out)

    import torch

    from isthmus.apps.bulk import check_kind, content, opened, square
    from isthmus.data.work import watched
    from isthmus.training.checkpoint import write

    with opened(run, checkpoint) as trained, trained.seeded(seed):
        rate = trained.model.spec.rate
        drawn = trained.drawn(n, classes or None, temperature)
        parts = watched(drawn, math.ceil(n / trained.part), f"{n} pictures")
        if is_png(out):
            write(out, square(torch.cat([*parts]), columns=len(classes) or None))
        elif single:
            check_kind(out, rate)
            write(out, content(torch.cat([*parts]), rate))
        else:
            suffix = ".wav" if rate else ".png"
            files = [out / f"sample-{i:0{len(str(n))}}{suffix}" for i in range(1, n + 1)]
            check_free(files, overwrite)
            for file, image in zip(files, (image for part in parts for image in part), strict=True):
                write(file, content(image, rate))  # a part at a time, so that any number fits into memory
