"""Asymmetric training draws images that show their class and differ, and keeps the class apart from all else.

What is drawn and swapped, and how it is judged, is as in the experiment `cvae`: the classes of test images are each
swapped for a random other one, with z as it was, those of digits and the identities of faces. The ablation is the usual
mistake: the generator lowers -log D and -log C instead of matching mean features.

The third experiment has 100 labelled digits and no more, for the model as for the judge: its control is a judge that
learns from these alone, against one that also learns from 5,000 digits that the model draws. How well a judge learns
from so few is partly luck, so that figures are means over five of each kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.experiments.cvae import measure
from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from isthmus.data.images import Images

LABELS, DRAWN, JUDGES = 100, 5000, 5
HELD_OUT = 1 - LABELS / 60_000  # of the training images, from which nothing is learnt


def augmentation(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """What images that the model draws add to the few that it, too, has learnt from."""
    from dataclasses import replace
    from pathlib import Path
    from statistics import mean

    import torch

    from isthmus.data.images import Images, to_bytes
    from isthmus.evaluation.classification import augmentation_gain
    from isthmus.evaluation.sets import QUICK
    from isthmus.training.options import RunOptions
    from isthmus.training.validation import split

    few, _ = split(train, RunOptions(out=Path("unused"), validation=HELD_OUT, seed=1000 * seed))  # as in its training
    labels = torch.arange(DRAWN) % len(train[0].spec.classes)
    pixels = torch.cat([to_bytes(model.sample(len(part), part)) for part in labels.split(500)])
    made = Images(pixels, train[0].spec, labels)
    gains = [augmentation_gain(few[0], made, test[0], replace(QUICK, seed=judge)) for judge in range(JUDGES)]
    return {"augmentation": {name: mean(getattr(each, name) for each in gains) for name in ("gain", "real", "both")}}


OPTIONS = {"latent": 12, "features": 16, "match_discriminator": 1.0, "match_classifier": 50.0, "lr": 1e-3}
LOGARITHMS = {"log D and log C": {"matching": "adversarial", "match_discriminator": 1.0, "match_classifier": 1.0}}

EXPERIMENTS = (
    Experiment(
        name="cvae-gan",
        claim="MNIST digits are drawn by class in much of their variety, and become any other digit in the same hand",
        training=Training(
            model="cvae-gan",
            data={"data": ("mnist",), "size": "16"},
            options=OPTIONS,
            run={"steps": 6000, "batch_size": 32, "average": 0.997},
        ),
        bars=(
            Bar("drawn/accuracy", at_least=0.97),
            Bar("drawn/diversity", at_least=0.80),
            Bar("swapped/accuracy", at_least=0.90),
        ),
        ablations=LOGARITHMS,
        measure=measure,
        groups=("classification", "reconstruction"),
    ),
    Experiment(
        name="cvae-gan-faces",
        claim="of 40 people, one's face becomes another's, with pose and light as they were",
        training=Training(
            model="cvae-gan",
            data={"data": ("olivetti",), "size": "24", "flip": True},
            options=OPTIONS,
            run={"steps": 3000, "batch_size": 32, "average": 0.99},
        ),
        bars=(Bar("swapped/accuracy", at_least=0.90),),
        ablations=LOGARITHMS,
        measure=measure,
        groups=("classification", "reconstruction"),
    ),
    Experiment(
        name="cvae-gan-augmentation",
        claim="digits drawn by a model that knows 100 labelled ones make a better judge than these alone",
        training=Training(
            model="cvae-gan",
            data={"data": ("mnist",), "size": "16"},
            options=OPTIONS | {"latent": 4},
            run={"steps": 2000, "batch_size": 32, "average": 0.99, "validation": HELD_OUT, "checkpoint_every": 2000},
        ),
        bars=(Bar("augmentation/gain", at_least=0.02),),
        measure=augmentation,
    ),
)
