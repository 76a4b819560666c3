"""Five modes stay five, and find their way back: the relation is one-to-one.

The toy of the paper: points of five Gaussians on a circle become points of ten, and nothing says which become which.
Of each of the five, the mode of the ten that most of its translations are nearest to is what it became; `distinct` is
how many these are, `near` the share of translations within ten deviations of a mode, and `returned` the share that are
carried back to the mode that they came from. The ablations are the paper's: adversarial losses alone, and one side that
is judged and comes back. What they lose is the way back, and the nearness; most keep five modes apart.

The bar is for four seeds of five: it wants `--seeds 5`, and of three seeds all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from torch import Tensor

    from isthmus.core import Batch
    from isthmus.data.images import Images


def measure(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """How many modes the five become, and how near to a mode."""
    import torch

    from isthmus.data.gaussians import DEVIATION, ring, to_points
    from isthmus.evaluation.parts import each

    def carried(*way: str) -> Tensor:
        """Where points of the five are after these translations."""

        def translated(batch: Batch) -> Tensor:
            image = batch.image
            for to in way:
                image = model.translate(image, to)
            return image

        return to_points(each(translated, test[0], model.device))

    five, ten = (torch.from_numpy(ring(count)).float() for count in (5, 10))
    distance, nearest = torch.cdist(carried("b"), ten).min(1)
    start, back = (torch.cdist(carried(*way), five).argmin(1) for way in ((), ("b", "a")))
    became = {nearest[start == mode].mode().values.item() for mode in range(len(five))}
    return {
        "modes": {
            "distinct": len(became),
            "reached": len(nearest.unique()),
            "near": (distance <= 10 * DEVIATION).double().mean().item(),
            "returned": (start == back).double().mean().item(),
        }
    }


EXPERIMENTS = (
    Experiment(
        name="discogan",
        claim="points of five modes become points of ten, no two modes the same one, and find their way back",
        training=Training(
            model="discogan",
            data={"data": ("modes-5", "modes-10")},
            options={"network": "mlp", "adversarial": 1.0, "matching": 0.0, "share": 0.9, "curriculum": 3000},
            run={"steps": 8000, "batch_size": 200},
        ),
        bars=(
            Bar("modes/distinct", at_least=5, share=0.8),
            Bar("modes/near", at_least=0.9),
            Bar("modes/returned", at_least=0.9),
        ),
        ablations={
            "no reconstruction": {"first_share": 0.0, "share": 0.0},
            "one side": {"sides": "one"},
        },
        measure=measure,
    ),
)
