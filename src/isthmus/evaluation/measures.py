"""What can be measured of a model: each measure asks for one capability and gives one group of figures.

It gives None where the model or its data lack what it takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from string import ascii_lowercase
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isthmus.core import (
    Autoencodes,
    Batch,
    Bounds,
    Classifies,
    Describes,
    Samples,
    Scores,
    Styles,
    Swaps,
    Translates,
    steps,
)
from isthmus.core.operations import reconstruct
from isthmus.data.cache import Array
from isthmus.data.images import Images, to_bytes, to_unit
from isthmus.data.open import aligned
from isthmus.data.options import DataOptions
from isthmus.evaluation.classification import linear_hits
from isthmus.evaluation.features import JudgeFeatures, extract
from isthmus.evaluation.intervals import Estimate, mean
from isthmus.evaluation.judge import Judge, judge
from isthmus.evaluation.likelihood import GREY_LEVEL, bits_per_dimension, importance_weighted
from isthmus.evaluation.parts import batches, each, part_size
from isthmus.evaluation.perceptual import feature_diversity
from isthmus.evaluation.provenance import Group, Provenance
from isthmus.evaluation.reference import Reference
from isthmus.evaluation.sets import drawn as some
from isthmus.evaluation.structure import WINDOW, psnr, ssim
from isthmus.evaluation.transfer import Spread, transfer
from isthmus.training.draws import heeds_labels

STYLED = 100  # images of which several draws are compared
BOUND_IMAGES, BOUND_SAMPLES = 200, 100  # of the importance-weighted bound, which costs a decoding for each sample


@dataclass(frozen=True)
class Subject:
    """What is measured, on what, and how thoroughly."""

    model: Any  # a `Model`; measures ask for its capabilities
    data: DataOptions
    domains: Sequence[Reference]
    matches: Tensor | None  # bool [classes of the first domain, of the second]: may the one become the other?
    draws: int  # translations of each image
    seed: int

    @property
    def test(self) -> Images:
        """The test images of the first, often the only, domain."""
        return self.domains[0].test


Figures = dict[str, float | Estimate | None]
Measure = Callable[[Subject], Group | None]


def measures(domains: int) -> dict[str, Measure]:
    """Every measure by the name of its group, for a model of so many domains."""
    ways = permutations(zip(range(domains), ascii_lowercase, strict=False), 2)
    between = {f"{a}_to_{b}": partial(translations, source=i, target=j, to=b) for (i, a), (j, b) in ways}
    return {
        "samples": samples,
        "classes": classes,
        "swaps": swaps,
        "classification": classification,
        "features": features,
        "reconstruction": reconstruction,
        "domains": domains_shown,
        "cycles": cycles,
        "styles": styles,
        "likelihood": likelihood,
        "importance_weighted": importance_weighted_likelihood,
        **between,
    }


def samples(subject: Subject) -> Group | None:
    """Distances of draws from as many test images."""
    model, real = subject.model, subject.domains[0]
    return real.distances(drawn(model, len(real.test))) if isinstance(model, Samples) else None


def classes(subject: Subject) -> Group | None:
    """Do draws of a class show it, and are they as varied as real images of the class?"""
    model, real = subject.model, subject.domains[0]
    if not isinstance(model, Samples) or real.judge is None or not heeds_labels(model):
        return None
    return asked(model, real.test, real.judge, subject.seed)


def asked(model: Samples, test: Images, eye: Judge, seed: int) -> Group:
    """Of as many draws as test images, of each class in turn: the share that `eye` sees as it, and how varied."""
    labels = torch.arange(len(test)) % len(test.spec.classes)
    hits, varied, truth, start = [], Spread(), Spread(), 0
    for images in drawn(model, len(labels), labels):
        label = labels[start : start + len(images)]
        hits.append(eye.classify(images) == label)
        varied.update(images, label)
        start += len(images)
    for batch in batches(test, torch.device("cpu")):
        truth.update(batch.image, batch.label)
    found: Figures = {"accuracy": share(hits), "judge": eye.accuracy, "diversity": varied.over(truth)}
    return Group(found, Provenance.of(JudgeFeatures(eye), len(labels), seed=seed))


def swaps(subject: Subject) -> Group | None:
    """Do images whose class was swapped for another show it?"""
    model, real = subject.model, subject.domains[0]
    if not isinstance(model, Swaps) or real.judge is None:
        return None
    hits = []
    for batch in batches(real.test, model.device):
        other = (batch.label + torch.randint_like(batch.label, 1, real.classes)) % real.classes
        images = model.decode(model.swap(model.encode(batch.image, batch.label), other))
        hits.append(real.judge.classify(images.cpu()) == other.cpu())
    found: Figures = {"accuracy": share(hits), "judge": real.judge.accuracy}
    return Group(found, Provenance.of(real.extractor, len(real.test), seed=subject.seed))


def classification(subject: Subject) -> Group | None:
    """The share of test images whose class the model tells."""
    model, test = subject.model, subject.test
    if not isinstance(model, Classifies) or test.labels is None:
        return None
    hits = each(lambda batch: model.classify(batch.image).argmax(1) == batch.label, test, model.device)
    return Group({"accuracy": share([hits])}, Provenance.of(None, len(test)))


def features(subject: Subject) -> Group | None:
    """Of how many test images a linear classifier tells the class by the model's features, and by the pixels alone.

    It learns from as many training images.
    """
    model, real = subject.model, subject.domains[0]
    if not isinstance(model, Describes) or real.classes < 2:
        return None
    known, asked = some(real.train, len(real.test), subject.seed), real.test

    def told(see: Callable[[Tensor], Tensor]) -> Estimate:
        x, y = (each(lambda batch: see(batch.image), images, model.device) for images in (known, asked))
        assert known.labels is not None
        assert asked.labels is not None
        return mean(linear_hits(x, known.labels, y, asked.labels))

    found: Figures = {"accuracy": told(model.describe), "accuracy_of_pixels": told(partial(torch.flatten, start_dim=1))}
    return Group(found, Provenance.of(None, len(asked), seed=subject.seed))


def reconstruction(subject: Subject) -> Group | None:
    """How alike test images and their reconstructions are."""
    model, test = subject.model, subject.test
    if not isinstance(model, Autoencodes):
        return None
    alike = [likeness(shown(reconstruct(model, b.image)), b.image.cpu()) for b in batches(test, model.device)]
    return Group(likenesses(alike), Provenance.of(None, len(test)))


def likelihood(subject: Subject) -> Group | None:
    """The log-likelihood of test images, or the bound of it that the model has."""
    model, test = subject.model, subject.test
    if not isinstance(model, Scores):
        return None
    return Group(
        scores(nats(model.log_prob, test, subject), subject), Provenance.of(None, len(test), seed=subject.seed)
    )


def importance_weighted_likelihood(subject: Subject) -> Group | None:
    """A tighter bound, of a few test images, and what it gains on these over the other."""
    model, some = subject.model, subject.test.take(torch.arange(min(BOUND_IMAGES, len(subject.test))))
    if not isinstance(model, Bounds):
        return None
    tight = nats(lambda image: importance_weighted(model, image, BOUND_SAMPLES), some, subject)
    found = {**scores(tight, subject), "gain": mean(tight - nats(model.log_prob, some, subject))}
    return Group(found, Provenance.of(None, len(some), seed=subject.seed, samples=BOUND_SAMPLES))


def translations(subject: Subject, source: int, target: int, to: str) -> Group | None:
    """One direction: do translations show the class that they should, or else look like the target's images?

    Of pairs, translations are also held to their true partners.
    """
    model, a, b = subject.model, subject.domains[source], subject.domains[target]
    if not isinstance(model, Translates) or to not in model.targets:
        return None
    if subject.matches is not None:
        return transferred(subject, a, b, to, subject.matches if source < target else subject.matches.T)
    alike: list[Tensor] = []

    def carried() -> Iterator[Tensor]:
        for index in torch.arange(len(a.test)).split(part_size(model.spec.shape)):
            images = shown(model.translate(a.test.batch(index).image.to(model.device), to))
            if aligned(subject.data):
                alike.append(likeness(images, b.test.batch(index).image))
            yield images

    found = b.distances(carried())
    return Group({**found.figures, **likenesses(alike)}, found.provenance) if found else None


def cycles(subject: Subject) -> Group | None:
    """How far test images are from what comes of them there and back, as a mean absolute difference in [-1, 1].

    What is there has 8 bits on the way back, so that less cannot hide anything (Chu et al., 2017, arXiv:1712.02950).
    """
    model = subject.model
    if not isinstance(model, Translates) or not {"a", "b"} <= {*model.targets} or len(subject.domains) != 2:
        return None
    found: Figures = {}
    for domain, here, there in zip(subject.domains, "ab", "ba", strict=True):

        def missed(batch: Batch, here: str = here, there: str = there) -> Tensor:
            carried = to_unit(to_bytes(model.translate(batch.image, there)))
            return (model.translate(carried, here) - batch.image).abs().flatten(1).mean(1)

        found[here] = mean(each(missed, domain.test, model.device).double().numpy())
    return Group(found, Provenance.of(None, len(subject.test), seed=subject.seed))


def styles(subject: Subject) -> Group | None:
    """How different the draws are that become of one test image, as a share of how different real images are.

    It is the mean cosine distance of their features, of `subject.draws` for each of a few images.
    """
    model = subject.model
    if not isinstance(model, Styles):
        return None
    found: Figures = {}
    for to in model.targets:
        source, target = (subject.domains[model.specs.index(spec)] for spec in model.ends(to))
        if target.train.spec.rate:
            return None
        images = source.test.batch(torch.arange(min(STYLED, len(source.test)))).image.to(model.device)
        carried = (shown(model.translate(image.expand(subject.draws, -1, -1, -1), to)) for image in images)
        each_image = extract(target.extractor, carried).reshape(len(images), subject.draws, -1)
        spread = [feature_diversity(draws).value for draws in each_image]
        real = feature_diversity(target.features).value
        found[f"diversity_{to}"] = float(np.mean(spread)) / real if real else None
    return Group(found, Provenance.of(target.extractor, len(images), seed=subject.seed, draws=subject.draws))


def domains_shown(subject: Subject) -> Group | None:
    """Of a model that carries to the classes of one data set: does what is carried to a class show it, by a judge?"""
    model, real = subject.model, subject.domains[0]
    if not isinstance(model, Translates) or len(subject.domains) != 1 or real.judge is None:
        return None
    eye, hits = real.judge, []
    for label, to in enumerate(model.targets):

        def right(batch: Batch, label: int = label, to: str = to) -> Tensor:
            return eye.classify(shown(model.translate(batch.image, to))) == label

        hits.append(each(right, real.test, model.device))
    return Group({"accuracy": share(hits), "judge": real.judge.accuracy}, Provenance.of(None, len(real.test)))


def transferred(subject: Subject, source: Reference, target: Reference, to: str, matches: Tensor) -> Group:
    """Transfer accuracy, by a judge that was trained for longer than the one for distances."""
    eye, draws, seed = judge(target.train, target.test), subject.draws, subject.seed
    found = transfer(subject.model, source.test, target.test, to=to, matches=matches, judge=eye, draws=draws, seed=seed)
    accuracy = Estimate(found.accuracy, found.error)
    values = {"accuracy": accuracy, "ceiling": found.ceiling, "diversity": found.diversity, "judge": found.judge}
    return Group(values, Provenance.of(JudgeFeatures(eye), found.images, seed=seed, draws=draws))


def drawn(model: Samples, n: int, labels: Tensor | None = None) -> Iterator[Tensor]:
    """`n` draws, of the classes `labels` [n] where these are given, part by part on the CPU."""
    parts = torch.arange(n).split(part_size(model.spec.shape))
    for index in steps(parts, f"{n} draws"):
        yield shown(model.sample(len(index), None if labels is None else labels[index].to(model.device)))


def shown(images: Tensor) -> Tensor:
    """Images as a screen shows them, nothing brighter than white, on the CPU."""
    return images.float().clamp(-1, 1).cpu()


def likeness(images: Tensor, truth: Tensor) -> Tensor:
    """Squared error, PSNR and, where its window fits, SSIM of each image: [batch, 2 or 3]."""
    found = [(images - truth).square().flatten(1).mean(1), psnr(images, truth)]
    return torch.stack([*found, ssim(images, truth)] if min(truth.shape[2:]) >= WINDOW else found, dim=1)


def likenesses(parts: Sequence[Tensor]) -> dict[str, Estimate]:
    """The same by name, averaged over the images of all parts; nothing of none."""
    columns = torch.cat([*parts]).double().T.numpy() if parts else ()
    return dict(zip(("mean_squared_error", "psnr", "ssim"), map(mean, columns), strict=False))


def nats(log_prob: Callable[[Tensor], Tensor], images: Images, subject: Subject) -> Array:
    """log p of each image [n]; of a density on dequantised images (Theis et al., 2016, arXiv:1511.01844)."""
    width = 0.0 if subject.model.levels or subject.data.binarise else GREY_LEVEL
    parts = (batch.image for batch in batches(images, subject.model.device))
    found = [log_prob(image + width * (torch.rand_like(image) - 0.5)).cpu().double() for image in parts]
    return torch.cat(found).numpy()


def scores(values: Array, subject: Subject) -> dict[str, float | Estimate | None]:
    """The mean of `nats`, and bits for each pixel value: of binary models on binary data, of others on others."""
    levels, dims, found = subject.model.levels, math.prod(subject.test.spec.shape), mean(values)
    if (levels == 2) != subject.data.binarise:
        return {"nats": found}
    bits = bits_per_dimension(found.value, dims, None if levels else GREY_LEVEL)
    return {"nats": found, "bits_per_dimension": Estimate(bits, found.error / (dims * math.log(2)))}


def share(hits: Sequence[Tensor]) -> Estimate:
    """The share of true values among all of them."""
    return mean(torch.cat([*hits]).numpy())
