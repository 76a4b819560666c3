"""Measure a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tyro


def evaluate(
    run: tyro.conf.Positional[Path],
    groups: tuple[str, ...] = (),
    images: int = 2000,
    draws: int = 4,
    seed: int = 0,
    checkpoint: str = "last",
    json: bool = False,
) -> None:
    """Measure a trained model on the test images of its data, and keep the figures in the run folder.

    Args:
        run: The run folder.
        groups: Only these groups of figures, such as samples or likelihood; by default all that apply.
        images: At most so many test images, and as many that the model draws; with more, figures are surer and slower.
        draws: Translations of each test image, where translations have a class to show.
        seed: Of the random draws.
        checkpoint: Which weights: last, best, or a folder's name in checkpoints/.
        json: Print JSON instead of tables.
    """
    import json as json_format

    from isthmus.apps.handle import find_device
    from isthmus.core.steps import watching
    from isthmus.data.work import watched
    from isthmus.errors import CheckpointError, ConfigError
    from isthmus.evaluation.figures import figures
    from isthmus.training.checkpoint import load_model, read_config, write
    from isthmus.training.folder import FIGURES
    from isthmus.training.settings import data_of, reopen

    for name, number in (("images", images), ("draws", draws)):
        if number < 1:
            raise ConfigError(f"--{name} must be at least 1, got {number}")
    config = read_config(run)
    if "data" not in config:
        raise CheckpointError(f"{run} does not say what data it was trained on, so there is nothing to measure it on")
    model, data = load_model(run, checkpoint).to(find_device("auto")), data_of(config, run)
    train, test = reopen(config, "train", run), reopen(config, "test", run)
    with watching(watched):
        found = figures(model, data, train, test, groups=groups, images=images, draws=draws, seed=seed)
    text = json_format.dumps({"checkpoint": checkpoint, "seed": seed, **found}, indent=2, ensure_ascii=False)
    write(run / FIGURES, text + "\n")
    if json:
        print(text)
    else:
        show(found)


def show(found: dict[str, Any]) -> None:
    """Each group of figures as a table, and below it how they were made."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(emoji=False, highlight=False)
    for title, group in found.items():
        made, errors = group["provenance"], group["standard_errors"]
        table = Table(
            "", "value", "± error", title=title.replace("_", " "), title_justify="left", title_style="bold", box=None
        )
        for name, value in group.items():
            if not isinstance(value, dict):
                error = f"{errors[name]:.2g}" if name in errors else ""
                table.add_row(name.replace("_", " "), "none" if value is None else f"{value:.4g}", error)
        console.print(table)
        counts = " and ".join(f"{count:,}" for count in made["images"])
        seen = "" if made["extractor"] == "none" else f", seen by the {made['extractor']} (weights {made['weights']})"
        settings = "".join(f", {value} {name}" for name, value in made["settings"].items())
        console.print(f"[dim]{counts} images{escape(seen)}{settings}[/]\n", soft_wrap=True)
