"""The conditional autoencoder keeps the class apart from all else: one can be changed without the other.

A judge that was trained on real digits says what class an image shows. Swapped are the classes of test images, each for
a random other one, with z as it was; drawn are as many images of each class, shown as the means of their pixels. Their
diversity is the deviation of pixels within a class as a share of real images', since a model that draws one good image
of each class would be right every time. The ablation hides the class from the decoder, which then has to find it in z.
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
    """Shares of swapped and drawn images that show their class, and how varied the latter are."""
    import torch

    from isthmus.evaluation.judge import judge
    from isthmus.evaluation.transfer import Spread

    eye, classes = judge(train[0], test[0]), len(test[0].spec.classes)
    swapped, shown, varied, real = [], [], Spread(), Spread()
    for index in torch.arange(len(test[0])).split(500):
        batch = test[0].batch(index)
        other = (batch.label + torch.randint_like(batch.label, 1, classes)) % classes
        images = model.decode(model.swap(model.encode(batch.image, batch.label), other))
        swapped.append(eye.classify(images) == other)
        label = index % classes
        images = model.sample(len(label), label)
        shown.append(eye.classify(images) == label)
        varied.update(images, label)
        real.update(batch.image, batch.label)
    accuracy = {name: torch.cat(hits).float().mean().item() for name, hits in (("swap", swapped), ("draw", shown))}
    return {
        "swapped": {"accuracy": accuracy["swap"], "judge": eye.accuracy},
        "drawn": {"accuracy": accuracy["draw"], "diversity": varied.compute() / real.compute()},
    }


EXPERIMENTS = (
    Experiment(
        name="cvae",
        claim="MNIST digits become any other digit in the same hand, and are drawn by class in much of their variety",
        training=Training(
            model="cvae",
            data={"data": ("mnist",)},
            options={"latent": 16, "hidden": 400},
            run={"steps": 9000, "batch_size": 100, "average": 0.99},
        ),
        bars=(
            Bar("swapped/accuracy", at_least=0.95),
            Bar("drawn/accuracy", at_least=0.95),
            Bar("drawn/diversity", at_least=0.80),
        ),
        ablations={"class hidden from the decoder": {"decode_class": False}},
        measure=measure,
        groups=("classification",),
    ),
)
