"""What a model can show of itself at any moment of its training, from its capabilities alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from isthmus.core import Autoencodes, Batch, Model, Pairs, Samples, Translates
from isthmus.core.operations import reconstruct

MANY = 8  # domains that are shown, of a model that carries to many


def preview(model: Model, batches: Sequence[Batch], draws: int = 2) -> list[Tensor]:
    """Rows of images [n, channels, height, width]: sources and translations, originals and reconstructions, samples.

    Of pairs those of domain b lie below those of domain a.
    """
    rows: list[Tensor] = []
    with torch.no_grad():
        if isinstance(model, Translates):
            rows += translations(model, batches, draws)
        if isinstance(model, Autoencodes):
            rows += [batches[0].image, reconstruct(model, batches[0].image)]
        if isinstance(model, Pairs):
            rows += [row for _ in range(draws) for row in model.pairs(len(batches[0]))]
        elif isinstance(model, Samples):
            rows += [model.sample(len(batches[0])) for _ in range(draws)]
    return rows


def translations(model: Translates, batches: Sequence[Batch], draws: int) -> list[Tensor]:
    """Sources, and below them what becomes of them: in each class, or in the other domain, as often as `draws`.

    A model that draws nothing by chance makes the same every time, which is shown once.
    """
    if not {"a", "b"} & {*model.targets}:
        image = batches[0].image
        return [image, *(model.translate(image, to) for to in model.targets[:MANY])]
    rows = []
    for batch, to in zip(batches, ("b", "a"), strict=False):
        if to in model.targets:
            drawn = [model.translate(batch.image, to) for _ in range(draws)]
            rows += [batch.image, *(drawn[:1] if torch.equal(drawn[0], drawn[-1]) else drawn)]
    return rows


def sheet(rows: Sequence[Tensor]) -> Tensor:
    """Rows of equally many images, of any sizes and 1 or 3 channels, as one batch of equal tiles, row by row."""
    height, width = max(row.shape[2] for row in rows), max(row.shape[3] for row in rows)
    channels = max(row.shape[1] for row in rows)
    tiles = []
    for row in rows:
        row = row.float().cpu().expand(-1, channels, -1, -1) if row.shape[1] == 1 else row.float().cpu()
        tiles.append(row if row.shape[2:] == (height, width) else F.interpolate(row, (height, width)))
    return torch.cat(tiles)
