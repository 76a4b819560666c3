"""One generator carries digits to three grounds, in inks by chance or as a picture has them, and keeps the digits.

The domains are black, grey and white grounds. On the first lie digits in one ink, on the next in two and on the last in
three, none of which another ground has; so no ink can be kept on the way or stand for another, and nothing tells which.
A judge that was trained on real images says which ground a translation has; another, trained on MNIST, which digit,
after ground and ink are undone. `inks` is how many of all six 50 random styles of each ground give to a digit,
`example` the share of translations that have the ink of the picture whose style they were given. Without the diversity
the noise may be ignored; without the way back nothing keeps the digit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.experiments import munit
from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from torch import Tensor

    from isthmus.data.images import Images

SOURCES, STYLES, EXAMPLES = 40, 50, 500
STROKE = 200  # grey above which a pixel has the full ink


def measure(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """What becomes of digits on each ground, with random styles and with those of examples."""
    import torch

    from isthmus.data.images import to_unit
    from isthmus.data.open import open_data
    from isthmus.data.options import DataOptions
    from isthmus.data.worlds import FILLINGS, GROUNDS, OWN_INKS
    from isthmus.evaluation.judge import judge

    shown = test[0]
    mnist = DataOptions(data=("mnist",), size=f"{shown.spec.width}x{shown.spec.height}")
    (learnt,), (truth,) = open_data(mnist, "train"), open_data(mnist, "test")
    assert shown.labels is not None
    eye, strokes, names = judge(learnt, truth), truth.pixels[:, 0] > STROKE, [*FILLINGS]
    inks = munit.colours_of(shown.pixels, strokes)
    index = torch.arange(SOURCES).repeat_interleave(STYLES)
    images, digits, mask = shown.batch(index).image, truth.batch(index).label, strokes[index]
    reached, kept, right = [], [], []
    for label, (to, ground) in enumerate(GROUNDS.items()):
        made = munit.restyled(model, images, model.draw_style(len(images), to), to)
        kept.append(eye.classify(to_unit(greys(made, mask, ground))) == digits)
        own = torch.tensor([names.index(ink) for ink in OWN_INKS[to]])
        found = munit.colours_of(made, mask).view(-1, STYLES, 1) == own
        reached.append(found.any(1).sum(1).double().mean().item())

        examples = (shown.labels == label).nonzero().flatten()[:EXAMPLES]
        styles = model.style(shown.batch(examples).image.to(model.device), to)
        others = torch.arange(len(examples))
        guided = munit.restyled(model, shown.batch(others).image, styles, to)
        right.append(munit.colours_of(guided, strokes[others]) == inks[examples])
    return {
        "styles": {
            "inks": sum(reached),
            "example": torch.cat(right).double().mean().item(),
        },
        "digits": {"kept": torch.cat(kept).double().mean().item(), "judge": eye.accuracy},
    }


def greys(pixels: Tensor, mask: Tensor, ground: Sequence[int]) -> Tensor:
    """Bytes [n, 1, height, width]: where each pixel lies between the ground and the mean colour of the strokes."""
    import torch

    low = torch.tensor(ground, dtype=torch.float32)
    way = munit.mean_colours(pixels, mask) - low
    place = torch.einsum("nchw,nc->nhw", pixels.float() - low[:, None, None], way)
    place = place / way.square().sum(1).clamp(min=1)[:, None, None]
    return (255 * place.clamp(0, 1)).round().to(torch.uint8)[:, None]


EXPERIMENTS = (
    Experiment(
        name="stargan-v2",
        claim="one generator carries digits to three grounds, in inks drawn by chance or taken from an example",
        training=Training(
            model="stargan-v2",
            data={"data": ("mnist-grounds",)},
            options={
                "features": 8,
                "blocks": 1,
                "hidden": 64,
                "style_size": 16,
                "latent": 16,
                "styles": 3.0,
                "diversity": 6.0,  # a mean over all pixels, of which ink has few
                "cycle": 5.0,
                "lr": 1e-3,
                "mapping_lr": 1e-5,
            },
            run={"steps": 5300, "batch_size": 4, "average": 0.997},
        ),
        bars=(
            Bar("domains/accuracy", at_least=0.95),
            Bar("digits/kept", at_least=0.9),
            Bar("styles/inks", at_least=5.0),
            Bar("styles/example", at_least=0.8),
        ),
        ablations={
            "no L_ds": {"diversity": 0.0},
            "no way back": {"cycle": 0.0},
        },
        measure=measure,
    ),
)
