"""What a model will cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from isthmus.apps.commands.train import choose
from isthmus.apps.options import make_model
from isthmus.errors import ConfigError

USAGE = "isthmus estimate MODEL --size 128"


@dataclass(kw_only=True)
class TrialOptions:
    """Of the trial; it takes all options of isthmus train, and writes nothing."""

    config: Path | None = None  # take defaults from a run's config.json, or from TOML with tables config, data and run
    trial_steps: int = 10  # steps to take the time of

    def __post_init__(self) -> None:
        if self.trial_steps < 1:
            raise ConfigError(f"--trial-steps must be at least 1, got {self.trial_steps}")


def main(arguments: list[str]) -> None:
    """Count parameters, and measure memory and time per step in a short trial on random images."""
    asked = choose("estimate", USAGE, arguments, TrialOptions, out="unused")
    if asked is None:
        return
    entry, chosen = asked
    model = make_model(entry, vars(chosen.model))

    from rich.console import Console
    from rich.table import Table

    from isthmus.training.estimate import estimate

    found = estimate(model, chosen.data, chosen.run, rounds=chosen.command.trial_steps)
    table = Table(show_header=False, box=None, padding=(0, 2))
    for name, value in found.rows():
        table.add_row(name, value)
    Console(emoji=False, highlight=False).print(table)
