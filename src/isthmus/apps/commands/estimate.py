"""What a model will cost."""

from __future__ import annotations

from pathlib import Path

from isthmus.apps.commands.train import parse
from isthmus.apps.options import Preset, make_model, take_option
from isthmus.errors import ConfigError
from isthmus.models.catalog import catalog, find


def main(arguments: list[str]) -> None:
    """Count parameters, and measure memory and time per step in a short trial on random images."""
    if not arguments or arguments[0].startswith("-"):
        raise ConfigError(f"say which model: isthmus estimate MODEL --size 128; models: {', '.join(catalog())}")
    entry = find(arguments[0])
    file, rest = take_option(arguments[1:], "--config")
    trial, rest = take_option(rest, "--trial-steps")
    preset = Preset.read(Path(file) if file else None)
    preset.run.setdefault("out", "nowhere")
    chosen = parse(entry, rest, preset, prog="estimate")

    from isthmus.training.estimate import estimate

    found = estimate(make_model(entry, vars(chosen.model)), chosen.data, chosen.run, rounds=int(trial or 10))
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2))
    for name, value in found.rows():
        table.add_row(name, value)
    Console(highlight=False).print(table)
