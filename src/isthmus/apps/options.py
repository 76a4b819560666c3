"""Functions, dataclasses and a model's configuration as command lines; no torch, and no model, is imported.

It is tyro, with help that says no more than is needed and errors of one line.
"""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, Field, field, fields, is_dataclass, make_dataclass
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import tyro

from isthmus.errors import CapabilityError, ConfigError
from isthmus.models.catalog import Entry, catalog
from isthmus.models.catalog import option as read_option

if TYPE_CHECKING:
    from isthmus.core import Model

PLAIN = {"int": int, "float": float, "str": str, "bool": bool, "Path": Path, "Literal": Literal, "None": None}
TYPES: dict[Any, str] = {int: "INT", float: "FLOAT", str: "TEXT", Path: "PATH"}
METAVARS = {
    "run": "RUN",
    "data": "SPEC [SPEC]",
    "pair": "RULE",
    "size": "SIZE",
    "monitor": "PLAYER/TERM",
    "wandb": "PROJECT",
    "config": "FILE",
    "checkpoint": "NAME",
    "groups": "NAME [NAME ...]",
    "save_statistics": "FILE",
    "classes": "[NAME ...]",
    "label": "CLASS",
}


def command_line(target: Any, arguments: list[str], *, prog: str | None = None, description: str | None = None) -> Any:
    """Make the dataclass `target`, or call the function `target`, with options from the command line.

    Raises ConfigError for what cannot be understood, with the nearest name; SystemExit after --help.
    """
    prog, shape, config = prog or f"isthmus {target.__name__}", form(target), (tyro.conf.FlagCreatePairsOff,)
    if {"-h", "--help"} & set(arguments):
        tyro.cli(shape, args=["--help"], prog=prog, description=description, config=config)
    check(shape, arguments, prog)
    chosen: Any
    with flags_in_errors([f.name for f in options(shape)]):
        try:
            chosen, rest = tyro.cli(
                shape, args=arguments, config=config, return_unknown_args=True, console_outputs=False
            )
        except SystemExit:  # the only mistake that is left to make
            needed = [f.name.upper() for f in fields(shape) if positional(f) and f.default is MISSING]
            raise ConfigError(f"{prog} needs {' '.join(needed)}; {more(prog)}") from None
        if rest:
            raise ConfigError(f"{prog} does not understand {rest[0]!r}; {more(prog)}")
        return chosen if is_dataclass(target) else target(**vars(chosen))


@contextmanager
def flags_in_errors(names: Iterable[str]) -> Iterator[None]:
    """Errors that begin with an option's name, as those of its class do, call it as the command line does."""
    try:
        yield
    except ConfigError as error:
        name, _, says = str(error).partition(" ")
        if name not in names:
            raise
        raise ConfigError(f"{flag(name)} {says}") from None


def more(prog: str) -> str:
    return f"{prog} --help shows every option"


def form(target: Any, values: Mapping[str, Any] | None = None) -> type:
    """A dataclass with the fields of one, or the parameters of a function, as tyro is to show them.

    `values` replace defaults.
    """
    bases: tuple[type, ...] = ()
    if is_dataclass(target):
        bases, meanings = (cast(type, target),), comments(target)
        defaults = {f.name: f.default for f in fields(target)}
    else:
        parameters, meanings = inspect.signature(target).parameters, {}  # tyro reads them in the docstring
        defaults = {name: MISSING if p.default is p.empty else p.default for name, p in parameters.items()}
    hints, columns = get_type_hints(target, include_extras=True), []
    for name, default in (defaults | dict(values or {})).items():
        columns.append((name, shown(name, hints[name], default, meanings.get(name)), field(default=default)))
    return make_dataclass(target.__name__, columns, bases=bases, kw_only=True, namespace={"__doc__": target.__doc__})


def comments(cls: Any) -> dict[str, str]:
    """The comment behind each field of a dataclass; nothing for one that was not written in a file."""
    try:
        lines = inspect.getsource(cls).splitlines()
    except OSError:
        return {}
    (node,) = ast.parse("\n".join(lines)).body
    found = [read_option(n, lines) for n in cast(ast.ClassDef, node).body if isinstance(n, ast.AnnAssign)]
    return {option.name: option.meaning for option in found}


def shown(name: str, hint: Any, default: Any, meaning: str | None) -> Any:
    """An annotation with its meaning, a name for the value, and no word on defaults that are nothing."""
    kind, *more = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if is_dataclass(kind):
        return tyro.conf.OmitArgPrefixes[form(kind)]  # type: ignore[misc]
    silent = default is None or default is False or default is MISSING or default == ()
    settings = tyro.conf.arg(help=meaning, metavar=METAVARS.get(name), help_behavior_hint="" if silent else None)
    return Annotated[kind, *value(name, kind), settings, *more]


