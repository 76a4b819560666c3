"""The conditional GAN draws the class that it is asked for, though nobody ever names a class.

The digits are those of MNIST at 16x16. A judge that was trained on real ones says what class a drawn one shows. Beside
it stands how varied the draws of a class are, as a share of real images of it, since a model that draws one good image
of each class would be right every time. The ablation hides the class from the discriminator, which then cannot find out
a generator that ignores it.
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
        name="cgan",
        claim="MNIST digits are drawn by class, in most of their variety, against a judge of pairs",
        training=Training(
            model="cgan",
            data={"data": ("mnist",), "size": "16"},
            options={"hidden": 600, "dropout": 0.1, "generator_dropout": 0.0, "generator_norm": "batch", "lr": 1e-3},
            run={"steps": 13_000, "batch_size": 100, "average": 0.995},
        ),
        bars=(Bar("asked/accuracy", at_least=0.97), Bar("asked/diversity", at_least=0.8)),
        ablations={"class hidden from the discriminator": {"conditional": False}},
        measure=measure,
    ),
)
