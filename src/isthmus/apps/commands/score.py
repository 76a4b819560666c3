"""How probable pictures are to a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import tyro

OF = {
    0: "of a density; each pixel is spread evenly over its grey level",
    2: "of pixels that are on or off; what is between is rounded",
    256: "of pixels with 256 levels",
}


class Row(NamedTuple):
    """One picture, or the mean of all."""

    picture: str
    nats: float
    bits_per_dimension: float


def score(
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    inputs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="INPUT [INPUT ...]")],
    samples: int | None = None,
    seed: int = 0,
    sort: bool = False,
    json: bool = False,
    csv: bool = False,
    checkpoint: str = "last",
) -> None:
    """Say how probable pictures are to a model: their log-likelihood in nats, and in bits for each value of a pixel.

    Args:
        run: The run folder, or a model on the Hugging Face hub: owner/name.
        inputs: Picture files, or folders of them.
        samples: Where the model has a bound, tighten it by so many samples of the code (importance weighting).
        seed: Of what is drawn at random.
        sort: List the most probable pictures first.
        json: Print JSON instead of a table.
        csv: Print a line of CSV for each picture instead of a table.
        checkpoint: Which weights: last, best, or a folder's name in checkpoints/.
    """
    from isthmus.apps.plan import Job, find
    from isthmus.errors import ConfigError

    if json and csv:
        raise ConfigError("--json and --csv are two ways to print the same; give one of them")
    jobs = [Job(file, ()) for file in find(inputs)]

    import math

    from isthmus.apps.bulk import opened, readable, report
    from isthmus.core import Bounds
    from isthmus.evaluation.likelihood import GREY_LEVEL, bits_per_dimension

    rows: list[Row] = []
    failed: list[str] = []
    with opened(run, checkpoint) as trained, trained.seeded(seed):
        model: Any = trained.model
        for part, pictures in readable(trained, jobs, model.spec, failed):
            for job, nats in zip(part, trained.score(pictures, samples).tolist(), strict=True):
                level = None if model.levels else GREY_LEVEL
                rows.append(Row(str(job.source), nats, bits_per_dimension(nats, math.prod(model.spec.shape), level)))
    if sort:
        rows.sort(key=lambda row: -row.nats)
    if rows:
        kind = "a lower bound of the log-likelihood" if isinstance(model, Bounds) else "the log-likelihood"
        weighted = "" if samples is None else f" by {samples} samples"
        show = print_json if json else print_csv if csv else print_table
        show(rows, f"{kind}{weighted}, {OF[model.levels]}")
    report(failed, len(jobs))


def mean(rows: Sequence[Row]) -> Row:
    nats, bits = (sum(values) / len(rows) for values in list(zip(*rows, strict=True))[1:])
    return Row("mean", nats, bits)


def print_json(rows: Sequence[Row], meaning: str) -> None:
    import json

    content = {"pictures": [row._asdict() for row in rows], "mean": mean(rows)._asdict(), "meaning": meaning}
    print(json.dumps(content, indent=2, ensure_ascii=False))


def print_csv(rows: Sequence[Row], _: str) -> None:
    import csv
    import sys

    csv.writer(sys.stdout, lineterminator="\n").writerows([Row._fields, *rows])


def print_table(rows: Sequence[Row], meaning: str) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(emoji=False, highlight=False, markup=False)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("picture", overflow="fold")
    table.add_column("nats", justify="right")
    table.add_column("bits per dimension", justify="right")
    for row in [*rows, mean(rows)]:
        table.add_row(row.picture, f"{row.nats:,.2f}", f"{row.bits_per_dimension:.4f}")
    console.print(table)
    console.print(f"\n{meaning}", style="dim")
