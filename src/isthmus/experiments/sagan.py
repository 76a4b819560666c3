"""Attention keeps a rule over a distance that no convolution sees.

The data are pictures of two squares in opposite corners, always of one colour of six. The discriminator's convolutions
see 14 pixels at a time, and between the squares are 18: without attention the discriminator is a sum over patches,
which a wrong pair of colours leaves as it is, so that no generator learns the rule. The ablation has a residual block
of as many parameters where attention stood, with which patches have 18 pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from isthmus.data.images import Images

DRAWN, PART = 1000, 100


def measure(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """The share of draws that have both squares, and that have both in one colour; how many colours; the gains.

    A gain says how much of what attention (or the block in its place) sees is added to what convolutions see.
    """
    import torch

    from isthmus.data.squares import colours_shown

    labels = torch.arange(DRAWN) % len(train[0].spec.classes)
    colours = torch.cat([colours_shown(model.sample(len(part), part), part) for part in labels.split(PART)])
    found, same = (colours >= 0).all(1), colours[:, 0] == colours[:, 1]
    gains = {
        net: max(abs(module.gain.item()) for module in model.get_submodule(net).modules() if is_gained(module))
        for net in ("generator", "discriminator")
    }
    rule = {
        "found": found.float().mean().item(),
        "kept": (found & same).float().mean().item(),
        "colours": float(len(colours[found & same].unique())),
    }
    return {"rule": rule, "gain": gains}


def is_gained(module: Any) -> bool:
    """Whether it adds something to a map by one learnt gain."""
    return getattr(module, "gain", None) is not None and module.gain.ndim == 0


EXPERIMENTS = (
    Experiment(
        name="sagan",
        claim="two squares far apart are drawn in one colour, which a discriminator without attention cannot see",
        training=Training(
            model="sagan",
            data={"data": ("squares",)},
            options={"features": 16, "smallest": 16, "largest": 16, "lr": 4e-4, "discriminator_lr": 1.6e-3},
            run={"steps": 2000, "batch_size": 16, "average": 0.99},
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
