"""Two domains have one code, and what is learnt of classes in the one tells them in the other.

The first experiment carries MNIST into other colours, bright for dark, and back. A judge of the target domain tells
whether the digit stayed. An image and its true counterpart, never shown as a pair, are to have nearer codes than two
images at random: `auc` is the probability of that, `square` the mean square of a code, which the prior holds near 1.
Shared layers and GANs are not enough for that: in the first ablation no image is to be given back.

The second adapts: MNIST has classes, MNIST-M has none. Against it stands a network that learnt from MNIST alone,
without batch normalisation, whose statistics another domain would upset.

The third draws shoes and bags of their edges, as `munit-shoes` does: the noise of a code is no style, and gives hardly
more than one picture for each drawing. Beside it stands the drawing, inverted, which does not fill its shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.experiments import munit
from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from torch import Tensor

    from isthmus.core import Batch
    from isthmus.data.images import Images
    from isthmus.evaluation.judge import Judge

PAIRS, DRAWS, IMAGES = 1000, 4, 2000


def measure(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """Digits that survive the way, by a judge of where they arrive, and codes of true counterparts."""
    import torch

    from isthmus.evaluation.judge import judge
    from isthmus.evaluation.parts import each

    kept = dict[str, float]()
    for source, target, to in ((0, 1, "b"), (1, 0, "a")):
        eye = judge(train[target], test[target])

        def right(batch: Batch, eye: Judge = eye, to: str = to) -> Tensor:
            return eye.classify(model.translate(batch.image, to).cpu()) == batch.label.cpu()

        kept |= {
            f"to_{to}": each(right, test[source], model.device).double().mean().item(),
            f"judge_{to}": eye.accuracy,
        }

    codes = []
    for of, images in zip("ab", test, strict=True):

        def code(batch: Batch, of: str = of) -> Tensor:
            return model.mean(batch.image, of).flatten(1)

        codes.append(each(code, images.take(torch.arange(min(PAIRS, len(images)))), model.device))
    a, b = codes
    own, other = ((a - partner).square().sum(1) for partner in (b, b.roll(1, 0)))
    nearer = (own[:, None] < other).double().mean().item()
    return {"digit": kept, "code": {"auc": nearer, "square": a.square().mean().item()}}


def adaptation(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """Accuracies on test images: of the adapted classifier in both domains, of one of domain a alone in domain b."""
    from isthmus.evaluation.parts import each

    found = {}
    for of, images in zip("ab", test, strict=True):

        def right(batch: Batch, of: str = of) -> Tensor:
            return model.classify(batch.image, of).argmax(1) == batch.label

        found[f"accuracy_{of}"] = each(right, images, model.device).double().mean().item()
    alone = source_only(train[0], test[1], seed)
    return {"adaptation": {**found, "source_only": alone, "gain": found["accuracy_b"] - alone}}


def varied(model: Any, train: Sequence[Images], test: Sequence[Images], seed: int) -> Mapping[str, Mapping[str, float]]:
    """How different translations of one drawing are by the noise of its code, and how well they fill its shape.

    In the way of the figures of models with styles.
    """
    import torch

    from isthmus.data.images import to_bytes
    from isthmus.evaluation.parts import each
    from isthmus.evaluation.reference import Reference
    from isthmus.evaluation.translation import STYLED, spread
    from isthmus.models.translation.unit import noisy

    def drawn(image: Tensor) -> Tensor:
        return model.generate(noisy(model.mean(image.to(model.device), "a")), "b", image)

    images = test[0].batch(torch.arange(STYLED)).image
    target = Reference(train[1], test[1], IMAGES, seed)
    diversity = spread(target, (drawn(image.expand(DRAWS, -1, -1, -1)) for image in images), DRAWS)
    assert diversity is not None
    made = each(lambda batch: to_bytes(drawn(batch.image)), test[0], model.device)
    return {"styles": {"diversity_b": diversity}, "shape": munit.filling(made, test)}


def source_only(train: Images, test: Images, seed: int) -> float:
    """The accuracy on `test` of a LeNet that learns from `train`, another domain with the same classes and shape."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    from isthmus.evaluation.parts import each

    torch.manual_seed(seed)
    lenet = nn.Sequential(
        *(nn.Conv2d(train.spec.channels, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 48, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.LazyLinear(100), nn.ReLU(), nn.Dropout(), nn.Linear(100, len(train.spec.classes))),
    )
    lenet(train.batch(torch.arange(1)).image)
    adam = torch.optim.Adam(lenet.parameters(), fused=True)
    with torch.enable_grad():
        for index in torch.randint(len(train), (1000, 64)):
            batch = train.batch(index)
            adam.zero_grad()
            F.cross_entropy(lenet(batch.image), batch.label).backward()
            adam.step()
    lenet.eval()
    right = each(lambda batch: lenet(batch.image).argmax(1) == batch.label, test, torch.device("cpu"))
    return right.double().mean().item()


SMALL = {"features": 8, "blocks": 2, "judged": 2, "lr": 1e-3}
LATER = {"adversarial": 1.0, "kl": 0.01, "rebuild": 10.0, "cycle_kl": 0.01, "cycle": 10.0}  # as the authors' later code

EXPERIMENTS = (
    Experiment(
        name="unit",
        claim="digits keep their class in other colours, and both looks of a digit have one code",
        training=Training(
            model="unit",
            data={"data": ("mnist", "mnist-coloured"), "channels": 3},
            options=SMALL,
            run={"steps": 2500, "batch_size": 4, "average": 0.995},
        ),
        bars=(
            Bar("digit/to_a", at_least=0.90),
            Bar("digit/to_b", at_least=0.90),
            Bar("code/auc", at_least=0.90),
            Bar("code/square", at_most=4.0),
        ),
        ablations={
            "GANs alone": {"rebuild": 0.0, "cycle": 0.0, "cycle_kl": 0.0},
            "no divergence": {"kl": 0.0, "cycle_kl": 0.0},
        },
        measure=measure,
    ),
    Experiment(
        name="unit-adaptation",
        claim="MNIST's classes tell those of MNIST-M, of which none is known",
        training=Training(
            model="unit",
            data={"data": ("mnist", "mnist-m"), "channels": 3, "size": "28"},
            options={
                **SMALL,
                **LATER,
                "cycle": 0.0,  # as in the authors' code for adaptation
                "cycle_kl": 0.0,
                "features": 12,
                "halved": 1,
                "judged": 3,
                "adversarial": 3.0,
                "adapt": 10.0,
                "alike": 0.02,
            },
            run={"steps": 6000, "batch_size": 8, "average": 0.995},
        ),
        bars=(Bar("adaptation/gain", at_least=0.20),),
        ablations={"features not alike": {"alike": 0.0}},
        measure=adaptation,
    ),
    Experiment(
        name="unit-shoes",
        claim="edges of shoes and bags become shoes and bags, each drawing much the same one whatever the noise",
        training=Training(
            model="unit",
            data={"data": ("fashion-edges:5,7-9", "fashion-mnist:5,7-9")},
            options={**SMALL, "features": 12, "halved": 1},
            run={"steps": 3000, "batch_size": 4, "average": 0.995},
        ),
        bars=(Bar("styles/diversity_b", at_most=0.1), Bar("shape/iou", at_least=0.65)),
        measure=varied,
    ),
)
