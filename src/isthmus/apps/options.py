"""A model's configuration as command-line options, made from the catalog: no model, and no torch, is imported."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, make_dataclass
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import tyro

from isthmus.errors import CapabilityError, ConfigError
from isthmus.models.catalog import Entry, catalog

if TYPE_CHECKING:
    from isthmus.core import Model

PLAIN = {"int": int, "float": float, "str": str, "bool": bool, "Path": Path, "Literal": Literal, "None": None}


def model_options(entry: Entry, *, need_models: bool = True) -> type:
    """A dataclass with the options of a model; a field that takes a trained model takes its run folder."""
    columns: list[Any] = []
    for option in entry.options:
        kind, metavar = annotation(option.annotation)
        settings = tyro.conf.arg(help=option.meaning, metavar=metavar)
        if option.required and need_models:
            columns.append((option.name, Annotated[kind, settings]))
        else:
            columns.append((option.name, Annotated[kind, settings], field(default=option.default)))
    made = make_dataclass(entry.class_name, columns, kw_only=True)
    made.__doc__ = f"{entry.title}. {entry.authors}, {entry.year}."
    return made


def annotation(text: str) -> tuple[Any, str | None]:
    """The type of an option and, for a trained model, what to call its value."""
    try:
        return eval(text, {"__builtins__": {}}, dict(PLAIN)), None
    except NameError:  # not a plain type: the name of a capability, hence a trained model that has it
        return Path, "RUN"


def optional(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
    """Show `X | None` as X: nobody needs to type None."""
    kinds = [kind for kind in get_args(info.type) if kind is not type(None)]
    if get_origin(info.type) not in (Union, UnionType) or len(kinds) != 1 or kinds[0] not in (int, float, str, Path):
        return None
    (kind,) = kinds

    def convert(words: list[str]) -> Any:
        return kind(words[0])

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=kind.__name__.upper(),
        instance_from_str=convert,
        is_instance=lambda value: value is None or isinstance(value, kind),
        str_from_instance=lambda value: [str(value)],
    )


def command_line(target: Any, arguments: list[str], **settings: Any) -> Any:
    """tyro, in the form that all commands share: exit code 2 and nearest names for what it does not understand."""
    registry = tyro.constructors.ConstructorRegistry()
    registry.primitive_rule(optional)
    with registry:
        return tyro.cli(target, args=arguments, config=(tyro.conf.FlagCreatePairsOff,), **settings)


def make_model(entry: Entry, values: Mapping[str, Any]) -> Model:
    """The configured model; run folders become the trained models they hold.

    Raises CheckpointError for a folder without one, CapabilityError if it cannot do what is asked of it.
    """
    from isthmus import core
    from isthmus.training.checkpoint import load_model

    ready = dict(values)
    for option in entry.options:
        if annotation(option.annotation)[1] == "RUN":
            capability = getattr(core, option.annotation)
            ready[option.name] = load_model(Path(values[option.name]))
            if not isinstance(ready[option.name], capability):
                able = [e.name for e in catalog().values() if issubclass(e.load(), capability)]
                wanted = option.annotation.lower()
                raise CapabilityError(
                    f"--{option.name} needs a model that {wanted}, which {values[option.name]} does not; "
                    f"these do: {', '.join(able)}"
                )
    return entry.load()(**ready)


@dataclass
class Preset:
    """Defaults from a file: a run's config.json, or TOML with the same tables: config, data, run."""

    model: str | None
    config: dict[str, Any]
    data: dict[str, Any]
    run: dict[str, Any]

    @classmethod
    def read(cls, path: Path | None) -> Preset:
        """Read a file. Raises ConfigError if it is missing, malformed, or has an unknown table."""
        if path is None:
            return cls(None, {}, {}, {})
        try:
            content = path.read_text()
            values = tomllib.loads(content) if path.suffix == ".toml" else json.loads(content)
        except OSError as error:
            raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from None
        except ValueError as error:
            raise ConfigError(f"{path} is neither JSON nor TOML ({error})") from None
        known = {"isthmus", "format", "model", "config", "specs", "data", "run", "made_with"}
        if unknown := sorted(values.keys() - known):
            raise ConfigError(f"{path} has an unknown table {unknown[0]!r}; there are: model, config, data, run")
        return cls(values.get("model"), *(dict(values.get(table, {})) for table in ("config", "data", "run")))


def filled(cls: type, values: Mapping[str, Any], table: str) -> Any:
    """An instance of the options `cls` with these values; what is required and not given is left to the command line.

    Raises ConfigError for a name that the class does not have.
    """
    known = {f.name: f for f in fields(cls)}
    if unknown := sorted(values.keys() - known.keys()):
        names = ", ".join(sorted(known))
        raise ConfigError(f"the configuration's table {table} has no option {unknown[0]!r}; there are: {names}")
    required = {name for name, f in known.items() if f.default is MISSING and f.default_factory is MISSING}
    return cls(**{**dict.fromkeys(required, tyro.MISSING), **{k: restored(v, known[k]) for k, v in values.items()}})


def restored(value: Any, where: Field[Any]) -> Any:
    """A value from JSON or TOML as the option's type: lists were tuples, and paths were strings."""
    if isinstance(value, list):
        return tuple(value)
    return Path(value) if isinstance(value, str) and "Path" in str(where.type) else value


def take_option(arguments: list[str], name: str) -> tuple[str | None, list[str]]:
    """The value of `--name VALUE` or `--name=VALUE`, and the other arguments."""
    for i, argument in enumerate(arguments):
        if argument == name and i + 1 < len(arguments):
            return arguments[i + 1], arguments[:i] + arguments[i + 2 :]
        if argument.startswith(f"{name}="):
            return argument.split("=", 1)[1], arguments[:i] + arguments[i + 1 :]
    return None, arguments
