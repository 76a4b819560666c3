"""Train a model."""

from __future__ import annotations

from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Any

import tyro

from isthmus.apps.options import Preset, command_line, filled, make_model, model_options, take_option
from isthmus.data.options import DataOptions
from isthmus.errors import ConfigError
from isthmus.models.catalog import Entry, catalog, find
from isthmus.training.options import RunOptions

USAGE = "isthmus train MODEL --data SPEC --out RUN [options]"


def main(arguments: list[str]) -> None:
    """Train a model on one or two data sets, and write a run folder."""
    file, arguments = take_option(arguments, "--config")
    preset = Preset.read(Path(file) if file else None)
    if preset.model is not None and (not arguments or arguments[0].startswith("-")):
        arguments = [preset.model, *arguments]
    if not arguments or arguments[0].startswith("-"):
        overview(asked=arguments[:1] in (["-h"], ["--help"]))
        return
    entry = find(arguments[0])
    chosen = parse(entry, arguments[1:], preset)
    model = make_model(entry, vars(chosen.model))

    from isthmus.training.run import train

    train(model, chosen.data, chosen.run, overwrite=chosen.output.overwrite)


@dataclass
class OutputOptions:
    """What may happen to what is there."""

    overwrite: bool = False  # replace the run folder if it exists


def parse(entry: Entry, arguments: list[str], preset: Preset, prog: str = "train") -> Any:
    """The command line in four groups: the model's options, the data's, the run's, the output's."""
    defaults = {
        "model": filled(model_options(entry), preset.config, "config"),
        "data": filled(DataOptions, preset.data, "data"),
        "run": filled(RunOptions, preset.run, "run"),
        "output": OutputOptions(),
    }
    columns = [(name, tyro.conf.OmitArgPrefixes[type(value)]) for name, value in defaults.items()]  # type: ignore[misc]
    group = make_dataclass("Train", columns)
    title = f"{entry.title}. {entry.authors}, {entry.year}."
    default = group(**defaults)
    return command_line(group, arguments, default=default, prog=f"isthmus {prog} {entry.name}", description=title)


def overview(*, asked: bool) -> None:
    if not asked:
        raise ConfigError(f"say which model to train: {USAGE}; models: {', '.join(catalog())}")
    from rich.console import Console

    console = Console(highlight=False)
    console.print(f"\n[bold]{USAGE}[/]\n", markup=True)
    for entry in catalog().values():
        console.print(f"  [bold cyan]{entry.name:<18}[/]{entry.title} [dim]({entry.authors}, {entry.year})[/]")
    console.print("\nisthmus train MODEL --help shows every option of that model. Options can also come from a file:")
    console.print("--config FILE takes a run's config.json, or TOML with tables config, data and run.\n")
