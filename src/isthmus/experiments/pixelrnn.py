"""One Diagonal BiLSTM sees every earlier pixel and no other, and knows more by it than convolutions of its size.

What a pixel sees is where the derivatives of its logits are not zero, measured at every pixel with trained weights.
The likelihood is held against that of PixelCNN with as many parameters, trained with as many of the same batches.

The first ablation spends the parameters on the convolutions before and behind the recurrent layer, which it has not.
The second is the paper's other recurrent layer, which sees a triangle: it must fail by what it sees, not by its nats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from torch import Tensor

    from isthmus.core import Model
    from isthmus.data.images import Images

DATA: dict[str, Any] = {"data": ("mnist",), "size": "16", "binarise": True}
RUN: dict[str, Any] = {"steps": 2000, "batch_size": 64}
RIVAL = {"levels": 2, "features": 16, "layers": 3, "hidden": 80, "lr": 1e-2}
SHOWN = 2  # images at which derivatives are taken


def measure(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """The share of earlier values that are seen, the largest derivative that must not be, and what test images cost."""
    import torch

    other, seconds = rival(seed)
    image = test[0].batch(torch.arange(len(test[0]))).image
    nats = [-torch.cat([net.log_prob(part) for part in image.split(250)]).mean().item() for net in (model, other)]
    return {
        "context": context(model.network, image[:SHOWN]),
        "cost": {"nats": nats[0], "over_pixelcnn": nats[0] / nats[1], "parameters": parameters(model)},
        "pixelcnn": {"nats": nats[1], "parameters": parameters(other), "training_cpu_seconds": seconds},
    }


def context(network: Any, image: Tensor) -> Mapping[str, float]:
    """What the logits of each value depend on: of earlier ones, and of itself and later ones."""
    from isthmus.evaluation.context import dependence

    values, seen, leak = image[0].numel(), 0, 0.0
    for place, slope in enumerate(dependence(network, image, places=range(values))):
        seen += int((slope[:place] > 0).sum())
        leak = max(leak, slope[place:].max().item())
    return {"seen": seen / (values * (values - 1) / 2), "leak": leak}


def parameters(model: Model) -> int:
    """How many numbers were learned: no weights that a mask takes away."""
    masked = sum(int((b == 0).sum()) for name, b in model.named_buffers() if name.endswith("mask"))
    return sum(p.numel() for p in model.parameters()) - masked


@cache
def rival(seed: int) -> tuple[Any, float]:
    """PixelCNN, trained for as many steps, and the CPU seconds it took; once for all variants."""
    from pathlib import Path
    from tempfile import TemporaryDirectory

    import torch

    from isthmus.experiments.run import trained

    with TemporaryDirectory() as folder, torch.enable_grad():
        return trained(Training("pixelcnn", DATA, RIVAL, RUN), Path(folder) / "pixelcnn", seed)


EXPERIMENTS = (
    Experiment(
        name="pixelrnn",
        claim="one Diagonal BiLSTM sees all earlier pixels, and codes digits in fewer nats than PixelCNN of its size",
        training=Training(
            model="pixelrnn",
            data=DATA,
            options={"levels": 2, "layers": 1, "features": 16, "lr": 1e-2},
            run=RUN,
        ),
        bars=(
            Bar("context/seen", at_least=1.0),
            Bar("context/leak", at_most=0.0),
            Bar("cost/over_pixelcnn", at_most=1.0),
        ),
        ablations={
            "no recurrent layer": {"layers": 0, "features": 62, "hidden": 62},
            "Row LSTM": {"layer": "row"},
        },
        measure=measure,
    ),
)
