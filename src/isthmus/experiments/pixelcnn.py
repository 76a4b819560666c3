"""PixelCNN predicts every value from those before it, exactly.

The bar on the likelihood means nothing without the other: a network whose first mask lets a value see itself, the
ablation, needs next to no nats for any image, and cannot draw. What a value must not see has a derivative of exactly 0.

Its blind spot, the share of near earlier pixels that a pixel does not see, stands beside it; there is none where the
first kernel already sees all that is near.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from isthmus.data.images import Images

EVERY = 13  # values for each one whose derivatives are taken


def measure(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """What values see, and the share of pixels that are on in draws and in test images."""
    import torch

    from isthmus.evaluation.context import blind_spot, leak

    network, images = model.network, test[0].batch(torch.arange(1000)).image
    return {
        "context": {
            "leak": leak(network, images[:2], every=EVERY),
            "blind_spot": blind_spot(network, images[:2]),
        },
        "pixels": {
            "on_in_draws": (model.sample(200) > 0).float().mean().item(),
            "on_in_test_images": (images > 0).float().mean().item(),
        },
    }


EXPERIMENTS = (
    Experiment(
        name="pixelcnn",
        claim="the likelihood of binarised MNIST, without a value that sees itself",
        training=Training(
            model="pixelcnn",
            data={"data": ("mnist",), "binarise": True},
            options={"levels": 2, "features": 24, "layers": 3, "kernel": 5, "first_kernel": 41, "lr": 5e-3},
            run={"steps": 4400, "batch_size": 8},
        ),
        bars=(Bar("likelihood/nats", at_least=-86.0), Bar("context/leak", at_most=0.0)),
        ablations={"mask B first": {"first_mask": "B"}},
        measure=measure,
    ),
)
