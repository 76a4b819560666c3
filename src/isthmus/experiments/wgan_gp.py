"""The gradient penalty makes the critic's slope 1 between the two kinds of images, and no mode is lost.

The slope is the norm of the critic's gradient at random places between test images and draws, on MNIST at 16x16. (A
critic of slope s gains W s for a penalty of lambda (s - 1)^2, so that its best slope is 1 + W / (2 lambda), and near 1
only once the distance W is small.) The modes are those of 25 Gaussians in the plane, of which each must have 20 of
10,000 draws within three deviations. The ablation has no penalty, so that nothing bounds the critic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from isthmus.data.images import Images

PLACES, DRAWS = 1000, 10_000
ABLATIONS = {"no penalty": {"penalty": 0.0}}


def slope(model: Any, train: Sequence[Images], test: Sequence[Images], seed: int) -> Mapping[str, Mapping[str, float]]:
    """The mean norm of the critic's gradient, and how far it is from 1."""
    import torch

    from isthmus.losses.penalty import between, squared_norms

    real = test[0].batch(torch.randperm(len(test[0]))[:PLACES]).image
    with torch.enable_grad():
        places = between(real, model.sample(PLACES)).detach().requires_grad_()
        norm = squared_norms(model.critic(places), places).sqrt().mean().item()
    return {"gradient": {"norm": norm, "from_one": abs(norm - 1)}}


def modes(model: Any, train: Sequence[Images], test: Sequence[Images], seed: int) -> Mapping[str, Mapping[str, float]]:
    """How many modes are covered, the share of draws at a mode, and how unequal the modes are."""
    from isthmus.data.gaussians import gaussian_grid, to_points
    from isthmus.evaluation.modes import gaussian_modes

    found = gaussian_modes(to_points(model.sample(DRAWS)), gaussian_grid())
    figures = {"covered": found.covered, "high_quality": found.high_quality or 0.0, "divergence": found.divergence}
    return {"modes": figures, **slope(model, train, test, seed)}


EXPERIMENTS = (
    Experiment(
        name="wgan-gp",
        claim="on MNIST the critic's gradient has norm 1 between real and drawn digits",
        training=Training(
            model="wgan-gp",
            data={"data": ("mnist",), "size": "16"},
            options={"features": 16, "lr": 5e-4},
            run={"steps": 1500, "batch_size": 64},
        ),
        bars=(Bar("gradient/from_one", at_most=0.1),),
        ablations=ABLATIONS,
        measure=slope,
        groups=("samples",),
    ),
    Experiment(
        name="wgan-gp-gaussians",
        claim="of 25 Gaussians in the plane at least 24 are covered",
        training=Training(
            model="wgan-gp",
            data={"data": ("gaussians-25",)},
            options={"network": "mlp", "hidden": 128, "latent": 2, "penalty": 0.1, "lr": 5e-4},
            run={"steps": 9000, "batch_size": 128, "average": 0.999},
        ),
        bars=(Bar("modes/covered", at_least=24), Bar("modes/high_quality", at_least=0.5)),
        ablations=ABLATIONS,
        measure=modes,
    ),
)
