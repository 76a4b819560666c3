"""Run an experiment: every variant with every seed, once; then medians, verdict, and a record of how it was made."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from isthmus import __version__
from isthmus.core import Model
from isthmus.data.images import Images
from isthmus.data.open import open_data
from isthmus.data.options import DataOptions
from isthmus.evaluation.figures import figures
from isthmus.experiments.experiment import Experiment, Training, medians
from isthmus.experiments.picture import save_picture, save_preview
from isthmus.models.catalog import find
from isthmus.training.checkpoint import load_model, write
from isthmus.training.options import RunOptions
from isthmus.training.run import train

FULL = "full"  # the variant without ablation


def perform(experiment: Experiment, seeds: Sequence[int], folder: Path, threads: int | None = None) -> dict[str, Any]:
    """All variants with all seeds; what `folder` already holds is not done again. Writes and returns the record."""
    rows, previews = [], dict[str, Path]()
    for seed in seeds:
        for variant, ablated in {FULL: {}, **experiment.ablations}.items():
            file = folder / f"{variant.replace(' ', '-')}-{seed}.json"
            previews.setdefault(variant, file.with_suffix(".png"))
            if not file.exists():
                row = measured(experiment, ablated, seed, folder / "runs", threads, file.with_suffix(".png"))
                write(file, json.dumps({"variant": variant, "seed": seed, **row}, indent=2) + "\n")
            rows.append(json.loads(file.read_text()))
    record = summary(experiment, rows)
    write(folder / "result.json", json.dumps(record, indent=2) + "\n")
    save_picture(experiment, record, previews, folder / "result.png")
    return record


def measured(
    experiment: Experiment, ablated: Mapping[str, Any], seed: int, folder: Path, threads: int | None, picture: Path
) -> dict[str, Any]:
    """Train one variant with one seed, take its figures on the test images, and save a `picture` of what it shows."""
    wall, training = time.monotonic(), experiment.training
    parts, parts_cpu = {}, 0.0
    for name, part in training.parts.items():
        parts[name], seconds = trained(part, folder / f"{name}-{seed}", seed, threads)
        parts_cpu += seconds
    label = "".join(f"-{name}={value}" for name, value in ablated.items())
    out = folder / f"{training.model}-{seed}{label}"
    model, cpu = trained(training, out, seed, threads, ablated, parts)
    data = DataOptions(**training.data)
    train, test = open_data(data, "train"), open_data(data, "test")
    save_preview(model, test, picture)
    return {
        "figures": dict(flattened(taken(experiment, model, out, data, train, test, seed))),
        "training_cpu_seconds": round(cpu, 1),
        "parts_cpu_seconds": round(parts_cpu, 1),
        "wall_seconds": round(time.monotonic() - wall, 1),
        "made_with": environment(),
    }


def taken(
    experiment: Experiment,
    model: Model,
    out: Path,
    data: DataOptions,
    train: Sequence[Images],
    test: Sequence[Images],
    seed: int,
) -> dict[str, Mapping[str, Any]]:
    """The figures of a model trained in folder `out`: the experiment's own, and the groups that it wants beside."""
    found: dict[str, Mapping[str, Any]] = {}
    with torch.no_grad():
        if experiment.measure is not None:
            torch.manual_seed(seed)
            found |= experiment.measure(model.eval(), train, test, seed)
        if experiment.trace is not None:
            torch.manual_seed(seed)
            found |= experiment.trace(out, train, test, seed)
    if wanted := experiment.measured - found.keys():
        found |= figures(model, data, train, test, groups=wanted, images=experiment.images, seed=seed)
    return found


def trained(
    training: Training,
    out: Path,
    seed: int,
    threads: int | None = None,
    ablated: Mapping[str, Any] | None = None,
    parts: Mapping[str, Model] | None = None,
) -> tuple[Model, float]:
    """The model of one training and the CPU seconds it took; from its run folder if it was trained there before."""
    record = out / "cpu_seconds"
    if not record.exists():
        began = time.process_time()
        model = find(training.model).load()(**{**training.options, **(ablated or {}), **(parts or {})})
        run = {"sample_every": 0, "validation": 0.0, "threads": threads, **training.run}
        run["seed"] = 1000 * seed + training.run.get("seed", 0)  # two parts must not be the same model
        train(model, DataOptions(**training.data), RunOptions(out=out, **run), overwrite=out.exists())
        write(record, f"{time.process_time() - began:.1f}")
    return load_model(out), float(record.read_text())


def flattened(groups: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    """Every number, as group/name."""
    for group, values in groups.items():
        for name, value in values.items():
            if isinstance(value, int | float):
                yield f"{group}/{name}", value


def summary(experiment: Experiment, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Medians over seeds, and whether the full model meets the bars and each ablation misses one."""
    variants = {}
    for variant in (FULL, *experiment.ablations):
        seeds = [row["figures"] for row in rows if row["variant"] == variant]
        met = all(bar.held(seeds) for bar in experiment.bars)
        variants[variant] = {"median": medians(seeds), "meets_bars": met, "as_expected": met == (variant == FULL)}
    return {
        "experiment": experiment.name,
        "claim": experiment.claim,
        "model": experiment.training.model,
        "bars": [str(bar) for bar in experiment.bars],
        "passed": all(variant["as_expected"] for variant in variants.values()),
        "variants": variants,
        "runs": list(rows),
    }


def environment() -> dict[str, Any]:
    """Where and with what a figure was made."""
    return {
        "isthmus": __version__,
        "commit": commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "machine": f"{os.cpu_count()} cores, {processor()}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def processor() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def commit() -> str:
    """The commit of the source, with a + if it was changed since; empty outside a repository."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
