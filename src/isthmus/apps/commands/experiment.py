"""Decisive experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import tyro

from isthmus.errors import ConfigError


def experiment(
    names: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[NAME ...]")] = (),
    all: bool = False,
    list: bool = False,
    seeds: int = 3,
    out: Path = Path("experiments"),
    threads: int | None = None,
) -> int:
    """Show a model's distinctive mechanism at work, and its ablations failing; exit code 1 for a failed verdict.

    Args:
        names: Experiments to run.
        all: Run every experiment.
        list: List the experiments and do nothing.
        seeds: Seeds to run each variant with; figures are medians.
        out: Folder for runs and results, as JSON and as pictures; what it already holds is not done again.
        threads: CPU threads; by default what torch chooses.
    """
    from isthmus.experiments.experiment import experiments, find

    if list:
        for known in experiments().values():
            print(f"{known.name:<18}{known.claim}")
        return 0
    if seeds < 1:
        raise ConfigError(f"--seeds must be at least 1, got {seeds}")
    if not names and not all:
        raise ConfigError(f"say which experiment, or --all; there are: {', '.join(experiments())}")
    chosen = [*experiments().values()] if all else [find(name) for name in names]

    from isthmus.experiments.run import perform

    passed = True
    for known in chosen:
        try:
            record = perform(known, range(seeds), out / known.name, threads)
        except KeyboardInterrupt:  # which says how to resume one run alone
            raise KeyboardInterrupt("the same command goes on; what is done is not done again") from None
        show(record)
        print(f"{out / known.name / 'result.json'} and {out / known.name / 'result.png'}")
        passed &= record["passed"]
    return 0 if passed else 1


def show(record: dict[str, Any]) -> None:
    """Every variant with its medians and verdict."""
    from rich.console import Console
    from rich.table import Table

    title = f"{record['experiment']}: {record['claim']}\nbar: {'; '.join(record['bars'])}"
    table = Table(title=title, title_justify="left")
    names = [*record["variants"]["full"]["median"]]
    for column in ("variant", *names, "meets the bar", "verdict"):
        table.add_column(column.replace("_", " "))
    for variant, row in record["variants"].items():
        values = [f"{row['median'][name]:.4g}" if name in row["median"] else "none" for name in names]
        table.add_row(
            variant, *values, str(row["meets_bars"]), "[green]pass[/]" if row["as_expected"] else "[red]FAIL[/]"
        )
    Console(emoji=False).print(table)
