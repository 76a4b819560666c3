"""Look at data before anything trains."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import tyro

from isthmus.apps.options import command_line
from isthmus.data.options import DataOptions
from isthmus.errors import ConfigError, DataError


def main(arguments: list[str]) -> None:
    """`isthmus data check SPEC [SPEC]`: what the data are, and what looks wrong about them."""
    match arguments:
        case ["check", *rest]:
            command_line(check, rest, prog="isthmus data check")
        case ["-h" | "--help", *_]:
            command_line(check, ["--help"], prog="isthmus data check")
        case _:
            wrong = f", not isthmus data {arguments[0]}" if arguments else ""
            raise ConfigError(
                f"say isthmus data check SPEC [SPEC]{wrong}; isthmus data check --help shows every option"
            )


def check(
    specs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="SPEC [SPEC]")],
    data: tyro.conf.OmitArgPrefixes[DataOptions],
    decode: bool = False,
    json: bool = False,
) -> None:
    """Counts, sizes, modes, unreadable files, balance, and overlap of splits and domains, before anything trains.

    Args:
        specs: Data specs, as --data takes them in training.
        decode: Decode every picture, which finds damage that headers do not show.
        json: Print JSON instead of tables.
    """
    import json as json_format

    from rich.console import Console

    from isthmus.data.check import check as examine
    from isthmus.data.check import show

    report = examine(replace(data, data=specs or data.data), decode=decode)
    if json:
        print(json_format.dumps(report.to_dict(), indent=2))
    else:
        show(report, Console(emoji=False))  # else :notes: in a name would become a picture
    if fault := report.fault():
        raise DataError(fault)
