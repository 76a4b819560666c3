"""What can be measured of a model: each measure asks for one capability and gives one group of figures.

It gives None where the model or its data lack what it takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import permutations
from string import ascii_lowercase

import torch
from torch import Tensor

from isthmus.core import Autoencodes, Bounds, Classifies, Describes, Samples, Scores, Swaps, steps
from isthmus.core.operations import reconstruct
from isthmus.data.cache import Array
from isthmus.data.images import Images
from isthmus.evaluation.classification import linear_hits
from isthmus.evaluation.features import JudgeFeatures
from isthmus.evaluation.intervals import Estimate, mean
from isthmus.evaluation.judge import Judge
from isthmus.evaluation.likelihood import GREY_LEVEL, bits_per_dimension, importance_weighted
from isthmus.evaluation.parts import batches, each, part_size
from isthmus.evaluation.provenance import Group, Provenance
from isthmus.evaluation.sets import drawn as some
from isthmus.evaluation.subject import Figures, Measure, Subject, likeness, likenesses, share, shown
from isthmus.evaluation.transfer import Spread
from isthmus.evaluation.translation import cycles, domains_shown, styles, translations
from isthmus.training.draws import heeds_labels

BOUND_IMAGES, BOUND_SAMPLES = 200, 100  # of the importance-weighted bound, which costs a decoding for each sample


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


def drawn(model: Samples, n: int, labels: Tensor | None = None) -> Iterator[Tensor]:
    """`n` draws, of the classes `labels` [n] where these are given, part by part on the CPU."""
    parts = torch.arange(n).split(part_size(model.spec.shape))
    for index in steps(parts, f"{n} draws"):
        yield shown(model.sample(len(index), None if labels is None else labels[index].to(model.device)))


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
