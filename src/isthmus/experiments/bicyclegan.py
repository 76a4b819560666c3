"""An outline becomes its shape in the colour that the style says, and the style is found again in what was made.

What is drawn and how it is judged is as in the experiment `munit`, but outlines and filled shapes are shown in pairs.
`rebuilt/l1` is what a picture misses that is made of its outline and its own style, as a share of the range of values.
Discriminators see the outline, too, so that a shape has to fill it. The cVAE-GAN alone never draws a style, so that
drawn ones lie where the generator has not been, and give colours between the true ones; the latent regressor alone
compares no image with its own, and rebuilds none as well.

The second experiment draws shoes and bags of their edges, and how different they are, and whether they fill their
outlines, is measured as in `munit-shoes`. The ablation has neither pictures that are rebuilt nor noise that is found
again: a GAN alone, whose discriminators do not see the outline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.experiments import munit
from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from isthmus.data.images import Images


def measure(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """What becomes of outlines with styles drawn, of examples, and their own."""
    import torch

    missed = []
    for index in torch.arange(len(test[0])).split(500):
        a, b = (images.batch(index).image.to(model.device) for images in test)
        missed.append((model.restyle(a, "b", model.style(b, "b")) - b).abs().flatten(1).mean(1).cpu() / 2)
    return {**munit.measure(model, train, test, seed), "rebuilt": {"l1": torch.cat(missed).double().mean().item()}}


SMALL = {"features": 16, "patch": 1, "lr": 5e-4}
RUN = {"steps": 11000, "batch_size": 4, "average": 0.995}

EXPERIMENTS = (
    Experiment(
        name="bicyclegan",
        claim="an outline becomes its shape in all six colours, and each style is found again in what it made",
        training=Training(
            model="bicyclegan",
            data={"data": ("outlines", "fillings"), "pair": "index"},
            options={**SMALL, "latent": 2, "conditional": True},
            run=RUN,
        ),
        bars=(
            Bar("styles/colours", at_least=5.0),
            Bar("shape/iou", at_least=0.80),
            Bar("styles/named", at_least=0.65),
            Bar("styles/recovered", at_least=0.80),
            Bar("rebuilt/l1", at_most=0.03),
        ),
        ablations={"cVAE-GAN alone": {"cycles": "encoded"}, "cLR-GAN alone": {"cycles": "random"}},
        measure=measure,
    ),
    Experiment(
        name="bicyclegan-shoes",
        claim="edges of shoes and bags become many different ones, more alike than real ones are",
        training=Training(
            model="bicyclegan",
            data={"data": ("fashion-edges:5,7-9", "fashion-mnist:5,7-9"), "pair": "index"},
            options={**SMALL, "latent": 3},
            run=RUN,
        ),
        bars=(*munit.VARIED, Bar("shape/iou", at_least=0.65)),
        ablations={"GAN alone": {"cycles": "random", "regression": 0.0}},
        measure=munit.filled,
        groups=("a_to_b",),
    ),
)
