"""Add and subtract what pictures have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from torch import Tensor

    from isthmus.apps.trained import Trained


def arithmetic(
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    start: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="START [START ...]")],
    out: Path,
    plus: Annotated[tuple[str, ...], tyro.conf.arg(metavar="[PICTURE ...]")] = (),
    minus: Annotated[tuple[str, ...], tyro.conf.arg(metavar="[PICTURE ...]")] = (),
    overwrite: bool = False,
    checkpoint: str = "last",
) -> None:
    """Add what some pictures have in common, and take away what others have: start + plus - minus, in codes.

    A man with glasses, minus a man, plus a woman: a woman with glasses. Each may be a few pictures, the mean of whose
    codes is taken. The sheet has a row for each of the three, with that mean at its end; and a last row, which leads
    from the mean of the start to the result at its end.

    Args:
        run: The run folder, or a model on the Hugging Face hub: owner/name.
        start: Pictures to start from; or seeds, as isthmus sample takes them, which a model needs that has no codes for
            pictures.
        out: A .png file.
        plus: Pictures, or seeds, to add.
        minus: Pictures, or seeds, to take away.
        overwrite: Replace a file that is there.
        checkpoint: Which weights: last, best, or a folder's name in checkpoints/.
    """
    from isthmus.apps.plan import check_free, check_png
    from isthmus.errors import ConfigError

    check_png("--out", out)
    if not start:
        raise ConfigError("isthmus arithmetic needs START, at least one picture or seed")
    if not plus and not minus:
        raise ConfigError("there is nothing to add or to take away; give --plus, --minus or both")
    check_free([out], overwrite, inputs=[Path(term) for term in (*start, *plus, *minus) if not is_seed(term)])

    import torch

    from isthmus.apps.bulk import opened, square
    from isthmus.core import operations as on_codes
    from isthmus.training.checkpoint import write

    with opened(run, checkpoint) as trained:
        terms = [codes_of(trained, term) for term in (start, plus, minus)]
        base, added, taken = terms
        columns = 1 + max(map(len, terms))
        rows = [torch.cat([codes, codes.mean(0, keepdim=True)]) for codes in terms if len(codes)]
        rows.append(on_codes.arithmetic(base, added, taken, columns))
        write(out, square(torch.cat([spaced(trained.decode(row), columns) for row in rows]), columns))


def is_seed(term: str) -> bool:
    """Whether it is a number, and no file of that name."""
    return term.isdecimal() and not Path(term).exists()


def codes_of(trained: Trained, terms: tuple[str, ...]) -> Tensor:
    """Codes [n, latent] of pictures and seeds; n may be 0."""
    import torch

    codes = [trained.code_of(int(term) if is_seed(term) else Path(term)) for term in terms]
    return torch.stack(codes) if codes else torch.empty(0, 0)


def spaced(images: Tensor, columns: int) -> Tensor:
    """A row of images [n, channels, height, width] as one of `columns`, with white before the last image."""
    import torch

    white = images.new_ones(columns - len(images), *images.shape[1:])
    return torch.cat([images[:-1], white, images[-1:]])
