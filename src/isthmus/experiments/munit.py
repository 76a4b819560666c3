"""An outline becomes its shape in many colours, drawn at random or taken from an example, and nothing tells which.

Outlines and filled shapes are never shown in pairs, but the shape that belongs to an outline is known. A colour is
reached where one of 50 random styles gives it to a shape, near enough to be named; `named` is the share of random
styles that give any of the six. `iou` is the overlap of what is bright with the true shape, `example` the share of
translations that have the colour of the picture whose style they were given, `recovered` the correlation of a style
with what the style encoder finds in its translation. Without the style's own loss the decoder may ignore it. The cycle
loss, which the paper has for some of its data, is on; where neither that nor the content's own loss is, the shape may
change.

The second experiment draws shoes and bags of their edges: how different the draws for one drawing are, as a share of
how different real ones are, lies between what noise gives UNIT (`unit-shoes`) and 1; and they are to fill the outline.
Beside the overlap with the filled outline stand those of real ones, and of the drawing as bright lines on black.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.experiments.experiment import Bar, Experiment, Training

if TYPE_CHECKING:
    from torch import Tensor

    from isthmus.data.images import Images

SOURCES, STYLES, PART = 100, 50, 500
NAMED = 60  # distance of a mean colour, in levels, up to which it has the name of the nearest one


def measure(
    model: Any, train: Sequence[Images], test: Sequence[Images], seed: int
) -> Mapping[str, Mapping[str, float]]:
    """What becomes of outlines with random styles and with those of examples; the truth is at the same place of b."""
    import torch

    from isthmus.data.images import to_unit

    outlines, truth = test[0], test[1].pixels.amax(1) > 0
    index = torch.arange(min(SOURCES, len(outlines)))
    images = outlines.batch(index).image.repeat_interleave(STYLES, 0)
    mask = truth[index].repeat_interleave(STYLES, 0)
    styles = model.draw_style(len(images), "b").cpu()
    made = restyled(model, images, styles)
    shown = colours_of(made, mask).view(-1, STYLES)
    reached = torch.tensor([len(row[row >= 0].unique()) for row in shown]).double()
    found = torch.cat([model.style(to_unit(part).to(model.device), "b").cpu() for part in made.split(PART)])

    index = torch.arange(min(len(outlines), len(test[1]) - 1))
    examples = test[1].batch(index + 1)  # another shape than the outline's
    given = torch.cat([model.style(part.to(model.device), "b").cpu() for part in examples.image.split(PART)])
    guided = colours_of(restyled(model, outlines.batch(index).image, given), truth[index])
    return {
        "styles": {
            "colours": reached.mean().item(),
            "named": (shown >= 0).double().mean().item(),
            "recovered": correlation(styles, found),
            "example": (guided == examples.label).double().mean().item(),
        },
        "shape": {"iou": overlap(made.amax(1) > 127, mask)},
    }


def filled(model: Any, train: Sequence[Images], test: Sequence[Images], seed: int) -> Mapping[str, Mapping[str, float]]:
    """How well what is drawn of edges fills the shape that they are of."""
    import torch

    index = torch.arange(len(test[0]))
    made = restyled(model, test[0].batch(index).image, model.draw_style(len(index), "b"))
    return {"shape": filling(made, test)}


def filling(made: Tensor, test: Sequence[Images]) -> dict[str, float]:
    """How far what is bright in bytes [n, channels, height, width] overlaps with the shapes that were drawn.

    Beside it the same of the real images, whose dark parts are holes in it, and of drawings that are only inverted.
    """
    import torch

    from isthmus.data.worlds import SHAPE, shapes

    drawings, real = (images.pixels[:, 0] for images in test)
    wanted = torch.from_numpy(shapes(real.numpy()))
    compared = {"iou": made[:, 0], "real": real, "drawing": 255 - drawings}
    return {name: overlap(pixels > SHAPE, wanted) for name, pixels in compared.items()}


def restyled(model: Any, images: Tensor, styles: Tensor, to: str = "b") -> Tensor:
    """Images with styles, in domain `to`, as bytes on the CPU."""
    import torch

    from isthmus.data.images import to_bytes

    parts = zip(images.split(PART), styles.split(PART), strict=True)
    return torch.cat([to_bytes(model.restyle(x.to(model.device), to, s.to(model.device))).cpu() for x, s in parts])


def colours_of(pixels: Tensor, mask: Tensor) -> Tensor:
    """Which filling the shapes [n, height, width] have in bytes [n, 3, height, width]: int64 [n], -1 where none."""
    import torch

    from isthmus.data.worlds import FILLINGS

    mean = mean_colours(pixels, mask)
    distance = torch.cdist(mean, torch.tensor([*FILLINGS.values()], dtype=torch.float32))
    return distance.argmin(1).where(distance.amin(1) <= NAMED, -1)


def mean_colours(pixels: Tensor, mask: Tensor) -> Tensor:
    """The mean colour, in levels, of the shapes [n, height, width] in bytes [n, 3, height, width]: [n, 3]."""
    return (pixels * mask[:, None]).float().flatten(2).sum(2) / mask.flatten(1).sum(1).clamp(min=1)[:, None]


def overlap(a: Tensor, b: Tensor) -> float:
    """Mean intersection over union of shapes, bool [n, height, width]."""
    both, either = (a & b).flatten(1).sum(1), (a | b).flatten(1).sum(1)
    return (both / either.clamp(min=1)).double().mean().item()


def correlation(a: Tensor, b: Tensor) -> float:
    """Mean over dimensions of the correlation of vectors [n, dims]; 0 where one is constant."""
    a, b = ((x - x.mean(0)) / x.std(0).clamp(min=1e-6) for x in (a.double(), b.double()))
    return (a * b).mean().item()


SMALL = {"features": 12, "blocks": 2, "hidden": 64, "scales": 2, "judged": 2, "style_size": 3, "halve": 0.5, "lr": 1e-3}
RUN = {"steps": 4200, "batch_size": 4, "average": 0.995}
NO_CONTENT = {"nothing of the content comes back": {"content": 0.0, "cycle": 0.0}}
VARIED = (
    Bar("styles/diversity_b", at_least=0.1),  # that of UNIT, which has noise alone, is .015
    Bar("styles/diversity_b", at_most=1.0),
)

EXPERIMENTS = (
    Experiment(
        name="munit",
        claim="an outline becomes its shape in all six colours, or in that of an example, without any pairs",
        training=Training(
            model="munit",
            data={"data": ("outlines", "fillings"), "channels": 3},
            options={**SMALL, "cycle": 10.0},
            run=RUN,
        ),
        bars=(
            Bar("styles/colours", at_least=5.0),
            Bar("shape/iou", at_least=0.80),
            Bar("styles/recovered", at_least=0.80),
            Bar("styles/example", at_least=0.80),
        ),
        ablations={"no L_recon^s": {"styles": 0.0}, **NO_CONTENT},
        measure=measure,
    ),
    Experiment(
        name="munit-shoes",
        claim="edges of shoes and bags become many different ones, more alike than real ones are",
        training=Training(
            model="munit",
            data={"data": ("fashion-edges:5,7-9", "fashion-mnist:5,7-9")},
            options={**SMALL, "halved": 1, "scales": 1, "cycle": 2.0},
            run={**RUN, "steps": 5000},
        ),
        bars=(*VARIED, Bar("shape/iou", at_least=0.75)),
        ablations=NO_CONTENT,
        measure=filled,
        groups=("a_to_b",),
    ),
)
