"""Every figure that a trained model's capabilities, and its data, allow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch

from isthmus.core import Autoencodes, Model, Scores, Translates
from isthmus.core.operations import reconstruct
from isthmus.data.images import Images
from isthmus.data.open import class_rule
from isthmus.data.options import DataOptions
from isthmus.errors import CapabilityError
from isthmus.evaluation.judge import judge
from isthmus.evaluation.transfer import in_parts, transfer


def figures(
    model: Model,
    data: DataOptions,
    train: Sequence[Images],
    test: Sequence[Images],
    *,
    draws: int = 4,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Groups of figures by name, measured on `test`; `train` is what judges learn from.

    Raises CapabilityError if there is nothing that can be measured.
    """
    found: dict[str, dict[str, Any]] = {}
    rule = class_rule(data, test)
    if isinstance(model, Translates) and rule is not None:
        found |= transfers(model, rule, train, test, draws, seed)
    if isinstance(model, Autoencodes):
        found["reconstruction"] = {"mean_squared_error": squared_error(model, test[0])}
    if isinstance(model, Scores):
        found["likelihood"] = likelihood(model, test[0], seed)
    if not found:
        raise CapabilityError(
            "nothing can be measured yet: the model was trained without --pair, so no class is expected"
        )
    return found


def transfers(
    model: Translates, rule: dict[int, int], train: Sequence[Images], test: Sequence[Images], draws: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Both directions of a translator, each with the judge of its target domain."""
    matches = torch.zeros(len(test[0].spec.classes), len(test[1].spec.classes), dtype=torch.bool)
    for source, target in rule.items():
        matches[source, target] = True
    directions = {"a_to_b": (0, 1, "b", matches), "b_to_a": (1, 0, "a", matches.T)}
    return {
        name: asdict(
            transfer(
                model,
                test[source],
                test[target],
                to=to,
                matches=table,
                judge=judge(train[target], test[target]),
                draws=draws,
                seed=seed,
            )
        )
        for name, (source, target, to, table) in directions.items()
    }


@torch.no_grad()
def squared_error(model: Autoencodes, data: Images) -> float:
    """Mean squared error of reconstructions, for each pixel in [-1, 1]."""
    image = data.batch(torch.arange(len(data))).image
    return (in_parts(lambda part: reconstruct(model, part), image) - image).square().mean().item()


@torch.no_grad()
def likelihood(model: Scores, data: Images, seed: int) -> dict[str, Any]:
    """Mean log-likelihood of the test images (or its bound), in nats for each image, with its standard error."""
    torch.manual_seed(seed)
    nats = in_parts(model.log_prob, data.batch(torch.arange(len(data))).image).double()
    return {
        "nats": nats.mean().item(),
        "standard_error": nats.std().item() / math.sqrt(len(nats)),
        "images": len(nats),
    }
