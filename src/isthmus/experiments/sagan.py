"""Attention keeps a rule over a distance that no convolution sees.

The data are strips with a shape at each end, both filled with one colour of four. The discriminator's convolutions see
14 pixels at a time, and between the shapes are 20: without attention the discriminator is a sum over patches, which a
wrong pair of colours leaves as it is, so that it cannot teach the rule. The ablation has a residual block of as
many parameters where attention stood, with which patches have 18 pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from torch import Tensor

    from isthmus.data.images import Images

DRAWN, PART = 1000, 100  # of each class, and at a time
LEAST = 0.02  # of a class, to count a colour
LIGHT = 10.0  # pixels of full brightness, from which on a shape is there; 99 of 100 real ones have 15 at least


def measure(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """The share of draws with two shapes, and with two in one colour; how many colours a class has; the gains.

    `colours` counts those of the class with the fewest: were the colour that of the class, the rule would be kept
    without a look at the other end. A gain says how much of what attention (or the block in its place) sees is added
    to what convolutions see.
    """
    import torch
    import torch.nn.functional as F

    from isthmus.data.worlds import TWIN_COLOURS

    labels = torch.arange(len(train[0].spec.classes)).repeat_interleave(DRAWN)
    left, right = torch.cat([colours(model.sample(PART, part).cpu()) for part in labels.split(PART)]).T
    found, kept = (left >= 0) & (right >= 0), (left >= 0) & (left == right)
    shown = F.one_hot(left.clamp(min=0), len(TWIN_COLOURS)) * kept[:, None]
    shares = shown.view(-1, DRAWN, len(TWIN_COLOURS)).float().mean(1)  # of each colour in each class
    gains = {
        net: max(abs(module.gain.item()) for module in model.get_submodule(net).modules() if is_gained(module))
        for net in ("generator", "discriminator")
    }
    rule = {
        "found": found.float().mean().item(),
        "kept": kept.float().mean().item(),
        "colours": float((shares >= LEAST).sum(1).min()),
    }
    return {"rule": rule, "gain": gains}


def colours(images: Tensor) -> Tensor:
    """Which of the four colours is nearest in hue to the shape at each end of strips [n, 3, 8, 36] in [-1, 1].

    int64 [n, 2]; -1 where no shape is.
    """
    import torch
    import torch.nn.functional as F

    from isthmus.data.worlds import TWIN, TWIN_COLOURS

    light = torch.stack([image.add(1).div(2).sum((2, 3)) for image in (images[..., :TWIN], images[..., -TWIN:])], 1)
    hues = F.normalize(torch.tensor(TWIN_COLOURS, dtype=torch.float32), dim=1)
    return (F.normalize(light, dim=2) @ hues.T).argmax(2).where(light.amax(2) >= LIGHT, -1)


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
            options={"features": 16, "smallest": 18, "largest": 18, "lr": 4e-4, "discriminator_lr": 1.6e-3},
            run={"steps": 2700, "batch_size": 64, "average": 0.99},
        ),
        bars=(
            Bar("rule/kept", at_least=0.9),
            Bar("rule/colours", at_least=3.0),
            Bar("gain/discriminator", at_least=0.01),
        ),
        ablations={"residual block": {"block": "residual"}},
        measure=measure,
    ),
)
