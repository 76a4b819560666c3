"""Show what single dimensions of a code do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from torch import Tensor

    from isthmus.apps.trained import Trained

SHOWN = 10  # dimensions by default


def traverse(
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    out: Path,
    dims: Annotated[tuple[str, ...], tyro.conf.arg(metavar="[DIM ...]")] = (),
    steps: int = 10,
    seed: int | None = None,
    picture: Path | None = None,
    classes: tuple[str, ...] = (),
    overwrite: bool = False,
    checkpoint: str = "last",
) -> None:
    """Show what single dimensions of a model's code do: a row for each, its values along the columns, others fixed.

    The values are equally probable ones of the normal distribution that codes are drawn from, from low to high. The
    other dimensions are at its middle, 0, or as --seed or --picture says.

    Args:
        run: The run folder, or a model on the Hugging Face hub: owner/name.
        out: A .png file.
        dims: Dimensions of the code, counted from 0; by default the first ten. A range such as 62-71 is one choice of
            several, as a categorical code is: its row has a column for each.
        steps: Pictures in the row of a dimension.
        seed: Start from the code that is drawn with this seed.
        picture: Start from the code of this picture.
        classes: A row for each of these classes, by name or number, where codes have one; by default that of the start.
        overwrite: Replace a file that is there.
        checkpoint: Which weights: last, best, or a folder's name in checkpoints/.
    """
    from isthmus.apps.plan import check_free, check_png
    from isthmus.errors import ConfigError

    check_png("--out", out)
    if steps < 2:
        raise ConfigError(f"--steps must be at least 2, got {steps}")
    if seed is not None and picture is not None:
        raise ConfigError("a traverse starts from one code; give --seed or --picture, not both")
    check_free([out], overwrite, inputs=[picture] if picture else [])

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
        chosen, codes = read_dims(dims, free), starts(trained, picture if seed is None else seed, classes)
        rows = [trained.decode(on_codes.traverse(code, row, steps)) for row in chosen for code in codes]
    columns = max(map(len, rows))
    white = [row.new_ones(columns - len(row), *row.shape[1:]) for row in rows]
    write(out, square(torch.cat([part for pair in zip(rows, white, strict=True) for part in pair]), columns))


def read_dims(texts: tuple[str, ...], size: int) -> list[tuple[int, ...]]:
    """Each text, "5" or "3-7", as its dimensions; without any the first. Raises ConfigError for any not in `size`."""
    from isthmus.errors import ConfigError

    found = []
    for text in texts or map(str, range(min(SHOWN, size))):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
        ends = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not ends[0] <= ends[1] < size:
            raise ConfigError(f"--dims are dimensions of 0 to {size - 1}, or ranges such as 3-7, got {text}")
        found.append(tuple(range(ends[0], ends[1] + 1)))
    return found


def starts(trained: Trained, term: Path | int | None, classes: tuple[str, ...]) -> list[Tensor]:
    """The code [latent] of a picture or a seed, or the middle of all; with each of the classes, if any are named."""
    import torch

    from isthmus.core import Swaps
    from isthmus.core.operations import code_size

    model: Any = trained.model
    code = torch.zeros(code_size(model)) if term is None else trained.code_of(term)
    if term is None and isinstance(model, Swaps):  # the middle has no class
        classes = classes or model.spec.classes[:1]
    if not classes:
        return [code]
    labels = torch.tensor(trained.labels(trained.new_classes(classes)), device=model.device)
    return [*model.swap(code.to(model.device).expand(len(labels), -1), labels).cpu()]
