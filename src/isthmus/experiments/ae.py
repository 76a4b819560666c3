"""The autoencoder reconstructs better than principal components, and its codes are no Gaussian.

All errors are squared, the mean over the pixels of test images in [0, 1]. Principal components are those of the
training images, as many as the code has values. The ablation, one linear layer each way, can be no better than these;
that it is hardly worse is shown by its `over_pca`, which is 1 where both are equal.

Why the model does not sample: noise from N(0, I) decodes to images far from real ones (Fréchet distance of a judge's
features), nearer only if the Gaussian is fitted to the codes of training images first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from torch import Tensor

    from isthmus.data.images import Images


def measure(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """The error beside that of principal components; and how far decoded noise is from real images."""
    import torch

    from isthmus.evaluation.features import JudgeFeatures, extract, features_of
    from isthmus.evaluation.frechet import frechet_distance
    from isthmus.evaluation.judge import judge
    from isthmus.evaluation.sets import QUICK

    x, y = (images.batch(torch.arange(len(images))).image for images in (train[0], test[0]))
    codes, own = (torch.cat([model.encode(part) for part in images.split(500)]) for images in (x, y))
    error = (model.output(own) - (y + 1) / 2).square().mean().item()
    pca = principal_error((x.flatten(1) + 1) / 2, (y.flatten(1) + 1) / 2, codes.shape[1])

    eye = JudgeFeatures(judge(train[0], test[0], QUICK))
    real, noise = features_of(eye, test[0]), torch.randn(len(y), codes.shape[1])
    fitted = codes.mean(0) + noise @ torch.linalg.cholesky(codes.T.cov()).T

    def distance(points: Tensor) -> float:
        return frechet_distance(real, extract(eye, (model.decode(part) for part in points.split(500))))

    return {
        "error": {"per_pixel": error, "pca": pca, "over_pca": error / pca},
        "frechet": {"decoded_noise": distance(noise), "decoded_fit": distance(fitted)},
    }


def principal_error(x: Tensor, y: Tensor, count: int) -> float:
    """The error on `y` [n, values] of so many principal components of `x` [m, values]."""
    import torch

    middle = x.mean(0)
    components = torch.linalg.eigh((x - middle).T.double().cov()).eigenvectors[:, -count:].float()
    rest = y - middle
    return (rest - rest @ components @ components.T).square().mean().item()


EXPERIMENTS = (
    Experiment(
        name="ae",
        claim="32 numbers hold more of a digit than 32 principal components do; one linear layer finds just these",
        training=Training(
            model="ae",
            data={"data": ("mnist",)},
            options={"latent": 32},
            run={"steps": 3000, "batch_size": 64, "average": 0.99},
        ),
        bars=(Bar("error/per_pixel", at_most=0.010),),
        ablations={"one linear layer": {"linear": True}},
        measure=measure,
    ),
)
