"""Spectral normalisation holds every layer of the discriminator at its largest singular value 1.

After the training, the weights are taken as they are used, as matrices with a row for each output, and decomposed: one
power iteration a round has kept up with them. The ablation is the same game without the normalisation.
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
    """The smallest and the largest of the layers' largest singular values."""
    import torch
    from torch import nn

    layers = [m for m in model.discriminator.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    norms = [torch.linalg.matrix_norm(layer.weight.flatten(1).double(), ord=2).item() for layer in layers]
    return {"singular": {"smallest": min(norms), "largest": max(norms)}}


EXPERIMENTS = (
    Experiment(
        name="sngan",
        claim="on MNIST each layer of the discriminator keeps the largest singular value 1",
        training=Training(
            model="sngan",
            data={"data": ("mnist",)},
            options={"features": 16},
            run={"steps": 800, "batch_size": 64},
        ),
        bars=(Bar("singular/smallest", at_least=0.9), Bar("singular/largest", at_most=1.1)),
        ablations={"not normalised": {"spectral": False}},
        measure=measure,
        groups=("samples",),
    ),
)
