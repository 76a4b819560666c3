"""Lead from one picture to another through codes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from torch import Tensor


def interpolate(
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    pictures: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[START END ...]")] = (),
    *,
    out: Path,
    seeds: Annotated[tuple[int, ...], tyro.conf.arg(metavar="[SEED ...]")] = (),
    steps: int = 8,
    spherical: bool = False,
    loop: bool = False,
    fps: float = 8,
    overwrite: bool = False,
    checkpoint: str = "last",
) -> None:
    """Lead from one picture to another, and on to more, through codes between theirs.

    Args:
        run: The run folder, or a model on the Hugging Face hub: owner/name.
        pictures: The picture to start from, the one to arrive at, and others to go on to.
        seeds: Lead between the codes that are drawn with these seeds instead of those of pictures, as a model can that
            has codes for none.
        out: A .png file, with a row for each way from one picture to the next; or a film: .gif, .apng, .webp, or .mp4
            (with the package av). Of sounds also a .wav file, with one after the other.
        steps: Pictures from one to the next, with both ends.
        spherical: Keep the length of the codes on the way, as suits codes that are Gaussian.
        loop: Go back to the start on the same way, so that a film has no jump.
        fps: Pictures for each second of a film.
        overwrite: Replace a file that is there.
        checkpoint: Which weights: last, best, or a folder's name in checkpoints/.
    """
    from isthmus.apps.film import SUFFIXES, check_video, film
    from isthmus.apps.plan import check_free
    from isthmus.errors import ConfigError

    suffix = out.suffix.lower()
    if suffix not in (".png", ".wav", *SUFFIXES):
        raise ConfigError(
            f"--out {out} must be a name that ends in .png, for rows of pictures, or for a film in "
            f"{', '.join(SUFFIXES)}"
        )
    if pictures and seeds:
        raise ConfigError("give pictures or --seeds to interpolate between, not both")
    if len(pictures or seeds) < 2:
        raise ConfigError(
            f"isthmus interpolate needs START and END, at least two pictures or --seeds, got {len(pictures or seeds)}"
        )
    if fps <= 0:
        raise ConfigError(f"--fps must be positive, got {fps:g}")
    if loop and suffix == ".png":
        raise ConfigError("--loop is for films, and --out names a .png: rows of pictures go one way")
    check_video(f"--out {out}", "; or end the name in .gif")
    check_free([out], overwrite, inputs=pictures)

    import torch

    from isthmus.apps.bulk import check_kind, content, opened, square
    from isthmus.apps.forms import to_model
    from isthmus.data.pictures import enlarge, to_array
    from isthmus.training.checkpoint import write

    with opened(run, checkpoint) as trained:
        rate = trained.model.spec.rate
        if suffix == ".wav":
            check_kind(out, rate)
        ends: list[Tensor | int] = [*seeds] or [
            to_model(picture, trained.model.spec, trained.fit) for picture in pictures
        ]
        images = trained.path(torch.stack([trained.code_of(end) for end in ends]), steps, spherical)
    if suffix == ".png":
        rows = images.unfold(0, steps, steps - 1)  # [ways, channels, height, width, steps]
        write(out, square(rows.movedim(-1, 1).flatten(0, 1), columns=steps))
        return
    if loop:
        images = torch.cat([images, images[1:-1].flip(0)])
    write(out, content(images, rate) if suffix == ".wav" else film([*map(to_array, enlarge(images))], suffix, fps))
