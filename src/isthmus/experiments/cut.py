"""Patches that can be told apart keep an image's content, one way and without a way back.

MNIST digits become the same in blue on yellow; the sets are drawn independently of each other. The true translation is
known and never shown: a judge that was trained on real digits sees translations after the known transform is undone. In
the ablation no patch is asked where it comes from, so that any digit of the target will do.
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
    """Digits that are kept, and the distance from true translations."""
    from isthmus.evaluation.transforms import known_colours

    a, b = test
    return {"transform": known_colours(model, train[0], (a, b), to="b")}


EXPERIMENTS = (
    Experiment(
        name="cut",
        claim="MNIST digits become blue on yellow and stay the digits that they are, with one generator",
        training=Training(
            model="cut",
            data={"data": ("mnist", "mnist-coloured"), "channels": 3},
            options={
                "features": 16,
                "blocks": 3,
                "patch": 1,
                "contrast": 0.5,
                "identity": 0.5,
                "places": 64,
                "hidden": 64,
            },
            run={"steps": 4500, "batch_size": 4, "average": 0.995},
        ),
        bars=(Bar("transform/kept", at_least=0.9),),
        ablations={"no contrast": {"contrast": 0.0, "identity": 0.0}},
        measure=measure,
    ),
)
