"""What models there are."""

from __future__ import annotations

import json as json_format
from dataclasses import asdict

from isthmus.models.catalog import catalog


def models(json: bool = False) -> None:
    """What models there are: name, family, paper, and what each can do.

    Args:
        json: Print JSON, with every option of every model, instead of a table.
    """
    if json:
        print(json_format.dumps([asdict(entry) for entry in catalog().values()], indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 2))
    for column in ("model", "family", "paper", "can"):
        table.add_column(column)
    for entry in catalog().values():
        link = f" arXiv:{entry.arxiv}" if entry.arxiv else ""
        paper = f"{entry.title} [dim]({entry.authors}, {entry.year}{link})[/]"
        table.add_row(f"[bold cyan]{entry.name}[/]", entry.family, paper, ", ".join(entry.capabilities))
    Console().print(table)
