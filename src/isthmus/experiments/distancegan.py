"""Distances that are kept keep the content: digits become coloured ones, and there is no way back.

One domain is MNIST, the other the same in blue on yellow; the sets are drawn independently of each other. The true
translation is known and never shown: its distances are those of the digits, times a constant. `correlation` is that of
the distances of random pairs of test images before and after; a judge that was trained on real digits sees translations
after the known transform is undone. The ablation has the adversarial loss alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from isthmus.data.images import Images


def measure(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """Distances before and after, and digits that are kept."""
    import torch

    from isthmus.evaluation.parts import each
    from isthmus.evaluation.transforms import known_colours

    a, b = test
    left, right = torch.randperm(len(a)).chunk(2)
    images = each(lambda batch: batch.image, a, torch.device("cpu"))
    made = each(lambda batch: model.translate(batch.image, "b"), a, model.device)
    apart = [(x[left] - x[right[: len(left)]]).abs().flatten(1).mean(1) for x in (images, made)]
    return {
        "distances": {"correlation": torch.corrcoef(torch.stack(apart))[0, 1].item()},
        "transform": known_colours(model, train[0], (a, b), to="b"),
    }


EXPERIMENTS = (
    Experiment(
        name="distancegan",
        claim="MNIST digits become blue on yellow in one direction alone: as far apart as before, and the same digits",
        training=Training(
            model="distancegan",
            data={"data": ("mnist", "mnist-coloured")},
            options={"features": 16, "blocks": 3, "patch": 1, "pairwise": 0.5, "constant": 0.5},
            run={"steps": 6000, "batch_size": 8, "average": 0.995},
        ),
        bars=(Bar("distances/correlation", at_least=0.9), Bar("transform/kept", at_least=0.9)),
        ablations={"no distances": {"pairwise": 0.0}},
        measure=measure,
    ),
)
