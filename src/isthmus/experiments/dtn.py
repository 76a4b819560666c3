"""Coloured digits on photographs become plain ones, by what a classifier of the former sees.

MNIST-M is the source, MNIST the target, of which no class is known. A judge of MNIST tells whether translations of test
images show the class of their source. The model knows classes through f, so that the figure is not one without labels;
`f` is the accuracy of f itself on the same images, which bounds it. Ablations: features need not stay, and a G that
learns its own encoder.
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
    """Translations that a judge of the target sees as what their source shows, and what f itself tells."""
    import torch

    from isthmus.evaluation.judge import judge
    from isthmus.evaluation.parts import each

    eye = judge(train[1], test[1])

    def right(batch: Any) -> torch.Tensor:
        told = [eye.classify(model.translate(batch.image, "b").cpu()), model.f.classify(batch.image).argmax(1).cpu()]
        return torch.stack(told, dim=1) == batch.label.cpu()[:, None]

    kept, known = each(right, test[0], model.device).double().mean(0).tolist()
    return {"digit": {"kept": kept, "f": known, "judge": eye.accuracy}}


def told(model: Any, train: Sequence[Images], test: Sequence[Images], seed: int) -> Mapping[str, Mapping[str, float]]:
    """The classifier's accuracy, and as a control that of a linear one that sees pixels."""
    from isthmus.evaluation.classification import linear_hits
    from isthmus.evaluation.parts import each
    from isthmus.evaluation.sets import drawn

    known, asked = drawn(train[0], LEARNT, seed), test[0]
    right = each(lambda batch: model.classify(batch.image).argmax(1) == batch.label, asked, model.device)
    x, y = (each(lambda batch: batch.image.flatten(1), images, model.device) for images in (known, asked))
    assert known.labels is not None
    assert asked.labels is not None
    linear = linear_hits(x, known.labels, y, asked.labels)
    return {"told": {"accuracy": right.double().mean().item(), "pixels": float(linear.mean())}}


LEARNT = 5000  # images that the control learns from
FORM = {"channels": 3, "size": "28", "crop": 0.14}

F = Training("dtn-classifier", {"data": ("mnist-m",), **FORM}, {"features": 48}, {"steps": 1800, "batch_size": 64})

EXPERIMENTS = (
    Experiment(
        name="dtn",
        claim="coloured digits on photographs become plain ones of their class",
        training=Training(
            model="dtn",
            data={"data": ("mnist-m", "mnist"), **FORM},
            options={"features": 24, "constancy": 0.3, "lr": 1e-3},
            run={"steps": 2800, "batch_size": 32, "average": 0.995},
            parts={"f": F},
        ),
        bars=(Bar("digit/kept", at_least=0.85),),
        ablations={"features need not stay": {"constancy": 0.0}, "G learns its own encoder": {"upon_f": False}},
        measure=measure,
    ),
    Experiment(
        name="dtn-classifier",
        claim="the network that the domain transfer network builds upon tells digits on photographs, pixels do not",
        training=F,
        bars=(Bar("told/accuracy", at_least=0.90), Bar("told/pixels", at_most=0.60)),
        measure=told,
    ),
)
