"""The gated network sees every earlier pixel, and draws the class that it is asked for.

Without the second stack a network of masked convolutions has a blind spot, which is measured by derivatives; here it is
exactly 0, as is what a value sees of itself and of later ones. The first ablation lets values see themselves. Told the
class, the network draws it, as a judge that was trained on real digits says; the second ablation is not told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from isthmus.data.images import Images

EVERY = 13  # values for each one whose derivatives are taken
DRAWN = 1000
OPTIONS = {"levels": 2, "features": 32, "layers": 3, "kernel": 5, "lr": 5e-3}
RUN = {"steps": 5000, "batch_size": 8, "average": 0.995}


def context(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """What values see."""
    import torch

    from isthmus.evaluation.context import blind_spot, leak

    images = test[0].batch(torch.arange(2)).image
    return {"context": {"leak": leak(model.network, images, EVERY), "blind_spot": blind_spot(model.network, images)}}


def asked(model: Any, train: Sequence[Images], test: Sequence[Images], seed: int) -> Mapping[str, Mapping[str, float]]:
    """The share of draws that show the class asked for, and how varied they are within classes."""
    import torch

    from isthmus.evaluation.judge import judge
    from isthmus.evaluation.transfer import Spread

    eye, label = judge(train[0], test[0]), torch.arange(DRAWN) % len(test[0].spec.classes)
    images, varied, real = model.sample(DRAWN, label), Spread(), Spread()
    batch = test[0].batch(torch.arange(DRAWN))
    varied.update(images, label)
    real.update(batch.image, batch.label)
    right = (eye.classify(images) == label).float().mean().item()
    return {"asked": {"accuracy": right, "diversity": varied.compute() / real.compute(), "judge": eye.accuracy}}


EXPERIMENTS = (
    Experiment(
        name="gated-pixelcnn",
        claim="the likelihood of binarised MNIST, with every earlier pixel seen and no later one",
        training=Training("gated-pixelcnn", {"data": ("mnist",), "binarise": True}, OPTIONS, RUN),
        bars=(
            Bar("likelihood/nats", at_least=-86.0),
            Bar("context/leak", at_most=0.0),
            Bar("context/blind_spot", at_most=0.0),
        ),
        ablations={"mask B first": {"first_mask": "B"}},
        measure=context,
    ),
    Experiment(
        name="gated-pixelcnn-classes",
        claim="the digit that is asked for is drawn",
        training=Training(
            "gated-pixelcnn", {"data": ("mnist",), "binarise": True}, {**OPTIONS, "conditional": True}, RUN
        ),
        bars=(Bar("asked/accuracy", at_least=0.9),),
        ablations={"not told the class": {"conditional": False}},
        measure=asked,
    ),
)
