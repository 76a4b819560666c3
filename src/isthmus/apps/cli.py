"""The command line. It imports a command's module when that command is asked for, and torch when work begins."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

from isthmus.errors import ConfigError, IsthmusError

COMMANDS = {
    "demo": "the main job on bundled data: autoencoders, bridge, report",
    "models": "what models there are, and what they can do",
    "train": "train a model",
    "resume": "go on with a run exactly where it stopped",
    "translate": "carry pictures to another domain",
    "sample": "draw new pictures",
    "augment": "write a data set of new pictures, in a folder for each class",
    "reconstruct": "send pictures through a model's code and back",
    "interpolate": "lead from one picture to another through codes",
    "manifold": "all that two dimensions of the code hold, on one sheet",
    "traverse": "what single dimensions of the code do, a row for each",
    "arithmetic": "add and subtract what pictures have in common",
    "swap": "give pictures other classes, and keep all else",
    "complete": "keep a part of pictures and draw the rest anew",
    "encode": "codes and features of pictures, in a file for other programs",
    "score": "how probable pictures are to a model",
    "evaluate": "measure a trained model on test images",
    "compare": "distances, precision and diversity of any two sets of images",
    "study": "a page on which people judge two sets of pictures, and what they found",
    "experiment": "a model's decisive experiment, and the ablation that must fail",
    "serve": "a page in the browser for trained models, and a service for programs",
    "data": "look at data before anything trains: isthmus data check",
    "estimate": "parameters, memory and time per step, from a short trial",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 2 for the user to mend, 130 stopped by the user."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"  # where it arose is of no use to users
    try:
        return run(arguments)
    except IsthmusError as error:
        complain(str(error))
        return 2
    except KeyboardInterrupt as stop:
        complain(str(stop) or "by the user", label="stopped")
        return 130
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # of the disk or the network, where nobody knew better what to say
        complain(": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
        return 2


def run(arguments: list[str]) -> int:
    match arguments:
        case [] | ["-h" | "--help", *_]:
            overview()
        case ["help", *rest]:
            return run([*rest[:1], "--help"])
        case ["--version", *_]:
            from isthmus import __version__

            print(f"isthmus {__version__}")
        case [name, *rest] if name in COMMANDS:
            return command(name)(rest) or 0
        case [name, *_]:
            near = get_close_matches(name, [*COMMANDS, "--help", "--version"], n=1)
            hint = f"did you mean isthmus {near[0]}?" if near else f"there are: {', '.join(COMMANDS)}"
            raise ConfigError(f"there is no command {name!r}; {hint}")
    return 0


def command(name: str) -> Callable[[list[str]], int | None]:
    """The command as a function of its arguments: the module's own `main`, or tyro over the function of its name."""
    module = importlib.import_module(f"isthmus.apps.commands.{name}")
    if hasattr(module, "main"):
        return module.main

    def parsed(arguments: list[str]) -> Any:
        from isthmus.apps.options import command_line

        return command_line(getattr(module, name), arguments, prog=f"isthmus {name}")

    return parsed


def overview() -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(emoji=False)
    console.print("\n[bold]isthmus[/]: generate images and carry them across domains\n", highlight=False)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, meaning in COMMANDS.items():
        table.add_row(f"  [bold cyan]{name}[/]", meaning)
    console.print(table)
    console.print("\nisthmus COMMAND --help shows every option with its default and meaning.", highlight=False)
    console.print("Start with [bold]isthmus demo[/], which needs no data and no network.\n", highlight=False)


def complain(message: str, label: str = "error") -> None:
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True, emoji=False, soft_wrap=True, highlight=False).print(
        Text.assemble((f"{label}: ", "bold red"), message)
    )
