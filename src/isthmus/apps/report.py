"""A report of a bridge: one HTML file that needs nothing beside it, a picture, and the figures as JSON."""

from __future__ import annotations

import io
import json
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, PackageLoader
from torch import Tensor

from isthmus import __version__
from isthmus.core import Bridges
from isthmus.core.operations import slerp
from isthmus.data.images import Images
from isthmus.data.open import class_rule
from isthmus.data.pictures import data_uri, grid, save_png
from isthmus.errors import CapabilityError, OutputError
from isthmus.evaluation.figures import figures
from isthmus.training.checkpoint import load_model, read_config, write
from isthmus.training.folder import RunFolder, check_all_ours, empty
from isthmus.training.log import METRICS
from isthmus.training.preview import sheet
from isthmus.training.settings import data_of, reopen

REPORT, PICTURE, RESULTS = "report.html", "report.png", "results.json"
COLUMNS, DRAWS, SWEEP, TILE = 10, 4, 10, 56  # images, translations of each, places of the noise, pixels


def write_report(out: Path, run: Path, curves: Sequence[str]) -> dict[str, Any]:
    """Measure the bridge in `run` on test images, and write report.html, report.png and results.json to `out`.

    `curves` are run folders in `out` whose losses are drawn. Returns the figures.
    """
    config, model = read_config(run), load_model(run)
    if not isinstance(model, Bridges):
        raise CapabilityError(f"{run} holds no bridge between autoencoders, which this report is about")
    data = data_of(config, run)
    train, test = reopen(config, "train", run), reopen(config, "test", run)
    rule = class_rule(data, test)
    if rule is None:
        raise CapabilityError(f"{run} was trained without a class rule (--pair 0=5,...), so its accuracy is undefined")
    results = figures(model, data, train, test, groups=("a_to_b", "b_to_a"), draws=DRAWS)
    torch.manual_seed(0)
    directions = [direction(model, test, rule, to) for to in ("b", "a")]
    save_png(overview(directions), out / PICTURE)
    write(out / RESULTS, json.dumps(results, indent=2) + "\n")
    page = Environment(loader=PackageLoader("isthmus.apps"), autoescape=True).get_template("bridge.html")
    html = page.render(
        a=test[0].spec,
        b=test[1].spec,
        rule={test[0].spec.classes[k]: test[1].spec.classes[v] for k, v in rule.items()},
        results=results,
        directions=directions,
        curves={name: loss_curves(out / name / METRICS) for name in curves},
        config=config,
        made={
            "isthmus": __version__,
            "torch": torch.__version__,
            "machine": platform.machine(),
            "date": time.strftime("%F"),
        },
    )
    write(out / REPORT, html)
    return results


@torch.no_grad()
def direction(model: Bridges, test: Sequence[Images], rule: dict[int, int], to: str) -> dict[str, Any]:
    """One direction in pictures: sources above translations; a source of each class swept through the noise."""
    source, classes = (test[0], list(rule)) if to == "b" else (test[1], list(rule.values()))
    examples = source.batch(some_of_each(source, classes, COLUMNS)).image
    rows = [examples, *(model.translate(examples, to) for _ in range(DRAWS))]
    singles = source.batch(some_of_each(source, classes, len(classes))).image
    start, end = model.noise(2, to)
    path = slerp(start, end, torch.linspace(0, 1, SWEEP)[:, None])
    origin, target = model.autoencoder("a" if to == "b" else "b"), model.autoencoder(to)
    swept = [target.decode(model.cross(code.expand(SWEEP, -1), to, path)) for code in origin.encode(singles)]
    sweep = torch.cat([sheet([single[None], row]) for single, row in zip(singles, swept, strict=True)])
    return {
        "to": to,
        "source": source.spec,
        "draws": data_uri(under_sources(rows)),
        "sweep": data_uri(grid(sweep, columns=SWEEP + 1)),
        "rows": rows,
    }


def some_of_each(data: Images, classes: Sequence[int], count: int) -> Tensor:
    """Indices of `count` images, equally many of each class in turn."""
    assert data.labels is not None
    each = -(-count // len(classes))
    members = [(data.labels == label).nonzero().flatten()[:each] for label in classes]
    return torch.cat(members)[:count]


def under_sources(rows: Sequence[Tensor]) -> Tensor:
    """Rows of images as one picture, the first set apart from the others: uint8 [channels, height, width]."""
    tiles = sheet(rows)
    scale = max(1, TILE // max(tiles.shape[2:]))
    sources, results = (grid(part, COLUMNS, scale=scale) for part in (tiles[: len(rows[0])], tiles[len(rows[0]) :]))
    return stacked(sources, results, gap=scale)


def overview(directions: Sequence[dict[str, Any]]) -> Tensor:
    """Both directions in one picture."""
    first, second = (under_sources(d["rows"]) for d in directions)
    return stacked(first, second, gap=TILE // 2)


def stacked(above: Tensor, below: Tensor, gap: int) -> Tensor:
    """Two pictures of equal width, one above the other on white."""
    channels = max(above.shape[0], below.shape[0])
    white = torch.full((channels, gap, above.shape[2]), 255, dtype=torch.uint8)
    return torch.cat([above.expand(channels, -1, -1), white, below.expand(channels, -1, -1)], dim=1)


def loss_curves(metrics: Path) -> str:
    """The losses of a run over its steps, as SVG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    figure, axes = pyplot.subplots(figsize=(7, 3), layout="constrained")
    for name in [key for key in rows[0] if "/" in key and not key.startswith("validation/")]:
        points = [(row["step"], row[name]) for row in rows if name in row]
        axes.plot(*zip(*points, strict=True), label=name, linewidth=1.2)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=7, frameon=False, ncols=2)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


def prepare_folder(out: Path, parts: Sequence[str], overwrite: bool) -> None:
    """Make the folder. Raises OutputError if it has content, unless `overwrite` and all of it is an earlier demo's.

    The file of results is there, empty, from the start: it marks the folder as a demo's.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if not overwrite:
            raise OutputError(f"{out} exists; give another --out, or --overwrite it")
        if not (out / RESULTS).is_file():
            raise OutputError(f"{out} is not a demo's folder, so --overwrite leaves it alone; give another --out")
        check_all_ours(out, (*parts, REPORT, PICTURE, RESULTS), "a demo")
        for part in parts:
            RunFolder(out / part).check(overwrite)
        empty(out, mark=RESULTS)
    write(out / RESULTS, "{}\n")
