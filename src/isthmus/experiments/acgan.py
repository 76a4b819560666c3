"""The generator with an auxiliary classifier draws the class that it is asked for, in less than its full variety.

A judge that was trained on real digits says what class a drawn one shows; the discriminator's own verdict would prove
little. Beside it stands how varied the draws of a class are, as a share of real images of it: the generator is paid for
images whose class is plain, which costs variety. In the ablation nobody is asked for the class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from isthmus.data.images import Images


def measure(model: Any, train: Sequence[Images], test: Sequence[Images], seed: int) -> Mapping[str, Mapping[str, Any]]:
    """The share of draws that show the class asked for, and their diversity."""
    from isthmus.evaluation.judge import judge
    from isthmus.evaluation.measures import asked

    return {"asked": asked(model, test[0], judge(train[0], test[0]), seed).to_dict()}


EXPERIMENTS = (
    Experiment(
        name="acgan",
        claim="MNIST digits are drawn by class, by a generator that is paid for images whose class is told",
        training=Training(
            model="acgan",
            data={"data": ("mnist",)},
            options={"features": 8, "dropout": 0.2, "noise": 0.05, "lr": 1e-3},
            run={"steps": 2000, "batch_size": 50, "average": 0.99},
        ),
        bars=(Bar("asked/accuracy", at_least=0.97), Bar("asked/diversity", at_least=0.7)),
        ablations={"no classifier": {"classification": 0.0}},
        measure=measure,
        groups=("classification",),
    ),
)
