"""Does a translation show the class that it should? Transfer accuracy, its ceiling, and diversity within classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from isthmus.core import Bridges, Translates
from isthmus.core.operations import reconstruct
from isthmus.data.images import Images
from isthmus.errors import DataError
from isthmus.evaluation.judge import Judge

PART = 500  # images translated at once


@dataclass(frozen=True)
class Transfer:
    """One direction's figures."""

    accuracy: float  # translations of test images that the judge sees as the class the pairing rule asks for
    ceiling: float | None  # the same of the target autoencoder's reconstructions of real images; None without one
    diversity: float  # deviation of pixels within a class, translations over real images: 0 is collapse
    judge: float  # the judge's own accuracy on real images
    images: int  # translations judged


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
    sources, origins = those_of(source, matches.any(1))
    real, labels = those_of(target, matches.any(0))
    origins = origins.repeat(draws)
    torch.manual_seed(seed)
    images = torch.cat([in_parts(lambda part: model.translate(part, to), sources) for _ in range(draws)])
    ceiling = None
    if isinstance(model, Bridges):
        autoencoder = model.autoencoder(to)
        ceiling = share(judge.classify(in_parts(lambda part: reconstruct(autoencoder, part), real)) == labels)
    return Transfer(
        accuracy=share(matches[origins, judge.classify(images)]),
        ceiling=ceiling,
        diversity=spread(images, origins) / spread(real, labels),
        judge=judge.accuracy,
        images=len(images),
    )


def those_of(data: Images, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """The images of the classes where `wanted` [classes] is true, and their labels."""
    if data.labels is None:
        raise DataError(f"transfer accuracy needs data with classes; {data.spec.name} has none")
    index = wanted[data.labels].nonzero().flatten()
    if not len(index):
        raise DataError(f"no test image of {data.spec.name} belongs to a class of the pairing rule")
    batch = data.batch(index)
    return batch.image, batch.label


def in_parts(function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """`function` of many images with bounded memory."""
    return torch.cat([function(part) for part in torch.split(images, PART)])


def share(hits: Tensor) -> float:
    return hits.float().mean().item()


def spread(images: Tensor, labels: Tensor) -> float:
    """Standard deviation of pixels within a class: the root of the mean variance, averaged over the classes."""
    deviations = [images[labels == label].var(0, correction=0).mean().sqrt() for label in labels.unique()]
    return torch.stack(deviations).mean().item()
