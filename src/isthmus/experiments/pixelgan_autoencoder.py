"""The code says what a digit is and the decoder how it is written, though nobody named a digit; the game makes it so.

Clusters: that of an image is the largest entry of its code. Each takes the name of the class that most training images
in it have; accuracy is the share of test images with the name of their class. k-means with as many clusters stands
beside it, since many clusters alone go far. Information: what test images cost more, in nats, with the code of another
image. Prior: how often a classifier tells the codes of test images from codes of the prior, half of the time where they
are distributed alike (Lopez-Paz and Oquab, 2017, arXiv:1610.06545). Both come with the noise that the discriminator
sees, since probabilities never are exactly 0 and 1.

The first ablation has no game: codes then say more, and are nothing like the prior. The second tells the decoder the
code in the same way at every place, which suffices for how strokes look and not for where they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from torch import Tensor

    from isthmus.data.images import Images

SCORED = 2000  # test images whose likelihood is taken


def measure(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """Whether clusters are classes, what the code is worth in nats, and how far codes are from the prior."""
    import torch

    (x, known), (y, wanted) = seen(train[0]), seen(test[0])
    codes, own = (torch.cat([model.encode(part) for part in images.split(500)]) for images in (x, y))
    clusters = codes.argmax(1), own.argmax(1)
    shares = clusters[1].bincount(minlength=model.latent) / len(y)
    scored = y[:SCORED].split(100), own[:SCORED].split(100), own[torch.randperm(SCORED)].split(100)
    gains = [
        model.log_likelihood(images, right) - model.log_likelihood(images, wrong)
        for images, right, wrong in zip(*scored, strict=True)
    ]
    noisy, prior = (z + model.smoothing * torch.randn_like(z) for z in (own, model.prior_code(len(own))))
    return {
        "clusters": {
            "accuracy": named(*clusters, known, wanted),
            "k_means": named(*k_means(x, y, model.latent, seed), known, wanted),
            "in_use": torch.special.entr(shares).sum().exp().item(),
        },
        "information": {"nats": torch.cat(gains).mean().item()},
        "prior": {"told_apart": told_apart(noisy, prior, seed)},
    }


def seen(images: Images) -> tuple[Tensor, Tensor]:
    """All images of a data set, and their labels."""
    import torch

    batch = images.batch(torch.arange(len(images)))
    assert batch.label is not None
    return batch.image, batch.label


def named(clusters: Tensor, own: Tensor, labels: Tensor, wanted: Tensor) -> float:
    """The share of images, in clusters `own` [m], of the class `wanted` [m] that most of `labels` [n] name theirs."""
    import torch

    counts = torch.zeros(int(max(clusters.max(), own.max())) + 1, int(labels.max()) + 1)
    counts.index_put_((clusters, labels), torch.ones(len(labels)), accumulate=True)
    return (counts.argmax(1)[own] == wanted).float().mean().item()


def k_means(x: Tensor, y: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Clusters [n], [m] of images, found among the pixels of `x`."""
    import torch
    from sklearn.cluster import MiniBatchKMeans

    means = MiniBatchKMeans(count, batch_size=1024, n_init=3, random_state=seed).fit(x.flatten(1).numpy())
    found, own = (torch.from_numpy(means.predict(images.flatten(1).numpy())).long() for images in (x, y))
    return found, own


def told_apart(a: Tensor, b: Tensor, seed: int) -> float:
    """The accuracy of a classifier of points [n, dims], one half of them for training and one for the test."""
    import torch
    from sklearn.neural_network import MLPClassifier

    points, label = torch.cat([a, b]), torch.arange(len(a) + len(b)) < len(a)
    mine, others = torch.randperm(len(points)).chunk(2)
    classifier = MLPClassifier((64,), early_stopping=True, random_state=seed).fit(points[mine], label[mine])
    return float(classifier.score(points[others], label[others]))


EXPERIMENTS = (
    Experiment(
        name="pixelgan-autoencoder",
        claim="without labels sixteen clusters are found that are mostly digits, and their codes match the prior",
        training=Training(
            model="pixelgan-autoencoder",
            data={"data": ("mnist",), "binarise": True},
            options={
                "prior": "categorical",
                "levels": 2,
                "features": 16,
                "layers": 1,
                "first_kernel": 7,
                "lr": 4e-3,
                "lr_adversarial": 2e-3,
            },
            run={"steps": 1600, "batch_size": 32},
        ),
        bars=(
            Bar("clusters/accuracy", at_least=0.6),
            Bar("information/nats", at_least=5.0),
            Bar("prior/told_apart", at_most=0.65),
        ),
        ablations={"no game": {"adversarial": False}, "code the same everywhere": {"location_dependent": False}},
        measure=measure,
    ),
)
