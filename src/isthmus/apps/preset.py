"""Files of defaults: a run's config.json, or TOML with the same tables. Imports no torch."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_type_hints

from isthmus.apps.options import fits, wording
from isthmus.errors import ConfigError

TABLES = ("config", "data", "run")
OTHERS = ("model", "isthmus", "format", "specs", "images", "made_with")  # that may be there too


@dataclass
class Preset:
    """A model's name, its options, and those of the data and of the run."""

    model: str | None
    config: dict[str, Any]
    data: dict[str, Any]
    run: dict[str, Any]
    file: Path | None = None

    @classmethod
    def read(cls, file: Path | None) -> Preset:
        """Read a file. Raises ConfigError if it is missing, malformed, or has an unknown table."""
        if file is None:
            return cls(None, {}, {}, {})
        try:
            content = file.read_text()
            values = tomllib.loads(content) if file.suffix == ".toml" else json.loads(content)
        except OSError as error:
            raise ConfigError(f"cannot read the configuration {file}: {error.strerror}") from None
        except ValueError as error:
            kind = "TOML" if file.suffix == ".toml" else "JSON"
            raise ConfigError(f"the configuration {file} is not {kind} ({error})") from None
        wanted = f"wanted are a model's name and the tables {', '.join(TABLES)}"
        if not isinstance(values, dict):
            raise ConfigError(f"the configuration {file} holds no tables; {wanted}")
        if unknown := sorted(values.keys() - {*TABLES, *OTHERS}):
            raise ConfigError(f"the configuration {file} has an unknown table {unknown[0]!r}; {wanted}")
        model, tables = values.get("model"), [values.get(table, {}) for table in TABLES]
        if not isinstance(model, str | None) or not all(isinstance(table, dict) for table in tables):
            raise ConfigError(f"the configuration {file} has values where tables should be; {wanted}")
        config, data, run = tables
        return cls(model, config, data, run, file)

    def defaults(self, table: str, options: type) -> dict[str, Any]:
        """The values of a table as defaults of the dataclass `options`: lists were tuples, and paths were strings.

        A trained model inside the configuration is left out: it is asked for again, by its run folder. Raises
        ConfigError for an unknown option and for a value of another type.
        """
        hints, values = get_type_hints(options), getattr(self, table)
        known = [f.name for f in fields(options)]
        for name, value in values.items():
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
                raise ConfigError(f"{self.file}: the table {table} has no option {name!r}; {hint}")
            if not fits(value, hints[name]) and not is_model(value):
                wanted = wording(hints[name])
                raise ConfigError(f"{self.file}: {name} in the table {table} must be {wanted}, got {value!r}")
        return {name: restored(value, hints[name]) for name, value in values.items() if not is_model(value)}


def is_model(value: Any) -> bool:
    """Whether a value describes a trained model."""
    return isinstance(value, Mapping) and "model" in value


def restored(value: Any, kind: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return Path(value) if isinstance(value, str) and "Path" in str(kind) else value


def take_option(arguments: list[str], name: str) -> tuple[str | None, list[str]]:
    """The value of `--name VALUE` or `--name=VALUE`, and the other arguments."""
    for i, argument in enumerate(arguments):
        if argument == name:
            if i + 1 == len(arguments):
                raise ConfigError(f"{name} needs a value")
            return arguments[i + 1], arguments[:i] + arguments[i + 2 :]
        if argument.startswith(f"{name}="):
            return argument.split("=", 1)[1], arguments[:i] + arguments[i + 1 :]
    return None, arguments
