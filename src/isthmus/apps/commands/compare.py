"""Compare two sets of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from isthmus.evaluation.compare import Comparison


def compare(
    a: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="A")],
    b: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="B")],
    features: str = "auto",
    weights: Path | None = None,
    images: int = 10_000,
    splits: tuple[Literal["train", "test"], Literal["train", "test"]] = ("test", "test"),
    size: str | None = None,
    channels: Literal[1, 3] | None = None,
    data_root: Path | None = None,
    neighbours: int = 5,
    seed: int = 0,
    json: bool = False,
) -> None:
    """Compare two sets of images by distances, precision and recall, and diversity.

    Args:
        a: Real images: a folder, or a data spec such as mnist:0-4.
        b: Generated images: likewise.
        features: What sees the images: judge (a classifier trained on A's classes), autoencoder (trained on A),
            inception, torchvision:NAME or timm:NAME. auto is judge where A has classes, and autoencoder where not.
        weights: The file of the extractor's weights, for those that have one.
        images: At most so many of each set, drawn at random.
        splits: Which split of A and of B, where they are data specs; of a folder all pictures are taken.
        size: Bring all pictures to this size: 64, or 64x48 for width x height.
        channels: 1 grey, 3 colour; by default what both sets have.
        data_root: Where named data sets lie; by default $ISTHMUS_DATA.
        neighbours: How many neighbours a ball of precision and recall reaches to.
        seed: Of what is drawn at random.
        json: Print JSON instead of a table.
    """
    import json as json_format

    from threadpoolctl import threadpool_limits

    from isthmus.data.options import DataOptions
    from isthmus.evaluation.compare import check
    from isthmus.evaluation.compare import compare as compared
    from isthmus.evaluation.sets import choose, open_sets

    small = features in ("auto", "judge", "autoencoder")  # threads only get in each other's way with these
    options = DataOptions(data=(a, b), size=size, channels=channels, data_root=data_root)
    sets = open_sets(options, splits, images, seed)
    check(*sets, neighbours)  # before an extractor is trained
    with threadpool_limits(1 if small else None):
        found = compared(*sets, choose(features, weights, sets[0]), neighbours=neighbours, seed=seed)
    if json:
        print(json_format.dumps(found.to_dict(), indent=2, ensure_ascii=False))
    else:
        show(found)


def show(found: Comparison) -> None:
    """The figures as a table, and below it how they were made."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from isthmus.evaluation.compare import MEANING

    console = Console(highlight=False)
    made = found.results[0].provenance
    console.print(f"\nA  {escape(found.a)}, {made.images[0]} images\nB  {escape(found.b)}, {made.images[1]} images\n")
    table = Table("metric", box=None, pad_edge=False, header_style="dim")
    table.add_column("value", justify="right")
    table.add_column("± error", justify="right")
    table.add_column("how to read it", style="dim")
    for result in found.results:
        error = "" if result.error is None else f"{result.error:.2g}"
        table.add_row(result.metric, f"{result.value:.4g}", error, MEANING[result.metric])
    console.print(table)
    console.print(f"\n[dim]features: {escape(made.extractor)} (weights {made.weights}); resized: {made.resizer}[/]")
    console.print(f"[dim]error: one standard error; precision and recall with {neighbours(found)} neighbours[/]")
    for note in found.notes:
        console.print(f"[yellow]note:[/] {escape(note)}")


def neighbours(found: Comparison) -> int:
    """As it is in the settings of the figures that have it."""
    return next(dict(r.provenance.settings)["neighbours"] for r in found.results if r.metric == "precision")
