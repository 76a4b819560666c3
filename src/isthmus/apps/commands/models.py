"""What models there are."""

from __future__ import annotations

import json as json_format
from dataclasses import asdict
from typing import TYPE_CHECKING

from isthmus.models.catalog import catalog

if TYPE_CHECKING:
    from rich.table import Table


def models(json: bool = False) -> None:
    """What models there are: name, family, paper, and what each can do.

    Args:
        json: Print JSON, with every option of every model, instead of a table.
    """
    if json:
        print(json_format.dumps([asdict(entry) for entry in catalog().values()], indent=2))
        return
    from rich.console import Console

    Console(emoji=False, highlight=False).print(table())


def table() -> Table:
    """Each model's name, and beside it what it can do, above its paper."""
    from rich.table import Table

    out = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    out.add_column(no_wrap=True)
    family = ""
    for entry in catalog().values():
        if entry.family != family:
            out.add_row(f"[bold]{entry.family}[/]")
        family = entry.family
        link = f" arXiv:{entry.arxiv}" if entry.arxiv else ""
        paper = f"[dim]{entry.title}. {entry.authors}, {entry.year}.{link}[/]"
        out.add_row(f"  [bold cyan]{entry.name}[/]", f"{', '.join(entry.capabilities)}\n{paper}")
    return out
