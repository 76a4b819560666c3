"""The convolutional GAN draws digits that are good enough to learn from.

Ten thousand digits are drawn, as many of each class, and the nearest of them names the class of every real test image,
which is the paper's own test (in its supplementary material). Beside it stands the error with as many real training
images in their place. The walk from one noise to another is smooth, which copies of training images would not allow:
its largest step is compared to the mean one. The ablation takes batch normalisation out of the generator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from isthmus.data.images import Images

DRAWS, WALKS, STEPS = 10_000, 50, 32


def measure(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """The error of the nearest neighbour among draws, and among real images; the largest step of a walk."""
    import torch

    from isthmus.evaluation.classification import nearest_neighbour_accuracy
    from isthmus.nn.labels import one_hot

    classes = len(test[0].spec.classes)
    labels = torch.arange(DRAWS) % classes
    drawn = torch.cat([model.sample(len(label), label) for label in labels.split(500)])
    known = train[0].batch(torch.randperm(len(train[0]))[:DRAWS])
    asked = test[0].batch(torch.arange(len(test[0])))

    def error(images: Any, label: Any) -> float:
        return 1 - nearest_neighbour_accuracy(images.flatten(1), label, asked.image.flatten(1), asked.label)

    start, end = model.noise(WALKS), model.noise(WALKS)
    y = one_hot(torch.arange(WALKS) % classes, classes)
    places = torch.linspace(0, 1, STEPS).tolist()
    walks = torch.stack([model.generator(torch.lerp(start, end, place), y) for place in places])
    steps = (walks[1:] - walks[:-1]).flatten(2).norm(dim=2)
    return {
        "nearest": {"error": error(drawn, labels), "error_with_real": error(known.image, known.label)},
        "walk": {"largest_over_mean": (steps.amax(0) / steps.mean(0)).mean().item()},
    }


EXPERIMENTS = (
    Experiment(
        name="dcgan",
        claim="MNIST digits drawn by class name the class of real ones, as the nearest of them",
        training=Training(
            model="dcgan",
            data={"data": ("mnist",), "size": "16"},
            options={"features": 32, "conditional": True, "lr": 6e-4, "constant": 0.5},
            run={"steps": 7800, "batch_size": 64, "average": 0.99},
        ),
        bars=(Bar("nearest/error", at_most=0.06), Bar("walk/largest_over_mean", at_most=3.0)),
        ablations={"generator not normalised": {"generator_norm": "none"}},
        measure=measure,
        groups=("samples", "classes", "features"),
    ),
)
