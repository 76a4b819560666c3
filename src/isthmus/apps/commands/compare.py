"""Compare two sets of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from isthmus.evaluation.compare import Comparison


def compare(
    a: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="A")],
    b: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[B]")] = "",
    features: str = "auto",
    weights: Path | None = None,
    images: int = 10_000,
    splits: tuple[Literal["train", "test"], Literal["train", "test"]] = ("test", "test"),
    size: str | None = None,
    channels: Literal[1, 3] | None = None,
    data_root: Path | None = None,
    neighbours: int = 5,
    save_statistics: Path | None = None,
    seed: int = 0,
    json: bool = False,
) -> None:
    """Compare two sets of images by distances, precision and recall, and diversity.

    Args:
        a: Real images: a folder, a data spec such as mnist:0-4, or an .npz file of their statistics.
        b: Generated images: a folder or a data spec.
        features: What sees the images: judge (a classifier trained on A's classes), autoencoder (trained on A),
            inception, torchvision:NAME or timm:NAME. auto is judge where A has classes, autoencoder where not, and what
            lies in a file of statistics.
        weights: The file of the extractor's weights, for those that have one.
        images: At most so many of each set, drawn at random.
        splits: Which split of A and of B, where they are data specs; of a folder all pictures are taken.
        size: Bring all pictures to this size: 64, or 64x48 for width x height.
        channels: 1 grey, 3 colour; by default what both sets have.
        data_root: Where named data sets lie; by default $ISTHMUS_DATA.
        neighbours: How many neighbours a ball of precision and recall reaches to.
        save_statistics: Keep A's statistics in this .npz file, which can then stand in A's place; B may be left out.
        seed: Of what is drawn at random.
        json: Print JSON instead of a table.
    """
    import json as json_format

    from threadpoolctl import threadpool_limits

    from isthmus.data.options import DataOptions
    from isthmus.errors import ConfigError, OutputError
    from isthmus.evaluation.compare import check, compare_with_statistics
    from isthmus.evaluation.compare import compare as compared
    from isthmus.evaluation.sets import choose, in_form_of, open_sets
    from isthmus.evaluation.statistics import SUFFIX, Statistics

    known = Statistics.load(Path(a)) if Path(a).suffix == SUFFIX else None
    if not b and (known or not save_statistics):
        raise ConfigError(f"say what to compare {a} with: isthmus compare A B")
    if save_statistics and (known or save_statistics.suffix != SUFFIX):
        raise ConfigError(f"--save-statistics keeps those of images, in a file that ends in {SUFFIX}")
    if save_statistics and save_statistics.exists():
        raise OutputError(f"{save_statistics} exists; give --save-statistics another name")
    small = features in ("auto", "judge", "autoencoder")  # threads only get in each other's way with these
    data = tuple(spec for spec in (a, b) if spec)[bool(known) :]
    options = DataOptions(data=data, size=size, channels=channels, data_root=data_root)
    found = None
    with threadpool_limits(1 if small else None):
        if known:
            (other,) = open_sets(in_form_of(known.spec, options), (splits[1], splits[1]), images, seed)
            found = compare_with_statistics(known, other, choose(features, weights, known), seed=seed)
        else:
            sets = open_sets(options, splits, images, seed)
            if b:
                check(sets[0], sets[1], neighbours)  # before an extractor is trained
            eye = choose(features, weights, sets[0])
            if save_statistics:
                Statistics.of(sets[0], eye).save(save_statistics)
            if b:
                found = compared(sets[0], sets[1], eye, neighbours=neighbours, seed=seed)
    if found is None:
        print(f"{save_statistics}: statistics of {len(sets[0])} images of {sets[0].spec.name}, seen by the {eye.name}")
    elif json:
        print(json_format.dumps(found.to_dict(), indent=2, ensure_ascii=False))
    else:
        show(found)


def show(found: Comparison) -> None:
    """The figures as a table, and below it how they were made."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from isthmus.evaluation.compare import MEANING

    console = Console(emoji=False, highlight=False)
    made = found.results[0].provenance
    for side, name, count in zip("AB", (found.a, found.b), made.images, strict=True):
        console.print(f"{side}  {escape(name)}, {count or 'an unknown number of'} images")
    console.print()
    table = Table("metric", box=None, pad_edge=False, header_style="dim")
    table.add_column("value", justify="right")
    table.add_column("± error", justify="right")
    table.add_column("how to read it", style="dim")
    for result in found.results:
        error = "" if result.error is None else f"{result.error:.2g}"
        table.add_row(result.metric, f"{result.value:.4g}", error, MEANING[result.metric])
    console.print(table)
    console.print(f"\n[dim]features: {escape(made.extractor)} (weights {made.weights}); resized: {made.resizer}[/]")
    neighbours = next(
        (dict(r.provenance.settings)["neighbours"] for r in found.results if r.metric == "precision"), None
    )
    balls = f"; precision and recall with {neighbours} neighbours" if neighbours else ""
    console.print(f"[dim]error: one standard error{balls}[/]")
    for note in found.notes:
        console.print(f"[yellow]note:[/] {escape(note)}")
