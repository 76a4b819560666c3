"""The service at a port of this machine."""

from __future__ import annotations

import logging
import socket
import webbrowser
from contextlib import suppress
from threading import Thread

import uvicorn
from fastapi import FastAPI
from rich.console import Console

from isthmus.errors import ConfigError


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there, at any free port for port 0. Raises ConfigError where that cannot be."""
    if not 0 <= port < 2**16:
        raise ConfigError(f"--port is a number from 0 to {2**16 - 1}, got {port}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(128)
    except OSError as error:
        raise ConfigError(f"cannot listen at {host}, port {port} ({error.strerror}); give another --port") from None
    return bound


def address(bound: socket.socket) -> str:
    """Where a browser finds it."""
    host, port = bound.getsockname()[:2]
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}/"


def run(app: FastAPI, bound: socket.socket, token: str | None, *, show: bool) -> None:
    """Serve until the user stops it; with `show` a browser opens the page."""
    url = address(bound) + (f"#token={token}" if token else "")
    logging.basicConfig(level=logging.WARNING)
    console = Console(emoji=False, highlight=False, soft_wrap=True)
    console.print(f"The page is at [bold]{url}[/]; Ctrl-C ends it.")
    console.file.flush()  # for whoever reads it through a pipe
    if show:
        Thread(target=webbrowser.open, args=(url,), daemon=True).start()  # which may wait for the page to be there
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=3)
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[bound])
