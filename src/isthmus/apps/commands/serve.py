"""A page and a service for trained models."""

from __future__ import annotations

from typing import Annotated

import tyro


def serve(
    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")],
    port: int = 8000,
    host: str = "127.0.0.1",
    token: str | None = None,
    open: bool = False,
    threads: int | None = None,
    device: str = "auto",
    batch: int = 16,
    queue: int = 64,
    upload: int = 16,
    pixels: int = 32,
    checkpoint: str = "last",
) -> None:
    """Open a page for trained models, and a service for programs beside it.

    Args:
        runs: Run folders, or models on the Hugging Face hub: owner/name. One that is being trained shows its training.
        port: Where the page is: http://127.0.0.1:8000 by default; 0 takes any free one.
        host: The address to listen at: by default this machine alone can reach the service, at 0.0.0.0 every other one.
        token: A word without which nobody is served.
        open: Show the page in the browser.
        threads: CPU threads for the models; by default what torch chooses.
        device: Where the models are: auto, cpu, cuda.
        batch: At most so many pictures run together where that pays; 1 runs each alone.
        queue: At most so many requests are in the house; more are told to come again.
        upload: Megabytes that a request may have.
        pixels: Millions of pixels that a picture may have.
        checkpoint: Which weights: last, best, or a folder's name in checkpoints/.
    """
    from isthmus.errors import ConfigError

    if not runs:
        raise ConfigError("isthmus serve needs RUN, at least one run folder")
    for name, value in (("batch", batch), ("queue", queue), ("upload", upload), ("pixels", pixels)):
        if value < 1:
            raise ConfigError(f"--{name} must be at least 1, got {value}")
    if token is not None and not (token.isascii() and token.isalnum()):
        raise ConfigError("--token is made of letters and digits")

    from isthmus.apps.serve.server import listening

    bound = listening(host, port)  # before the models are loaded, which takes longer

    from isthmus.apps.serve.app import make_app
    from isthmus.apps.serve.duty import on_duty
    from isthmus.apps.serve.gate import LOOPBACK
    from isthmus.apps.serve.limits import Limits
    from isthmus.apps.serve.queue import Queue
    from isthmus.apps.serve.server import run

    limits = Limits(upload * 2**20, pixels * 10**6)
    hosts = LOOPBACK if host in LOOPBACK else None
    waiting = Queue(batch, queue, threads)
    with bound:
        app = make_app(on_duty(runs, checkpoint, device), waiting, limits, token, hosts)
        run(app, bound, token, show=open)
