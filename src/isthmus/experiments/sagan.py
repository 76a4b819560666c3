"""Attention keeps a rule over a distance that no convolution sees.

The data are strips with a shape at each end, both filled with one colour of six. The discriminator's convolutions see
14 pixels at a time, and between the shapes are 20: without attention the discriminator is a sum over patches, which a
wrong pair of colours leaves as it is, so that no generator learns the rule. The ablation has a residual block of as
many parameters where attention stood, with which patches have 18 pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from torch import Tensor

    from isthmus.data.images import Images

DRAWN, PART = 1000, 100
LEAST = 10.0  # pixels of full brightness, from which on a shape is there; 99 of 100 real ones have 15 at least


def measure(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """The share of draws with two shapes, and with two in one colour; how many colours these are; the gains.

    A gain says how much of what attention (or the block in its place) sees is added to what convolutions see.
    """
    import torch

    labels = torch.arange(DRAWN) % len(train[0].spec.classes)
    left, right = torch.cat([colours(model.sample(PART, part).cpu()) for part in labels.split(PART)]).T
    found, same = (left >= 0) & (right >= 0), left == right
    gains = {
        net: max(abs(module.gain.item()) for module in model.get_submodule(net).modules() if is_gained(module))
        for net in ("generator", "discriminator")
    }
    rule = {
        "found": found.float().mean().item(),
        "kept": (found & same).float().mean().item(),
        "colours": float(len(left[found & same].unique())),
    }
    return {"rule": rule, "gain": gains}


def colours(images: Tensor) -> Tensor:
    """Which of the six colours is nearest in hue to the shape at each end of strips [n, 3, 12, 44] in [-1, 1].

    int64 [n, 2]; -1 where no shape is.
    """
    import torch
    import torch.nn.functional as F

    from isthmus.data.worlds import FILLINGS, TWIN

    light = torch.stack([image.add(1).div(2).sum((2, 3)) for image in (images[..., :TWIN], images[..., -TWIN:])], 1)
    hues = F.normalize(torch.tensor([*FILLINGS.values()], dtype=torch.float32), dim=1)
    return (F.normalize(light, dim=2) @ hues.T).argmax(2).where(light.amax(2) >= LEAST, -1)


def is_gained(module: Any) -> bool:
    """Whether it adds something to a map by one learnt gain."""
    return getattr(module, "gain", None) is not None and module.gain.ndim == 0


EXPERIMENTS = (
    Experiment(
        name="sagan",
        claim="two shapes far apart are drawn in one colour, which a discriminator without attention cannot see",
        training=Training(
            model="sagan",
            data={"data": ("twins",)},
            options={"features": 16, "smallest": 22, "largest": 22, "lr": 4e-4, "discriminator_lr": 8e-4},
            run={"steps": 2800, "batch_size": 32, "average": 0.997},
        ),
        bars=(
            Bar("rule/kept", at_least=0.9),
            Bar("rule/colours", at_least=4.0),
            Bar("gain/discriminator", at_least=0.01),
        ),
        ablations={"residual block": {"block": "residual"}},
        measure=measure,
    ),
)
