"""Compared by what a discriminator sees, reconstructions are as sharp as real images; compared by pixels, blurred.

Sharpness is the energy of differences of neighbouring pixels, as a share of that of the real test images. That the
reconstructions still show their digits is seen by a judge that was trained on real ones. The ablation compares pixels,
with their whole likelihood, beside which the adversary hardly counts: a VAE's decoder.
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
    """How sharp reconstructions and samples are, and whether the former show their digits."""
    from isthmus.core.operations import reconstruct
    from isthmus.evaluation.judge import judge
    from isthmus.evaluation.parts import each
    from isthmus.evaluation.sharpness import gradient_energy

    images, device = test[0], model.device
    eye = judge(train[0], images)
    rebuilt = each(lambda batch: reconstruct(model, batch.image), images, device)
    shown = (each(lambda batch: batch.image, images, device), rebuilt, model.sample(1000).cpu())
    real, own, drawn = (gradient_energy(pictures).mean().item() for pictures in shown)
    assert images.labels is not None
    kept = eye.classify(rebuilt) == images.labels
    return {
        "sharpness": {"reconstructions": own / real, "samples": drawn / real},
        "kept": {"accuracy": kept.double().mean().item(), "judge": eye.accuracy},
    }


EXPERIMENTS = (
    Experiment(
        name="vae-gan",
        claim="reconstructions of MNIST digits are as sharp as the digits, which a distance of pixels cannot give",
        training=Training(
            model="vae-gan",
            data={"data": ("mnist",)},
            options={"latent": 32, "features": 16, "adversary": "non-saturating", "lr": 6e-4},
            run={"steps": 3000, "batch_size": 32, "average": 0.99},
        ),
        bars=(Bar("sharpness/reconstructions", at_least=0.90),),
        ablations={"compared by pixels": {"similarity": "pixels", "likeness": 1.0}},
        measure=measure,
        groups=("reconstruction",),
    ),
)
