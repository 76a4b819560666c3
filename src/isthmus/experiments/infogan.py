"""Without any label the category comes to mean the digit, since the generator is paid for images that tell it.

Q's most probable category sorts real test images into clusters; each is named by the class that it means best on
training images (Hungarian method), and then has to be right on test images. The bound on the mutual information of
category and generated image is at most log 10 = 2.30 nats. Beside these stands how the numbers move the slant and the
width of generated digits: the largest correlation of any of them, within categories.

The ablation is the paper's control: the same game, in which Q learns to tell the code but nobody pays the generator.
It uses a category all the same, which is an input like any other, so that much of it can be told, and some 70 % of the
digits are sorted; the numbers cannot be told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from torch import Tensor

    from isthmus.data.images import Images

NAMED, DRAWN, PART = 10_000, 5000, 500  # images of each set, generated ones, and what is seen at once


def measure(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """Clusters of real images, and what generated ones tell of their codes."""
    import torch

    from isthmus.evaluation.classification import cluster_names

    def clustered(images: Images) -> tuple[Tensor, Tensor]:
        batches = [images.batch(index) for index in torch.arange(min(NAMED, len(images))).split(PART)]
        codes = torch.cat([model.encode(batch.image) for batch in batches])
        category = codes[:, model.latent : model.latent + model.categories].argmax(1)
        return category, torch.cat([batch.label for batch in batches])

    names = cluster_names(*clustered(train[0]))
    named = torch.tensor([names.get(category, -1) for category in range(model.categories)])
    category, label = clustered(test[0])

    codes = [model.draw(PART) for _ in range(DRAWN // PART)]
    made = [model.generate(*code) for code in codes]
    told = [model.surprise(model.judge(x)[1], *code[1:])[0] for x, code in zip(made, codes, strict=True)]
    _, chosen, numbers = (torch.cat(part) for part in zip(*codes, strict=True))
    looks = within(torch.stack(slant_and_width(torch.cat(made)), dim=1), chosen[:, 0])
    related = torch.corrcoef(torch.cat([within(numbers, chosen[:, 0]), looks], dim=1).T)[:-2, -2:].abs().amax(0)
    return {
        "clusters": {"accuracy": (named[category] == label).float().mean().item()},
        "information": {"nats": -torch.stack(told).mean().item()},
        "numbers": {"slant": related[0].item(), "width": related[1].item()},
    }


def within(values: Tensor, category: Tensor) -> Tensor:
    """Values [n, dims] less the means of their categories [n]."""
    import torch

    return values - torch.stack([values[category == c].mean(0) for c in range(int(category.max()) + 1)])[category]


def slant_and_width(images: Tensor) -> tuple[Tensor, Tensor]:
    """By how much the ink of images [n, 1, height, width] leans to the right, and its deviation to the sides, [n]."""
    import torch

    ink = (images[:, 0] + 1) / 2 + 1e-6
    ink = ink / ink.sum((1, 2), keepdim=True)
    y, x = (torch.arange(side, dtype=ink.dtype) for side in ink.shape[1:])
    y = y[:, None] - (ink.sum(2) @ y)[:, None, None]
    x = x - (ink.sum(1) @ x)[:, None, None]
    slant = -(ink * x * y).sum((1, 2)) / (ink * y.square()).sum((1, 2))
    upright = x + slant[:, None, None] * y
    return slant, (ink * upright.square()).sum((1, 2)).sqrt()


EXPERIMENTS = (
    Experiment(
        name="infogan",
        claim="MNIST digits are sorted by class without a label, as the generator is paid to let its code be told",
        training=Training(
            model="infogan",
            data={"data": ("mnist",)},
            options={"features": 16, "hidden": 256, "lr": 1e-3},
            run={"steps": 3500, "batch_size": 64},
        ),
        bars=(Bar("clusters/accuracy", at_least=0.7), Bar("information/nats", at_least=2.1)),
        ablations={"generator not paid": {"information": 0.0, "continuous_information": 0.0}},
        measure=measure,
    ),
)
