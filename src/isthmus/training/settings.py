"""The options of a run in its config.json: written so that they hold from everywhere, and read back."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch

from isthmus.core import Spec
from isthmus.data.images import Images
from isthmus.data.open import open_data
from isthmus.data.options import FOLDERS, DataOptions, Split
from isthmus.errors import CheckpointError, DataError
from isthmus.training.checkpoint import CONFIG, specs_of
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


def reopen(config: dict[str, Any], split: Split, folder: Path) -> tuple[Images, ...]:
    """The data of the run in `folder`, whose config.json holds `config`.

    Raises DataError, which says where to write it, if they are elsewhere now or no longer what the model is made for.
    """
    try:
        domains = open_data(data_of(config, folder), split)
    except DataError as error:
        raise DataError(f"{error}; if the data have moved, change the table data in {folder / CONFIG}") from None
    for domain, made_for in zip(domains, specs_of(config), strict=False):
        check_same(domain.spec, made_for, folder)
    return domains


def check_same(found: Spec, made_for: Spec, folder: Path) -> None:
    """Raise DataError if images have another form, or labels another meaning, than those the model was built for."""
    if replace(found, name="") == replace(made_for, name=""):
        return
    classes = enumerate(zip_longest(found.classes, made_for.classes, fillvalue="none"))
    moved = next((f" (class {i} was {then} and is {now})" for i, (now, then) in classes if now != then), "")
    raise DataError(
        f"the model in {folder} is made for {made_for}, but {found.name} is {found} now{moved}; bring back the data as "
        f"they were, by the table data in {folder / CONFIG} if that is where they differ, or train a new model"
    )
