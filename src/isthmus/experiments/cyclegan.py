"""Images that come back keep their content: digits become coloured ones, and these digits, without a single pair.

One domain is MNIST, the other the same in blue on yellow; the sets are drawn independently of each other. The true
translation is known and never shown: a judge that was trained on real digits sees translations to grey as they are, and
those to colours after the known transform is undone. The ablation has the adversarial losses alone, for which every
digit of the target is as good as any other.
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
    """Digits that are kept, and distances from true translations."""
    from isthmus.evaluation.transforms import known_colours

    a, b = test
    return {"transform": known_colours(model, train[0], (a, b))}


EXPERIMENTS = (
    Experiment(
        name="cyclegan",
        claim="MNIST digits become blue on yellow, and these white on black, and stay the digits that they are",
        training=Training(
            model="cyclegan",
            data={"data": ("mnist", "mnist-coloured")},
            options={"features": 16, "blocks": 3, "patch": 2, "identity": 0.0},
            run={"steps": 2500, "batch_size": 4},
        ),
        bars=(
            Bar("transform/kept", at_least=0.95),
            Bar("cycles/a", at_most=0.06),
            Bar("cycles/b", at_most=0.06),
        ),
        ablations={"no cycle": {"cycle": 0.0}},
        measure=measure,
    ),
)
