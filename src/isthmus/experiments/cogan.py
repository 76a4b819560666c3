"""One code gives one digit in two looks, although no pair was ever shown.

MNIST is learnt beside MNIST in other colours, bright for dark. Of pairs that are drawn, the coloured image is brought
back by the known transform: `pixels` is the share of pixels that are then bright in both or dark in both (section 4),
`agreement` how often a judge of MNIST sees the same class in both, and `classes` how many classes make up 3 in 100
draws at least, so that none is agreed upon by drawing nothing else. Generators that share nothing draw two digits.

The second experiment adapts: MNIST has classes, USPS has none, and against it stands a network that learnt from MNIST
alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.experiments.experiment import Bar, Experiment, Training
from isthmus.experiments.unit import adaptation

if TYPE_CHECKING:
    from isthmus.data.images import Images

DRAWN, PART = 2000, 200
LEAST = 0.03  # of all draws, to count a class


def measure(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """How often drawn pairs agree in class and in pixels, and how many classes are drawn."""
    import torch

    from isthmus.data.images import to_bytes, to_unit
    from isthmus.evaluation.judge import judge
    from isthmus.evaluation.transforms import grey

    eye, drawn = judge(train[0], test[0]), [model.pairs(PART) for _ in range(DRAWN // PART)]
    a, b = (torch.cat([pair[i].cpu() for pair in drawn]) for i in range(2))
    a, b = to_unit(to_bytes(a)), grey(b)
    told = eye.classify(a)
    shares = torch.bincount(told, minlength=len(train[0].spec.classes)) / len(told)
    return {
        "pairs": {
            "agreement": (told == eye.classify(b)).double().mean().item(),
            "pixels": ((a > 0) == (b > 0)).double().mean().item(),
            "classes": float((shares >= LEAST).sum()),
            "judge": eye.accuracy,
        }
    }


EXPERIMENTS = (
    Experiment(
        name="cogan",
        claim="a code is the same digit on black and in other colours, in nine draws of ten",
        training=Training(
            model="cogan",
            data={"data": ("mnist", "mnist-coloured"), "size": "16"},
            options={
                "features": 40,
                "discriminator_features": 16,
                "hidden": 200,
                "latent": 64,
                "upsampling": "transposed",  # the paper's, and cheaper
                "weight_decay": 3e-3,
                "lr": 6e-4,
            },
            run={"steps": 8000, "batch_size": 32, "average": 0.999},
        ),
        bars=(Bar("pairs/agreement", at_least=0.90), Bar("pairs/classes", at_least=9.0)),
        ablations={"generators share nothing": {"share_generators": False}},
        measure=measure,
    ),
    Experiment(
        name="cogan-adaptation",
        claim="MNIST's classes tell those of USPS, of which none is known",
        training=Training(
            model="cogan",
            data={"data": ("mnist", "usps"), "channels": 1, "size": "28"},
            options={"features": 12, "discriminator_features": 12, "hidden": 200, "adapt": 10.0},
            run={"steps": 7000, "batch_size": 16, "average": 0.995},
        ),
        bars=(Bar("adaptation/gain", at_least=0.20),),
        ablations={"discriminators share nothing": {"share_discriminators": False}},
        measure=adaptation,
    ),
)
