"""A result as a picture: what each variant shows of itself, and its figures beside the bars."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from isthmus.core import Model, Samples, Translates
from isthmus.data.images import Images
from isthmus.data.pictures import grid, save_png
from isthmus.experiments.experiment import Bar, Experiment
from isthmus.training.checkpoint import write
from isthmus.training.draws import drawing
from isthmus.training.preview import preview, sheet

COLUMNS, CHARTS = 10, 3  # examples in a preview, charts side by side
WIDTH, CHART = 9.0, 1.1  # inches: of the picture, and the height of a chart without its bars
STRONG, WEAK, LINE = "#2a6f97", "#b8bcc2", "#c1121f"  # the full model, its ablations, the bar
POINTS = 2000  # of the data and of the model
COLOURS = 256  # of the file, which keeps it small


def save_preview(model: Model, test: Sequence[Images], file: Path) -> None:
    """What a trained model shows of itself, for a few test images; nothing of sounds, or if it has nothing to show."""
    if model.spec.rate:
        return
    if math.prod(model.spec.shape) <= 2 and isinstance(model, Samples | Translates):
        return save_points(model.eval(), test, file)
    examples = [images.batch(torch.linspace(0, len(images) - 1, COLUMNS).long()) for images in test]
    with drawing(0, model.device):
        rows = preview(model.eval(), examples, draws=1)
    if rows:
        save_png(grid(sheet(rows), COLUMNS), file)


def save_points(model: Samples | Translates, test: Sequence[Images], file: Path) -> None:
    """Images of one or two values are numbers or points: those of the data in grey, those that are made above them.

    Points are drawn, or carried to domain b in the colours of the classes that they had.
    """
    from matplotlib.figure import Figure

    colours = [STRONG]
    with drawing(0, model.device), torch.no_grad():
        if isinstance(model, Samples):
            data, made = test[0], model.sample(POINTS)
        else:
            source = test[0].batch(torch.arange(min(POINTS, len(test[0]))))
            data, made = test[1], model.translate(source.image.to(model.device), "b")
            if source.labels is not None:
                colours = [f"C{label % 10}" for label in source.labels.tolist()]
    figure = Figure(figsize=(2.5, 2.5), layout="constrained")
    axes = figure.subplots()
    truth = data.batch(torch.arange(min(POINTS, len(data)))).image
    for values, colour in ((truth.flatten(1), [WEAK]), (made.flatten(1).cpu(), colours)):
        if values.shape[1] == 2:
            axes.scatter(values[:, 0].tolist(), values[:, 1].tolist(), c=colour, s=1)
        else:
            axes.hist(values[:, 0].tolist(), bins=80, range=(-1, 1), color=colour[0], histtype="step")
    axes.set_xlim(-1.05, 1.05)
    axes.axis("off")
    figure.savefig(file, format="png", dpi=100, metadata={"Software": None})


def save_picture(experiment: Experiment, record: Mapping[str, Any], previews: Mapping[str, Path], file: Path) -> None:
    """Draw the `record` of an experiment; `previews` are files by variant, of those that have one."""
    from matplotlib.figure import Figure

    variants, bars = record["variants"], experiment.bars
    pictures = {name: Image.open(path).convert("RGB") for name, path in previews.items() if path.exists()}
    rows, columns = math.ceil(len(bars) / CHARTS), min(len(bars), CHARTS)
    top = max((WIDTH / len(pictures) * p.height / p.width + 0.3 for p in pictures.values()), default=0.0)
    below = rows * (CHART + 0.25 * len(variants))
    figure = Figure(figsize=(WIDTH, top + below + 0.4), layout="constrained")
    verdict = "pass" if record["passed"] else "FAIL"
    figure.suptitle(f"{record['experiment']}: {verdict}", x=0.01, ha="left", fontsize=11, fontweight="bold")
    halves: Any = figure.subfigures(2, 1, height_ratios=(max(top, 0.01), below))
    for i, (name, picture) in enumerate(pictures.items(), start=1):
        axes = halves[0].add_subplot(1, len(pictures), i)
        axes.imshow(picture, interpolation="nearest" if picture.width < 300 else "antialiased")
        axes.set_title(name, fontsize=9)
        axes.axis("off")
    for i, bar in enumerate(bars, start=1):
        chart(halves[1].add_subplot(rows, columns, i), bar, record, labels=i % columns == 1 or columns == 1)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100, metadata={"Software": None})
    content.seek(0)
    small = io.BytesIO()
    Image.open(content).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    write(file, small.getvalue())


def chart(axes: Any, bar: Bar, record: Mapping[str, Any], *, labels: bool) -> None:
    """One figure of every variant: the median as a bar, each seed as a dot, and what must be reached as a line."""
    names = [*record["variants"]]
    for place, name in enumerate(names):
        middle = record["variants"][name]["median"][bar.figure]
        axes.barh(place, middle, height=0.6, color=WEAK if place else STRONG)
        seeds = [run["figures"][bar.figure] for run in record["runs"] if run["variant"] == name]
        axes.plot(seeds, [place] * len(seeds), "o", markersize=3, color="black", alpha=0.6)
    axes.axvline(bar.at_least if bar.at_least is not None else bar.at_most, color=LINE, linestyle="--", linewidth=1.2)
    axes.set_title(str(bar), fontsize=8)
    axes.set_yticks(range(len(names)), names if labels else [""] * len(names), fontsize=8)
    axes.invert_yaxis()
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
