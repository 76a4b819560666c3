"""Gated PixelCNN sees all that is near, with no blind spot, nothing that is to come, and the class.

Three things must hold together: no value sees itself or a later one, no near earlier pixel is hidden, and what is drawn
for a class shows the class. The likelihood, that of the mixture of all classes, is that of a short training.

The ablation, a network that is not told the class, draws any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from isthmus.data.images import Images

DRAWS = 100  # of each class
EVERY = 13  # values for each one whose derivatives are taken


def measure(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """What values see, and the share of draws that a judge takes for what was asked for."""
    import torch

    from isthmus.evaluation.context import blind_spot, leak
    from isthmus.evaluation.judge import judge

    batch = test[0].batch(torch.arange(2))
    asked = model.network, batch.image, *model.condition(batch.label)
    labels = torch.arange(len(test[0].spec.classes)).repeat(DRAWS)
    eye = judge(train[0], test[0])
    return {
        "context": {"leak": leak(*asked, every=EVERY), "blind_spot": blind_spot(*asked)},
        "class": {
            "accuracy": (eye.classify(model.sample(len(labels), labels)) == labels).float().mean().item(),
            "judge": eye.accuracy,
        },
    }


EXPERIMENTS = (
    Experiment(
        name="gated-pixelcnn",
        claim="no blind spot, no leak, and digits of the class that was asked for",
        training=Training(
            model="gated-pixelcnn",
            data={"data": ("mnist",), "binarise": True},
            options={
                "levels": 2,
                "conditional": True,
                "location_dependent": True,
                "layers": 2,
                "kernel": 5,
                "first_kernel": 15,
                "lr": 5e-3,
            },
            run={"steps": 4200, "batch_size": 8},
        ),
        bars=(
            Bar("class/accuracy", at_least=0.9),
            Bar("context/blind_spot", at_most=0.0),
            Bar("context/leak", at_most=0.0),
            Bar("likelihood/nats", at_least=-86.0),
        ),
        ablations={"not told the class": {"conditional": False, "location_dependent": False}},
        measure=measure,
        images=2000,
    ),
)
