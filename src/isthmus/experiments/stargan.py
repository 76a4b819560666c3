"""One generator carries digits between four domains, and they stay the digits that they are.

The domains are two colours of ink on black and on blue. A judge that was trained on real images says which domain a
translation shows; another, trained on MNIST, which digit, after the known colours are undone. Carried to its own domain
an image should stay as it is. Without the way back nothing keeps the digit; without the classification the way back
alone tells what a label means, and most seeds lose the digit.
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
    """Digits kept in all domains, and the mean absolute change, of pixels in [0, 1], on the way to the own domain."""
    import torch

    from isthmus.data.open import open_data
    from isthmus.data.options import DataOptions
    from isthmus.data.worlds import DOMAINS
    from isthmus.evaluation.judge import judge
    from isthmus.evaluation.transforms import grey

    digits = DataOptions(data=("mnist",))
    (learnt,), (truth,) = open_data(digits, "train"), open_data(digits, "test")
    eye, shown, own = judge(learnt, truth), test[0], []
    kept = {}
    for label, (to, (ground, ink)) in enumerate(DOMAINS.items()):
        hits = []
        for index in torch.arange(len(shown)).split(500):
            batch = shown.batch(index)
            made = model.translate(batch.image, to)
            hits.append(eye.classify(grey(made, ground, ink)) == truth.batch(index).label)
            mine = batch.label == label
            own.append((made - batch.image)[mine].abs().flatten(1).mean(1) / 2)
        kept[to] = torch.cat(hits).double().mean().item()
    worst, mean = min(kept.values()), sum(kept.values()) / len(kept)
    return {
        "digits": {"kept": mean, "worst": worst, "judge": eye.accuracy},
        "own": {"change": torch.cat(own).mean().item()},
    }


EXPERIMENTS = (
    Experiment(
        name="stargan",
        claim="one generator carries digits between four domains of colour and ground, and keeps them",
        training=Training(
            model="stargan",
            data={"data": ("mnist-domains",)},
            options={"features": 16, "blocks": 1, "depth": 3, "critic_steps": 2, "lr": 3e-4},
            run={"steps": 2200, "batch_size": 8},
        ),
        bars=(
            Bar("domains/accuracy", at_least=0.95),
            Bar("digits/kept", at_least=0.9),
            Bar("own/change", at_most=0.05),
        ),
        ablations={"no way back": {"reconstruction": 0.0}, "no classification": {"classification": 0.0}},
        measure=measure,
    ),
)