def value(name: str, kind: Any) -> Iterator[tyro.constructors.PrimitiveConstructorSpec[Any]]:
    """How a single value is written: `X | None` as X, since nobody needs to type None, and numbers that are numbers."""
    inner = without_none(kind)
    if not (inner in TYPES or get_origin(inner) is Literal):
        return
    choices = {str(choice): choice for choice in get_args(inner)}

    def convert(words: list[str]) -> Any:
        try:
            found = choices[words[0]] if choices else inner(words[0])
            if inner is float and not math.isfinite(found):
                raise ValueError
        except (KeyError, ValueError):
            raise ConfigError(f"{flag(name)} must be {wording(inner)}, got {words[0]!r}") from None
        return found

    yield tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=f"{{{','.join(choices)}}}" if choices else TYPES[inner],
        instance_from_str=convert,
        is_instance=lambda value: value is None or fits(value, inner),
        str_from_instance=lambda value: [str(value)],
    )


def check(shape: type, arguments: list[str], prog: str) -> None:
    """Raise ConfigError for an unknown option, with the nearest name, and for one without its value or missing."""
    given = [word.split("=")[0].replace("_", "-") for word in arguments if word.startswith("--") and word != "--"]
    known = {flag(f.name, f.default): f for f in options(shape)}
    for word in given:
        if word not in known:
            near = get_close_matches(word, known, n=1)
            raise ConfigError(f"{prog} has no option {word}; " + (f"did you mean {near[0]}?" if near else more(prog)))
    for word, following in zip(arguments, [*arguments[1:], "--"], strict=False):
        kind = get_args(known[word].type)[0] if word in known else bool
        if following.startswith("--") and kind is not bool and get_origin(kind) is not tuple:
            raise ConfigError(f"{prog}: {word} needs a value")
    if missing := [word for word, f in known.items() if f.default is MISSING and word not in given]:
        raise ConfigError(f"{prog} needs {' and '.join(missing)}; {more(prog)}")


def options(shape: Any) -> Iterator[Field[Any]]:
    """Every field that is an option, also those of dataclasses inside."""
    for f in fields(shape):
        if is_dataclass(inner := get_args(f.type)[0]):
            yield from options(inner)
        elif not positional(f):
            yield f


def positional(f: Field[Any]) -> bool:
    return tyro.conf.Positional in get_args(f.type)


def flag(name: str, default: Any = None) -> str:
    """What an option is called on the command line."""
    return f"--{'no-' if default is True else ''}{name}".replace("_", "-")


def without_none(kind: Any) -> Any:
    """`X` for `X | None`, and everything else as it is."""
    union = get_origin(kind) in (Union, UnionType)
    others = [inner for inner in get_args(kind) if inner is not type(None)] if union else []
    return others[0] if len(others) == 1 else kind


def wording(kind: Any) -> str:
    """What a value of this type is in plain words."""
    inner = without_none(kind)
    if get_origin(inner) is Literal:
        return " or ".join(map(str, get_args(inner)))
    names = {int: "a whole number", float: "a number", bool: "true or false", tuple: "a list"}
    return names.get(get_origin(inner) or inner, "a text")


def fits(value: Any, kind: Any) -> bool:
    """Whether a value, as JSON or TOML may hold it, can be an option of type `kind`."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return fits(value, inner[0])
    if origin in (Union, UnionType):
        return any(fits(value, option) for option in inner)
    if origin is Literal:
        return any(value == option and type(value) is type(option) for option in inner)
    if origin is tuple:
        return isinstance(value, list | tuple) and all(fits(item, inner[0]) for item in value)
    if kind in (int, float):
        return isinstance(value, int | kind) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, str | Path if kind is Path else kind)


def model_options(entry: Entry) -> type:
    """A dataclass with the options of a model; a field that takes a trained model takes its run folder."""
    columns: list[Any] = []
    for option in entry.options:
        kind, metavar = annotation(option.annotation)
        column = (option.name, Annotated[kind, tyro.conf.arg(help=option.meaning, metavar=metavar)])
        columns.append(column if option.required else (*column, field(default=option.default)))
    return make_dataclass(entry.class_name, columns, kw_only=True, namespace={"__doc__": "What the model is."})


def annotation(text: str) -> tuple[Any, str | None]:
    """The type of an option and, for a trained model, what to call its value."""
    try:
        return eval(text, {"__builtins__": {}}, dict(PLAIN)), None
    except NameError:  # not a plain type: the name of a capability, hence a trained model that has it
        return Path, "RUN"


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
                raise CapabilityError(
                    f"--{option.name} needs a model that {option.annotation.lower()}, which {values[option.name]} "
                    f"does not; these do: {', '.join(able)}"
                )
    with flags_in_errors(values):
        return entry.load()(**ready)
