"""Maps become pictures in which a network that learnt on real ones finds again what the maps say, in sharp textures.

How well it finds it is the FCN-score, and `of_truth` its share of what real pictures get. How sharp translations are
is the energy of their gradients, as a share of real pictures'. L1 alone blurs whatever the map leaves open; a
discriminator that is blind to the map, with nothing beside it, asks for some picture, and not for that of the map; and
without skips borders have to pass a single pixel.
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
    """The FCN-score of translated test maps beside that of the pictures they belong to, and how sharp both are."""
    import torch

    from isthmus.data.images import to_bytes, to_unit
    from isthmus.data.textures import KINDS
    from isthmus.evaluation.parts import each
    from isthmus.evaluation.segmentation import fcn_scores, labels_from_colours, segmenter
    from isthmus.evaluation.sharpness import gradient_energy

    learnt, asked = (labels_from_colours(maps, [*KINDS.values()]) for maps in (train[0], test[0]))
    with torch.enable_grad():
        network = segmenter(train[1].pixels, learnt, len(KINDS))
    made = each(lambda batch: to_bytes(model.translate(batch.image, "b")), test[0], model.device)
    real = test[1].pixels
    rows = fcn_scores(network, generated=made, real=real, labels=asked)
    energy, truth = (gradient_energy(to_unit(pixels)).mean().item() for pixels in (made, real))
    found = rows["generated"]
    return {
        "fcn": {
            "pixel_accuracy": found.pixel_accuracy,
            "class_iou": found.class_iou,
            "truth": rows["truth"].pixel_accuracy,
            "of_truth": found.pixel_accuracy / rows["truth"].pixel_accuracy,
        },
        "sharpness": {"of_truth": energy / truth},
    }


EXPERIMENTS = (
    Experiment(
        name="pix2pix",
        claim="maps become pictures in which what they say is found again, and which are as sharp as real ones",
        training=Training(
            model="pix2pix",
            data={"data": ("texture-maps", "textures"), "pair": "index"},
            options={"features": 32, "patch": 1, "lr": 5e-4},
            run={"steps": 3500, "batch_size": 4},
        ),
        bars=(Bar("fcn/of_truth", at_least=0.95), Bar("sharpness/of_truth", at_least=0.80)),
        ablations={
            "L1 alone": {"adversarial": 0.0},
            "discriminator blind to the map": {"conditional": False, "l1": 0.0},
            "no skips": {"skips": False},
        },
        measure=measure,
    ),
)
