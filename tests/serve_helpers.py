"""A service in this process, for tests: by a client that calls it, or at a port of its own."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from PIL import Image
from starlette.testclient import TestClient

from isthmus.apps.serve.app import make_app
from isthmus.apps.serve.duty import Duty, on_duty
from isthmus.apps.serve.limits import Limits
from isthmus.apps.serve.operations import offered
from isthmus.apps.serve.queue import Queue
from isthmus.apps.serve.server import address, listening
from isthmus.apps.trained import Trained
from isthmus.core import Model
from tiny_models import picture

LIMITS = Limits(upload=200_000, pixels=10_000)


def png(seed: int = 0, height: int = 16, width: int = 24, form: str = "PNG") -> bytes:
    """A picture file."""
    file = io.BytesIO()
    Image.fromarray(picture(3, height, width, seed=seed)).save(file, form)
    return file.getvalue()


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def pixels(content: bytes | str) -> np.ndarray:
    """The pixels [H, W] or [H, W, C] of a picture file, or of a data URI."""
    data = base64.b64decode(content.partition(",")[2]) if isinstance(content, str) else content
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def standing(name: str, model: Model, folder: Path) -> Duty:
    """A duty whose model is no model of the catalog, which no run folder could name."""
    duty = object.__new__(Duty)
    duty.__dict__ |= {"name": name, "folder": folder, "config": {}, "pictures": {}, "lock": threading.Lock()}
    duty.trained = Trained(model, {})  # type: ignore[arg-type]
    duty.offers = offered(duty.trained)
    return duty


@contextmanager
def client(
    runs: Sequence[Path] = (), duties: Sequence[Duty] = (), batch: int = 4, requests: int = 64, **gate: Any
) -> Iterator[TestClient]:
    """A client of the service for these runs."""
    named = on_duty([*map(str, runs)], device="cpu") | {duty.name: duty for duty in duties}
    app = make_app(named, Queue(batch, requests, threads=1), gate.pop("limits", LIMITS), **gate)
    with TestClient(app, raise_server_exceptions=False) as opened:
        yield opened


@contextmanager
def at_port(runs: Sequence[Path], *, batch: int = 16, duties: Sequence[Duty] = ()) -> Iterator[str]:
    """The address of a service that listens."""
    named = on_duty([*map(str, runs)], device="cpu") | {duty.name: duty for duty in duties}
    app = make_app(named, Queue(batch, 64, threads=1))
    with listening("127.0.0.1", 0) as bound:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        yield address(bound)
        server.should_exit = True
        thread.join(20)
