"""Measures of models that carry images from one domain to another: there, there and back, in many styles."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from string import ascii_lowercase

import numpy as np
import torch
from torch import Tensor

from isthmus.core import Batch, Styles, Translates
from isthmus.data.cache import Array
from isthmus.data.images import Images, to_bytes, to_unit
from isthmus.data.open import aligned
from isthmus.evaluation.features import JudgeFeatures, extract
from isthmus.evaluation.intervals import Estimate, mean
from isthmus.evaluation.judge import Judge, judge
from isthmus.evaluation.parts import each, part_size
from isthmus.evaluation.perceptual import feature_diversity
from isthmus.evaluation.provenance import Group, Provenance
from isthmus.evaluation.reference import Reference, over
from isthmus.evaluation.subject import Figures, Subject, likeness, likenesses, share, shown
from isthmus.evaluation.transfer import transfer

STYLED = 100  # images of which several draws are compared


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

    Where classes are domains, there is the next class. What is there has 8 bits on the way back, so that less cannot
    hide anything (Chu et al., 2017, arXiv:1712.02950). Images come back in the style that they had, where there are
    styles: a random one would be another image.
    """
    model, classes = subject.model, class_targets(subject)
    if not isinstance(model, Translates):
        return None
    found: Figures = {}
    counts = []
    for i, (letter, domain) in enumerate(zip("ab", subject.domains, strict=False)):
        missed: list[Tensor] = []
        for images, here, there in rounds(classes[i], domain) if classes else [(domain.test, letter, "ba"[i])]:
            if not {here, there} <= {*model.targets}:
                continue

            def lost(batch: Batch, here: str = here, there: str = there) -> Tensor:
                carried = to_unit(to_bytes(model.translate(batch.image, there)))
                return (back(model, carried, batch.image, here) - batch.image).abs().flatten(1).mean(1)

            missed.append(each(lost, images, model.device))
        if missed:
            found[letter] = mean(torch.cat(missed).double().numpy())
            counts.append(sum(map(len, missed)))
    return Group(found, Provenance.of(None, *counts, seed=subject.seed)) if found else None


def back(model: Translates, carried: Tensor, image: Tensor, here: str) -> Tensor:
    """What became of `image`, carried back to its domain, in its own style where the model knows styles."""
    if isinstance(model, Styles):
        return model.restyle(carried, here, model.style(image, here))
    return model.translate(carried, here)


def class_targets(subject: Subject) -> list[tuple[str, ...]]:
    """Of a model whose domains are the classes of its data sets: how it names those of each data set."""
    names, targets = [domain.test.spec.classes for domain in subject.domains], getattr(subject.model, "targets", ())
    if len(targets) != sum(map(len, names)) or not all(map(str.endswith, targets, chain(*names))):
        return []
    remaining = iter(targets)
    return [tuple(islice(remaining, len(classes))) for classes in names]


def rounds(names: Sequence[str], domain: Reference) -> Iterator[tuple[Images, str, str]]:
    """The test images of each class, its name, and that of the next."""
    assert domain.test.labels is not None
    for label, here in enumerate(names):
        index = (domain.test.labels == label).nonzero().flatten()
        if len(index) and len(names) > 1:
            yield domain.test.take(index), here, names[(label + 1) % len(names)]


def styles(subject: Subject) -> Group | None:
    """How different the draws are that become of one test image, as a share of how different real images are.

    It is the mean cosine distance of their features, of `subject.draws` for each of a few images. Where classes are
    domains, the real images are those of the class: all together differ by what no style changes. None, with a
    warning, where there are no two to compare.
    """
    model = subject.model
    if not isinstance(model, Styles) or any(spec.rate for spec in model.specs):
        return None
    if subject.draws < 2:
        warnings.warn(f"no styles: they take 2 draws of each image or more, got {subject.draws}", stacklevel=2)
        return None
    found: Figures = {}
    eyes, counts = [], []
    for to in model.targets:
        source, (target, real) = subject.domains[model.specs.index(model.ends(to)[0])], goal(subject, to)
        if real.sum() < 2:
            wanted = f"no diversity_{to}: it takes 2 test images of {target.test.spec.name} or more to compare with"
            warnings.warn(f"{wanted}, got {real.sum()}", stacklevel=2)
            continue
        images = source.test.batch(torch.arange(min(STYLED, len(source.test)))).image.to(model.device)
        carried = (model.translate(image.expand(subject.draws, -1, -1, -1), to) for image in images)
        found[f"diversity_{to}"] = spread(target, carried, subject.draws, real)
        eyes.append(target.extractor)
        counts.append(len(images))
    return Group(found, Provenance.of(eyes, *counts, seed=subject.seed, draws=subject.draws)) if found else None


def goal(subject: Subject, to: str) -> tuple[Reference, Array]:
    """What translations to `to` should look like: a domain, and which of its test images, bool [n]."""
    for names, domain in zip(class_targets(subject), subject.domains, strict=False):
        if to in names:
            assert domain.test.labels is not None
            return domain, (domain.test.labels == names.index(to)).numpy()
    domain = subject.domains[subject.model.specs.index(subject.model.ends(to)[1])]
    return domain, np.ones(len(domain.test), dtype=bool)


def spread(target: Reference, carried: Iterable[Tensor], draws: int, real: Array | slice = slice(None)) -> float | None:
    """The mean diversity of `draws` translations of each image, as a share of that of `real` test images of a target.

    `real` says which of them; by default all.
    """
    features = extract(target.extractor, map(shown, carried))
    of_each = [feature_diversity(found).value for found in features.reshape(-1, draws, features.shape[-1])]
    return over(float(np.mean(of_each)), feature_diversity(target.features[real]).value)


def domains_shown(subject: Subject) -> Group | None:
    """Of a model that carries to classes: does what is carried to a class show it, by a judge of its data set?"""
    model = subject.model
    if not isinstance(model, Translates) or not (classes := class_targets(subject)):
        return None
    found: Figures = {}
    eyes, counts = [], []
    for letter, names, real in zip(ascii_lowercase, classes, subject.domains, strict=False):
        if (eye := real.judge) is None:
            continue
        hits = []
        for label, to in enumerate(names):

            def right(batch: Batch, label: int = label, to: str = to, eye: Judge = eye) -> Tensor:
                return eye.classify(shown(model.translate(batch.image, to))) == label

            hits.append(each(right, real.test, model.device))
        end = f"_{letter}" if len(classes) > 1 else ""
        found |= {f"accuracy{end}": share(hits), f"judge{end}": eye.accuracy}
        eyes.append(real.extractor)
        counts.append(len(real.test))
    return Group(found, Provenance.of(eyes, *counts, seed=subject.seed)) if found else None


def transferred(subject: Subject, source: Reference, target: Reference, to: str, matches: Tensor) -> Group:
    """Transfer accuracy, by a judge that was trained for longer than the one for distances."""
    eye, draws, seed = judge(target.train, target.test), subject.draws, subject.seed
    found = transfer(subject.model, source.test, target.test, to=to, matches=matches, judge=eye, draws=draws, seed=seed)
    accuracy = Estimate(found.accuracy, found.error)
    values = {"accuracy": accuracy, "ceiling": found.ceiling, "diversity": found.diversity, "judge": found.judge}
    return Group(values, Provenance.of(JudgeFeatures(eye), found.images, seed=seed, draws=draws))
