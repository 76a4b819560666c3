"""Images become ones of classes that no training image was of, known by one or by five examples.

In the first experiment the classes are digits: of 0 to 6 learnt, a 7, 8 or 9. `one` and `five` are the shares of
translations that a judge of all ten takes for the class that so many examples show, `chance` is one of ten, and `gain`
what five examples add. In the second the classes are looks, an ink on a ground, three of which were never seen; a
further judge says whether the digit, which no label tells, has stayed. A discriminator that is told no classes, and
features that need not match, leave the generator free to make anything real.
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
    """How often images of known classes become ones of each unseen class of the data set."""
    import torch

    from isthmus.data.images import to_unit
    from isthmus.evaluation.judge import judge

    learnt, shown = whole(test[0], "train"), whole(test[0], "test")
    eye, chance = judge(learnt, shown), 1 / len(shown.spec.classes)
    index = torch.randperm(len(shown))
    index = index[isin(shown, index, model.spec.classes)][:SOURCES]
    rates = {}
    for name, shots in SHOTS.items():
        seen = [eye.classify(to_unit(made)) == label for label, made in carried(model, shown, index, shots)]
        rates[name] = torch.cat(seen).double().mean().item()
    gain = rates["five"] - rates["one"]
    return {"unseen": {**rates, "gain": gain, "chance": chance, "judge": eye.accuracy}}


def with_digits(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """The same of looks, and how many of the digits are still told after the look is undone."""
    import torch

    from isthmus.data.images import to_unit
    from isthmus.data.open import open_data
    from isthmus.data.options import DataOptions
    from isthmus.data.worlds import FILLINGS, GROUNDS, LOOKS, uncoloured
    from isthmus.evaluation.judge import judge

    found, mnist, shown = measure(model, train, test, seed), DataOptions(data=("mnist",)), whole(test[0], "test")
    (learnt,), (truth,) = open_data(mnist, "train"), open_data(mnist, "test")
    eye, index = judge(learnt, truth), torch.arange(len(shown))
    index = index[isin(shown, index, model.spec.classes)][:SOURCES]
    kept = []
    for label, made in carried(model, shown, index, SHOTS["five"]):
        ink, ground = LOOKS[label].split(" on ")
        grey = uncoloured(made.permute(0, 2, 3, 1).numpy(), GROUNDS[ground], FILLINGS[ink])
        kept.append(eye.classify(to_unit(torch.from_numpy(grey)[:, None])) == truth.batch(index).label)
    return {**found, "digits": {"kept": torch.cat(kept).double().mean().item(), "judge": eye.accuracy}}


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


SMALL = {"features": 8, "halved": 2, "blocks": 1, "hidden": 64, "judged": 2, "style_size": 16, "lr": 5e-4}
NO_CLASSES = {"no classes": {"conditional": False, "matching": 0.0}}

EXPERIMENTS = (
    Experiment(
        name="funit",
        claim="digits become ones of a class that was never seen, of which there are one or five examples",
        training=Training(
            model="funit",
            data={"data": ("mnist:0-6",)},
            options=SMALL,
            run={"steps": 2000, "batch_size": 16, "average": 0.995},
        ),
        bars=(Bar("unseen/one", at_least=0.2), Bar("unseen/gain", at_least=0.0)),
        ablations=NO_CLASSES,
        measure=measure,
    ),
    Experiment(
        name="funit-inks",
        claim="digits get the look of one example, in an ink and on a ground that were never seen together",
        training=Training(
            model="funit",
            data={"data": ("mnist-inks:0-4,6,8-15,17",)},
            options=SMALL,
            run={"steps": 2000, "batch_size": 16, "average": 0.995},
        ),
        bars=(Bar("unseen/one", at_least=0.8), Bar("digits/kept", at_least=0.8)),
        ablations=NO_CLASSES,
        measure=with_digits,
    ),
)
