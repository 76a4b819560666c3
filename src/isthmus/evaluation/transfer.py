"""Does a translation show the class that it should? Transfer accuracy, its ceiling, and diversity within classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from isthmus.core import Bridges, Translates
from isthmus.core.operations import reconstruct
from isthmus.data.images import Images
from isthmus.errors import DataError
from isthmus.evaluation.intervals import mean
from isthmus.evaluation.judge import Judge
from isthmus.evaluation.parts import batches, each


@dataclass(frozen=True)
class Transfer:
    """One direction's figures."""

    accuracy: float  # translations of test images that the judge sees as the class the pairing rule asks for
    error: float  # standard error of the accuracy; NaN for a single source
    ceiling: float | None  # the same of the target autoencoder's reconstructions of real images; None without one
    diversity: float | None  # deviation of pixels within a class, translations over real images: 0 is collapse
    judge: float  # the judge's own accuracy on real images
    images: int  # translations judged


class Spread:
    """Deviation of pixels within a class, of images that come in batches."""

    def __init__(self) -> None:
        self.sums: dict[int, tuple[int, Tensor, Tensor]] = {}  # label -> count, sum, sum of squares

    def update(self, images: Tensor, labels: Tensor) -> None:
        """Take in images [batch, channels, height, width] of classes [batch]."""
        for label in labels.unique().tolist():
            own = images[labels == label].double()
            count, total, squares = self.sums.get(label, (0, torch.zeros(()), torch.zeros(())))
            self.sums[label] = count + len(own), total + own.sum(0), squares + own.square().sum(0)

    def compute(self) -> float:
        """The root of the mean variance, averaged over the classes."""
        variances = (squares / count - (total / count).square() for count, total, squares in self.sums.values())
        return torch.stack([variance.clamp_min(0).mean().sqrt() for variance in variances]).mean().item()

    def over(self, real: Spread) -> float | None:
        """As a share of real images' deviation; None if these do not differ within their classes."""
        whole = real.compute()
        return self.compute() / whole if whole else None


@torch.no_grad()
def transfer(
    model: Translates,
    source: Images,
    target: Images,
    *,
    to: str,
    matches: Tensor,
    judge: Judge,
    draws: int = 4,
    seed: int = 0,
) -> Transfer:
    """Measure one direction on test images of both domains.

    `matches` [classes of source, classes of target] is true where a translation from the one may show the other.
    `target` is domain `to`, and what `judge` was trained on; each source image is translated `draws` times. Raises
    DataError if no image belongs to a class that matches any.
    """
    sources, real = those_of(source, matches.any(1)), those_of(target, matches.any(0))
    shown, truth, hits = Spread(), Spread(), []
    torch.manual_seed(seed)
    for _ in range(draws):
        for batch in batches(sources, model.device):
            images, labels = model.translate(batch.image, to).cpu(), batch.label.cpu()
            hits.append(matches[labels, judge.classify(images)])
            shown.update(images, labels)
    for batch in batches(real, torch.device("cpu")):
        truth.update(batch.image, batch.label)
    accuracy = mean(torch.cat(hits).view(draws, -1).double().mean(0).numpy())  # draws of one source are not independent
    return Transfer(
        accuracy=accuracy.value,
        error=accuracy.error,
        ceiling=ceiling(model, real, to, judge) if isinstance(model, Bridges) else None,
        diversity=shown.over(truth),
        judge=judge.accuracy,
        images=draws * len(sources),
    )


def ceiling(model: Bridges, real: Images, to: str, judge: Judge) -> float:
    """The share of real images whose class survives the target's autoencoder."""
    autoencoder = model.autoencoder(to)
    seen = each(lambda batch: judge.classify(reconstruct(autoencoder, batch.image).cpu()), real, model.device)
    assert real.labels is not None
    return (seen == real.labels).double().mean().item()


def those_of(data: Images, wanted: Tensor) -> Images:
    """The images of the classes where `wanted` [classes] is true."""
    if data.labels is None:
        raise DataError(f"transfer accuracy needs data with classes; {data.spec.name} has none")
    index = wanted[data.labels].nonzero().flatten()
    if not len(index):
        raise DataError(f"no test image of {data.spec.name} belongs to a class of the pairing rule")
    return data.take(index)
