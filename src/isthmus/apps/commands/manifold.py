"""Show what two dimensions of a code hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro


def manifold(
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    out: Path,
    steps: int = 20,
    dims: tuple[int, ...] = (0, 1),
    label: str | None = None,
    overwrite: bool = False,
    checkpoint: str = "last",
) -> None:
    """Show what two dimensions of a model's code hold: pictures of a grid of codes, which are equally probable.

    The places are quantiles of the normal distribution that codes are drawn from; all other dimensions are at its
    middle, 0. With a code of two dimensions this is everything the model can draw.

    Args:
        run: The run folder, or a model on the Hugging Face hub: owner/name.
        out: A .png file.
        steps: Pictures in each row and each column.
        dims: Two dimensions of the code, counted from 0: to the right, and upwards.
        label: The class of all pictures, by name or number, where codes have one; by default the first.
        overwrite: Replace a file that is there.
        checkpoint: Which weights: last, best, or a folder's name in checkpoints/.
    """
    from isthmus.apps.plan import check_free, check_png
    from isthmus.errors import ConfigError

    check_png("--out", out)
    if steps < 2:
        raise ConfigError(f"--steps must be at least 2, got {steps}")
    check_free([out], overwrite)

    import torch

    from isthmus.apps.bulk import opened, square
    from isthmus.core import Decodes, Swaps
    from isthmus.core import operations as on_codes
    from isthmus.training.checkpoint import write

    with opened(run, checkpoint) as trained:
        model = trained.model
        if not isinstance(model, Decodes):
            raise trained.unable(Decodes, "decode")
        size = on_codes.code_size(model)
        free = size - len(model.spec.classes) if isinstance(model, Swaps) else size
        if len(dims) != 2 or dims[0] == dims[1] or not all(0 <= dim < free for dim in dims):
            raise ConfigError(f"--dims are two dimensions of 0 to {free - 1}, got {' '.join(map(str, dims))}")
        codes = on_codes.manifold(size, steps, (dims[0], dims[1]))
        if isinstance(model, Swaps):
            (number,) = trained.labels(label or model.spec.classes[0])
            codes = model.swap(codes.to(model.device), torch.full([len(codes)], number, device=model.device)).cpu()
        elif label is not None:
            raise ConfigError(f"the codes of this {trained.name} have no class; leave out --label")
        write(out, square(trained.decode(codes), columns=steps))
