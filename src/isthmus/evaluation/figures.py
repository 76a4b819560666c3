"""Every figure that a trained model's capabilities, and its data, allow."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from isthmus.core import Model
from isthmus.data.images import Images
from isthmus.data.open import aligned, by_position, class_rule
from isthmus.data.options import DataOptions
from isthmus.errors import CapabilityError, ConfigError
from isthmus.evaluation.measures import measures
from isthmus.evaluation.reference import Reference
from isthmus.evaluation.subject import Subject
from isthmus.training.draws import drawing
from isthmus.training.validation import evaluating


@torch.no_grad()
def figures(
    model: Model,
    data: DataOptions,
    train: Sequence[Images],
    test: Sequence[Images],
    *,
    groups: Collection[str] = (),
    images: int = 2000,
    draws: int = 4,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Groups of figures by name, each with `standard_errors` and `provenance`: these `groups`, or all that apply.

    Measured on at most `images` images of `test`, and as many that the model draws; `train` is what judges and
    extractors learn from. Raises ConfigError for a group that does not exist, CapabilityError for one that the model
    does not allow, or if none applies; DataError where test images that are pairs by index are none.
    """
    known = measures(len(test))
    if unknown := sorted({*groups} - known.keys()):
        raise ConfigError(f"there is no group of figures {unknown[0]!r}; there are {', '.join(known)}")
    if images < 1 or draws < 1:
        raise ConfigError(f"figures take 1 image and 1 draw or more, got {images} and {draws}")
    if aligned(data):
        by_position(*test)  # of the split that is measured nobody has checked that it holds pairs
    domains = [Reference(*sets, images, seed) for sets in zip(train, test, strict=True)]
    subject = Subject(model, data, domains, allowed(class_rule(data, test), test), draws, seed)
    found = {}
    with evaluating(model):
        for name, measure in known.items():
            if not groups or name in groups:
                with drawing(seed, model.device):  # so that a figure does not depend on which others are taken
                    found[name] = measure(subject)
    if missing := sorted(name for name in groups if found[name] is None):
        raise CapabilityError(f"this model and its data have no figures of {missing[0]}")
    if not any(found.values()):
        raise CapabilityError("nothing can be measured: the model has no capability that these data put to the test")
    return {name: group.to_dict() for name, group in found.items() if group}


def allowed(rule: Mapping[int, int] | None, domains: Sequence[Images]) -> Tensor | None:
    """The rule as a table, bool [classes of the first domain, classes of the second]."""
    if rule is None:
        return None
    table = torch.zeros(*(len(domain.spec.classes) for domain in domains), dtype=torch.bool)
    table[[*rule.keys()], [*rule.values()]] = True
    return table
