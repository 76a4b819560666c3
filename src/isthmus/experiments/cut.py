"""Patches that can be told apart keep an image's content, one way and without a way back.

Red digits on black become green ones on blue; the sets are made of different digits. Strokes are brighter than the
ground in both, since what one encoder sees in both is to be alike. The true translation is known and never shown: a
judge that was trained on real digits sees translations after the known transform is undone (`kept`), another says
whether their colours are those of the target (`coloured`). In the ablation no patch is asked where it comes from, so
that any digit of the target will do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from isthmus.data.images import Images


SOURCE, TARGET = 0, 3  # red on black, green on blue


def measure(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """Digits that are kept, colours that are reached, and the mean distance in [-1, 1] from the true grey levels."""
    import torch

    from isthmus.data.open import open_data
    from isthmus.data.options import DataOptions
    from isthmus.data.worlds import DOMAINS
    from isthmus.evaluation.judge import judge
    from isthmus.evaluation.parts import each
    from isthmus.evaluation.transforms import grey

    mnist, domains = DataOptions(data=("mnist",)), DataOptions(data=("mnist-domains",))
    (learnt,), (digits,) = open_data(mnist, "train"), open_data(mnist, "test")
    (colours,), (all_four,) = open_data(domains, "train"), open_data(domains, "test")
    eye, coloured = judge(learnt, digits), judge(colours, all_four)
    digits = digits.take(torch.arange(len(digits))[SOURCE :: len(DOMAINS)])
    made = each(lambda batch: model.translate(batch.image, "b"), test[0], model.device)
    seen = grey(made, *[*DOMAINS.values()][TARGET])
    assert digits.labels is not None
    kept = torch.eq(eye.classify(seen), digits.labels).double().mean().item()
    truth = each(lambda batch: batch.image, digits, torch.device("cpu"))
    reached = torch.eq(coloured.classify(made.cpu()), TARGET).double().mean().item()
    missed = (seen - truth).abs().mean().item()
    return {"transform": {"kept": kept, "coloured": reached, "missed": missed, "judge": eye.accuracy}}


EXPERIMENTS = (
    Experiment(
        name="cut",
        claim="red digits on black become green on blue and stay the digits that they are, with one generator",
        training=Training(
            model="cut",
            data={"data": (f"mnist-domains:{SOURCE}", f"mnist-domains:{TARGET}")},
            options={"features": 16, "blocks": 3, "patch": 1, "places": 64, "hidden": 64},
            run={"steps": 4500, "batch_size": 4, "average": 0.995},
        ),
        bars=(Bar("transform/kept", at_least=0.9), Bar("transform/coloured", at_least=0.95)),
        ablations={"no contrast": {"contrast": 0.0, "identity": 0.0}},
        measure=measure,
    ),
)
