"""Encoder and generator invert each other although no loss compares images: the discriminator of pairs teaches them.

The digits are those of MNIST at 16x16. A reconstruction is to be nearer to its own image than to another: the ratio of
both distances is 1 where the code says nothing about the image. It is also to show the same class, by a judge that was
trained on real digits. (How well neighbours of codes tell the class says little: an encoder that was never trained does
nearly as well.) The figure `told_from_noise` is the accuracy of a classifier that tells codes of test images from the
noise that generators are given, 0.5 being the best. The ablation hides the code from the discriminator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from torch import Tensor

    from isthmus.data.images import Images


def measure(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """How well reconstructions find back, and how like noise codes are."""
    from isthmus.core.operations import reconstruct
    from isthmus.evaluation.inversion import reconstruction_ratio
    from isthmus.evaluation.judge import judge
    from isthmus.evaluation.parts import each

    images, device = test[0], model.device
    eye = judge(train[0], images)
    same = each(lambda batch: eye.classify(reconstruct(model, batch.image)) == batch.label, images, device)
    codes = each(lambda batch: model.encode(batch.image), images, device)
    spread = each(lambda batch: (0.5 * model.posterior(batch.image)[1]).exp(), images, device)
    return {
        "inversion": {
            "ratio": reconstruction_ratio(model, images),
            "class_kept": same.double().mean().item(),
            "judge": eye.accuracy,
        },
        "codes": {"told_from_noise": told_from_noise(codes), "deviation": spread.mean().item()},
    }


def told_from_noise(codes: Tensor) -> float:
    """The accuracy, on other ones, of a logistic regression of values and squares that tells codes [n, dims] apart."""
    import torch
    from sklearn.linear_model import LogisticRegression

    both = torch.stack([codes, torch.randn_like(codes)], dim=1)  # [n, 2, dims]
    learnt, tested = torch.cat([both, both.square()], dim=2).chunk(2)
    labels = [torch.arange(2).repeat(len(half)).numpy() for half in (learnt, tested)]
    classifier = LogisticRegression(max_iter=1000).fit(learnt.flatten(0, 1).numpy(), labels[0])
    return float(classifier.score(tested.flatten(0, 1).numpy(), labels[1]))


EXPERIMENTS = (
    Experiment(
        name="bigan",
        claim="MNIST digits are found back through a code, although no loss compares two images",
        training=Training(
            model="bigan",
            data={"data": ("mnist",), "size": "16"},
            options={
                "network": "conv",
                "latent": 10,
                "hidden": 256,
                "features": 16,
                "constant": 1.0,
                "lr": 1e-3,
            },
            run={"steps": 2500, "batch_size": 100, "average": 0.995},
        ),
        bars=(Bar("inversion/ratio", at_most=0.75), Bar("inversion/class_kept", at_least=0.60)),
        ablations={"code hidden from the discriminator": {"joint": False}},
        measure=measure,
        groups=("features",),
    ),
)
