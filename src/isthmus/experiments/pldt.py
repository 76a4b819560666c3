"""A digit becomes one of its class in other colours, though no pixels are ever compared.

Pairs share their class and nothing else, so that many targets are right for one source. `retrieval/accuracy` is how
often the discriminator of pairs, of ten targets with one of each class, finds the one that belongs to a source. Without
that discriminator any digit will do, and one that is never shown irrelevant targets need not look at the source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from isthmus.data.images import Images

SOURCES = 1000


def measure(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """How often the true target is found among ten; never by a model that has no discriminator of pairs."""
    import torch

    if not model.association:
        return {"retrieval": {"accuracy": 0.0}}
    sources, targets = (images.take(torch.randperm(len(images))[:SOURCES]) for images in test)
    batch, classes = sources.batch(torch.arange(len(sources))).to(model.device), len(targets.spec.classes)
    logits = []
    for label in range(classes):
        assert targets.labels is not None
        members = (targets.labels == label).nonzero().flatten()
        chosen = targets.batch(members[torch.randint(len(members), (len(batch),))]).to(model.device)
        logits += model.judge(batch.image, chosen.image)
    found = torch.cat(logits, dim=1).argmax(1)
    return {"retrieval": {"accuracy": (found == batch.label).double().mean().item()}}


EXPERIMENTS = (
    Experiment(
        name="pldt",
        claim="a digit becomes one of its class, blue on yellow, from pairs that share their class alone",
        training=Training(
            model="pldt",
            data={"data": ("mnist", "mnist-coloured"), "pair": "class", "size": "16"},
            options={"features": 24, "lr": 1e-3},
            run={"steps": 8500, "batch_size": 64, "average": 0.998},
        ),
        bars=(Bar("a_to_b/accuracy", at_least=0.90), Bar("retrieval/accuracy", at_least=0.60)),
        ablations={"no discriminator of pairs": {"association": 0.0}, "no irrelevant targets": {"irrelevant": False}},
        measure=measure,
    ),
)
