"""Train a model."""

from __future__ import annotations

from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Any

from isthmus.apps.options import command_line, form, make_model, model_options
from isthmus.apps.preset import Preset, take_option
from isthmus.data.options import DataOptions
from isthmus.errors import ConfigError
from isthmus.models.catalog import Entry, catalog, find
from isthmus.training.options import RunOptions

USAGE = "isthmus train MODEL --data SPEC [SPEC] --out RUN"


@dataclass(kw_only=True)
class CommandOptions:
    """Where defaults come from, and what may be replaced."""

    config: Path | None = None  # take defaults from a run's config.json, or from TOML with tables config, data and run
    overwrite: bool = False  # replace the run folder if it exists


def main(arguments: list[str]) -> None:
    """Train a model on one or two data sets, and write a run folder."""
    if asked := choose("train", USAGE, arguments, CommandOptions):
        entry, chosen = asked
        model = make_model(entry, vars(chosen.model))

        from isthmus.training.run import train

        train(model, chosen.data, chosen.run, overwrite=chosen.command.overwrite)


def choose(
    command: str, usage: str, arguments: list[str], extra: type, out: str | None = None
) -> tuple[Entry, Any] | None:
    """The model and the options that are asked for; None after help on no model in particular."""
    file, rest = take_option(arguments, "--config")
    preset = Preset.read(Path(file) if file else None)
    if out is not None:
        preset.run.setdefault("out", out)
    if preset.model is not None and (not rest or rest[0].startswith("-")):
        rest = [preset.model, *rest]
    if rest[:1] in (["-h"], ["--help"]):
        overview(command, usage)
        return None
    if not rest or rest[0].startswith("-"):
        raise ConfigError(f"say which model: {usage}; there are: {', '.join(catalog())}")
    entry = find(rest[0])
    return entry, parse(entry, rest[1:], preset, command, extra)


def parse(entry: Entry, arguments: list[str], preset: Preset, prog: str = "train", extra: type = CommandOptions) -> Any:
    """The command line in four groups: the model's options, the data's, the run's, the command's."""
    model = model_options(entry)
    groups = {
        "model": form(model, preset.defaults("config", model)),
        "data": form(DataOptions, preset.defaults("data", DataOptions)),
        "run": form(RunOptions, {**entry.run_defaults, **preset.defaults("run", RunOptions)}),
        "command": extra,
    }
    title = f"{entry.title}. {entry.authors}, {entry.year}."
    group = make_dataclass("Options", groups.items())
    chosen = command_line(group, arguments, prog=f"isthmus {prog} {entry.name}", description=title)
    chosen.data, chosen.run = DataOptions(**vars(chosen.data)), RunOptions(**vars(chosen.run))
    return chosen


def overview(command: str, usage: str) -> None:
    """What can be said without a model."""
    from rich.console import Console
    from rich.markup import escape

    from isthmus.apps.commands.models import table

    console = Console(emoji=False, highlight=False)
    console.print(f"usage: [bold]{escape(usage)} ...[/]\n")
    console.print(table())
    console.print(f"\n[bold]isthmus {command} MODEL --help[/] shows every option with its default and meaning.")
