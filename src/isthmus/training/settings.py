"""The options of a run in its config.json: written so that they hold from everywhere, and read back."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch

from isthmus.data.images import Images
from isthmus.data.open import open_data
from isthmus.data.options import FOLDERS, DataOptions, Split
from isthmus.errors import CheckpointError, DataError
from isthmus.training.checkpoint import CONFIG
from isthmus.training.options import RunOptions


def settings(data: DataOptions, run: RunOptions) -> dict[str, Any]:
    """The tables of config.json beside the model's."""
    root = None if data.data_root is None else data.data_root.absolute()
    anchored = replace(data, data=tuple(map(anchor, data.data)), data_root=root)
    versions = {"python": platform.python_version(), "torch": torch.__version__, "machine": platform.machine()}
    return {"data": plain(anchored), "run": plain(run), "made_with": versions}


def anchor(spec: str) -> str:
    """A data spec that names the same folder whatever the working directory is."""
    kind, _, path = spec.partition(":")
    if kind.strip().lower() not in FOLDERS:
        return spec
    return f"{kind}:{Path(path).expanduser().absolute()}"


def plain(options: DataOptions | RunOptions) -> dict[str, Any]:
    """Options as JSON holds them."""
    return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(options).items()}


def data_of(config: Mapping[str, Any], folder: Path) -> DataOptions:
    """The data options of the run in `folder`, whose config.json holds `config`."""
    return read(DataOptions, config.get("data"), folder)


def run_of(config: Mapping[str, Any], folder: Path, **changes: Any) -> RunOptions:
    """Its run options, with `changes`."""
    return replace(read(RunOptions, config.get("run"), folder), out=folder, **changes)


def read(cls: Any, table: Any, folder: Path) -> Any:
    """One table as options. Raises CheckpointError for what this version of Isthmus does not know."""
    known = {f.name: str(f.type) for f in fields(cls)}
    if not isinstance(table, dict):
        raise CheckpointError(f"{folder / CONFIG} does not say what data and options the model was trained with")
    if unknown := sorted(table.keys() - known.keys()):
        raise CheckpointError(f"{folder / CONFIG} has an option {unknown[0]!r} that this version of Isthmus lacks")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
    paths = {k: Path(v) for k, v in table.items() if v is not None and "Path" in known[k]}
    try:
        return cls(**values | paths)
    except TypeError as error:
        raise CheckpointError(f"{folder / CONFIG} is damaged ({error}); restore the file") from None


def reopen(data: DataOptions, split: Split, folder: Path) -> tuple[Images, ...]:
    """The data of the run in `folder`. Raises DataError, which says where to write it, if they are elsewhere now."""
    try:
        return open_data(data, split)
    except DataError as error:
        raise DataError(f"{error}; if the data have moved, change the table data in {folder / CONFIG}") from None
