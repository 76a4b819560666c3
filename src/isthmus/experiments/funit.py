"""Digits get a look of which no training image was, known by one or by five examples, and stay the digits.

A look is one of eight colours on another, and seven of the 56 are never seen, of which no two share ink or ground.
`one` and `five` are the shares of translations that a judge of all looks takes for the one that so many examples show,
`gain` what five examples add, `chance` one of 56. A judge of MNIST says whether the digit, which no label tells, is
still there after the look is undone. A discriminator that is told no classes, and features that need not match, leave
the generator free to make any look real.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.experiments import munit
from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from torch import Tensor

    from isthmus.data.images import Images

SOURCES = 500
SHOTS = {"one": 1, "five": 5}


def measure(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """How often images of known looks become ones of each unseen look, and keep their digit."""
    import torch

    from isthmus.data.images import to_unit
    from isthmus.data.open import open_data
    from isthmus.data.options import DataOptions
    from isthmus.data.worlds import LOOKS
    from isthmus.evaluation.judge import judge
    from isthmus.evaluation.transforms import grey

    learnt, shown, mnist = whole(test[0], "train"), whole(test[0], "test"), DataOptions(data=("mnist",))
    (plain,), (truth,) = open_data(mnist, "train"), open_data(mnist, "test")
    looks, digits = judge(learnt, shown), judge(plain, truth)
    index = torch.randperm(len(shown))
    index = index[isin(shown, index, model.spec.classes)][:SOURCES]
    rates, kept = {}, []
    for name, shots in SHOTS.items():
        seen = []
        for label, made in carried(model, shown, index, shots):
            seen.append(looks.classify(to_unit(made)) == label)
            undone = grey(to_unit(made), *LOOKS[shown.spec.classes[label]])
            kept.append(digits.classify(undone) == truth.batch(index).label)
        rates[name] = torch.cat(seen).double().mean().item()
    return {
        "unseen": {**rates, "gain": rates["five"] - rates["one"], "chance": 1 / len(LOOKS), "judge": looks.accuracy},
        "digits": {"kept": torch.cat(kept).double().mean().item(), "judge": digits.accuracy},
    }


def whole(part: Images, split: Any) -> Images:
    """All classes of the data set of which `part` has some."""
    from isthmus.data.open import open_data
    from isthmus.data.options import DataOptions

    (images,) = open_data(DataOptions(data=(part.spec.name.partition(":")[0],)), split)
    return images


def isin(images: Images, index: Tensor, classes: Sequence[str]) -> Tensor:
    """Which of the images [n] are of the classes of these names: bool [n]."""
    import torch

    assert images.labels is not None
    return torch.isin(images.labels[index], torch.tensor([images.spec.classes.index(name) for name in classes]))


def carried(model: Any, images: Images, index: Tensor, shots: int) -> list[tuple[int, Tensor]]:
    """For each class that the model has not seen its label, and the images `index` in it, as bytes [n, ...].

    Each has `shots` examples of its own.
    """
    import torch

    made = []
    for label, name in enumerate(images.spec.classes):
        if name not in model.spec.classes:
            examples = isin(images, torch.arange(len(images)), (name,)).nonzero().flatten()
            chosen = examples[torch.randint(len(examples), (len(index) * shots,))]
            parts = (images.batch(part).image.to(model.device) for part in chosen.split(munit.PART))
            codes = torch.cat([model.style(part, "example") for part in parts])
            mean = codes.view(len(index), shots, -1).mean(1)
            made.append((label, munit.restyled(model, images.batch(index).image, mean, "example")))
    return made


EXPERIMENTS = (
    Experiment(
        name="funit",
        claim="digits get the look of one example, in an ink and on a ground that were never seen together",
        training=Training(
            model="funit",
            data={"data": ("mnist-inks:1-7,9-15,17-23,25-31,33-39,41-47,49-55",)},
            options={
                "features": 8,
                "halved": 1,
                "blocks": 1,
                "hidden": 64,
                "judged": 2,
                "style_size": 16,
                "reconstruction": 1.0,
                "lr": 1e-3,
            },
            run={"steps": 4000, "batch_size": 16, "average": 0.999},
        ),
        bars=(Bar("unseen/one", at_least=0.1), Bar("unseen/gain", at_least=0.0), Bar("digits/kept", at_least=0.5)),
        ablations={"no classes": {"conditional": False, "matching": 0.0}},
        measure=measure,
    ),
)
