"""One generator carries digits to three grounds, in inks drawn by chance or as a picture has them, and keeps them.

The domains are black, grey and white grounds. Each has a quarter of the circle of hues, and its digits lie in inks of
any of these; no two grounds share one, so that no ink can be kept on the way, and nothing tells which is wanted. A
judge that was trained on real images says which ground a translation has; another, trained on MNIST, which digit, after
ground and ink are undone. `own` is the share of translations with random styles in an ink of their ground's side of
the circle, `spread` the deviation of the hues that 50 random styles give to one digit, as a share of that of real ones,
and `example` the correlation of a translation's hue with that of the picture whose style it was given. A GAN alone
need not heed styles at all.
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
PALE = 50.0  # how far, in levels, an ink is from grey at least; real ones are 135


def measure(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """What becomes of digits on each ground, with random styles and with those of examples."""
    import torch

    from isthmus.data.images import to_unit
    from isthmus.data.open import open_data
    from isthmus.data.options import DataOptions
    from isthmus.data.worlds import GROUNDS
    from isthmus.evaluation.judge import judge

    shown = test[0]
    mnist = DataOptions(data=("mnist",), size=f"{shown.spec.width}x{shown.spec.height}")
    (learnt,), (truth,) = open_data(mnist, "train"), open_data(mnist, "test")
    assert shown.labels is not None
    eye, strokes = judge(learnt, truth), truth.pixels[:, 0] > STROKE
    index = torch.arange(SOURCES).repeat_interleave(STYLES)
    images, digits, mask = shown.batch(index).image, truth.batch(index).label, strokes[index]
    kept, own, spread, example = [], [], [], []
    for label, (to, ground) in enumerate(GROUNDS.items()):
        made = munit.restyled(model, images, model.draw_style(len(images), to), to)
        kept.append(eye.classify(to_unit(greys(made, mask, ground))) == digits)
        hue, far = hues(made, mask, label)
        own.append((hue.abs() < 180 / len(GROUNDS)) & (far > PALE))

        examples = (shown.labels == label).nonzero().flatten()[:EXAMPLES]
        wanted, _ = hues(shown.pixels[examples], strokes[examples], label)
        spread.append(hue.view(-1, STYLES).std(1).mean() / wanted.std())
        styles = model.style(shown.batch(examples).image.to(model.device), to)
        others = torch.arange(len(examples))
        guided = munit.restyled(model, shown.batch(others).image, styles, to)
        given, _ = hues(guided, strokes[others], label)
        example.append(munit.correlation(given[:, None], wanted[:, None]))
    return {
        "styles": {
            "own": torch.cat(own).double().mean().item(),
            "spread": torch.stack(spread).mean().item(),
            "example": sum(example) / len(example),
        },
        "digits": {"kept": torch.cat(kept).double().mean().item(), "judge": eye.accuracy},
    }


def hues(pixels: Tensor, mask: Tensor, label: int) -> tuple[Tensor, Tensor]:
    """Of the mean colours of strokes: degrees from the middle of a ground's hues, [n], and levels from grey, [n]."""
    import torch

    from isthmus.data.worlds import GROUNDS, HUES

    red, green, blue = munit.mean_colours(pixels, mask).T
    x, y = (2 * red - green - blue) / 6**0.5, (green - blue) / 2**0.5
    middle = 360 / len(GROUNDS) * label + HUES / 2
    return (torch.atan2(y, x).rad2deg() - middle + 180) % 360 - 180, torch.hypot(x, y)


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
            data={"data": ("mnist-hues",)},
            options={
                "features": 8,
                "blocks": 1,
                "hidden": 64,
                "style_size": 4,
                "latent": 16,
                "diversity": 6.0,  # a mean over all pixels, of which ink has few
                "cycle": 4.0,
                "lr": 1e-3,
                "mapping_lr": 3e-5,
            },
            run={"steps": 5300, "batch_size": 4, "average": 0.997},
        ),
        bars=(
            Bar("domains/accuracy", at_least=0.95),
            Bar("digits/kept", at_least=0.9),
            Bar("styles/own", at_least=0.9),
            Bar("styles/spread", at_least=0.5),
            Bar("styles/example", at_least=0.8),
        ),
        ablations={"the GAN alone": {"styles": 0.0, "diversity": 0.0, "cycle": 0.0}},
        measure=measure,
    ),
)
