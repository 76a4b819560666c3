"""Measure a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tyro


def evaluate(
    run: tyro.conf.Positional[Path], draws: int = 4, seed: int = 0, checkpoint: str = "last", json: bool = False
) -> None:
    """Measure a trained model on the test images of its data, and keep the figures in the run folder.

    Args:
        run: The run folder.
        draws: Translations of each test image.
        seed: Of the random draws.
        checkpoint: Which weights: last, best, or a folder's name in checkpoints/.
        json: Print JSON instead of tables.
    """
    import json as json_format

    from isthmus.errors import CheckpointError, ConfigError
    from isthmus.evaluation.figures import figures
    from isthmus.training.checkpoint import load_model, read_config, write
    from isthmus.training.settings import data_of, reopen

    if draws < 1:
        raise ConfigError(f"--draws must be at least 1, got {draws}")
    config = read_config(run)
    if "data" not in config:
        raise CheckpointError(f"{run} does not say what data it was trained on, so there is nothing to measure it on")
    model, data = load_model(run, checkpoint), data_of(config, run)
    found = figures(model, data, reopen(data, "train", run), reopen(data, "test", run), draws=draws, seed=seed)
    text = json_format.dumps({"checkpoint": checkpoint, "seed": seed, **found}, indent=2)
    write(run / "evaluation.json", text + "\n")
    if json:
        print(text)
    else:
        show(found)


def show(found: dict[str, Any]) -> None:
    """Each group of figures as a table."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for title, figures in found.items():
        table = Table(title=title.replace("_", " "), show_header=False, title_justify="left", title_style="bold")
        for name, value in figures.items():
            text = "none" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
            table.add_row(name.replace("_", " "), text)
        console.print(table)
