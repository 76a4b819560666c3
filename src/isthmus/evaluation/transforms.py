"""Translations of pictures whose true translation is known, because their domain was made of the other."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from isthmus.core import Batch, Translates
from isthmus.data.images import Images, to_bytes, to_unit
from isthmus.data.worlds import INK, PAPER, Colour, uncoloured
from isthmus.evaluation.judge import judge
from isthmus.evaluation.parts import each


def grey(image: Tensor, ground: Colour = PAPER, ink: Colour = INK) -> Tensor:
    """Coloured digits as the grey ones that they were made of: [n, 3, h, w] to [n, 1, h, w], in [-1, 1]."""
    return to_unit(torch.from_numpy(uncoloured(to_bytes(image).permute(0, 2, 3, 1).numpy(), ground, ink))[:, None])


def one_channel(images: Images) -> Images:
    """Grey pictures with the first of their channels, which are all the same, alone."""
    return replace(images, store=images.store[:, :1], spec=replace(images.spec, channels=1))


def known_colours(model: Translates, train: Images, test: tuple[Images, Images], to: str = "ab") -> dict[str, float]:
    """How well digits, domain a, become coloured ones, domain b, or the latter the former, or both.

    Coloured ones are brought back by the known transform. By domain that is carried to: the share whose digit a judge
    still sees, who learnt from `train`, and the mean distance of pixels in [-1, 1] from the true translation. The
    pictures `test` of both domains are pairs.
    """
    a, b = test
    digits = one_channel(a)
    truth = each(lambda batch: batch.image, digits, torch.device("cpu"))
    eye, found = judge(one_channel(train), digits), dict[str, float]()
    assert a.labels is not None
    for way in to:

        def carried(batch: Batch, way: str = way) -> Tensor:
            return model.translate(batch.image, way)

        made = each(carried, a if way == "b" else b, model.device)
        seen = grey(made) if way == "b" else to_unit(to_bytes(made))[:, :1]
        found[f"kept_{way}"] = torch.eq(eye.classify(seen), a.labels).double().mean().item()
        found[f"missed_{way}"] = (seen - truth).abs().mean().item()
    return {**found, "kept": min(found[f"kept_{way}"] for way in to), "judge": eye.accuracy}
