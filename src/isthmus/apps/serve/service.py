"""A request on its way through the house: its place, its model, its answer, and the figures of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from isthmus.apps.serve import answers, asks
from isthmus.apps.serve.desk import Desk
from isthmus.apps.serve.duty import Duty
from isthmus.apps.serve.figures import Figures
from isthmus.apps.serve.limits import Limits, Refused
from isthmus.apps.serve.operations import OPERATIONS
from isthmus.apps.serve.queue import Queue
from isthmus.errors import IsthmusError

LOG = logging.getLogger(__name__)
GONE = 499  # for the figures: nobody reads the answer


class Service:
    """Runs on duty, by their names, and the queue before them."""

    def __init__(self, duties: Mapping[str, Duty], queue: Queue, limits: Limits) -> None:
        self.duties, self.queue, self.limits, self.figures = duties, queue, limits, Figures(queue)

    async def duty(self, name: str) -> Duty:
        """The run of that name, with its model if there is one by now. Raises Refused if there is no such run."""
        if name not in self.duties:
            raise Refused(404, f"there is no model {name!r}; there are: {', '.join(self.duties)}")
        duty = self.duties[name]
        if duty.trained is None:
            await asyncio.to_thread(duty.wake)
        return duty

    async def describe(self, name: str) -> dict[str, Any]:
        """What there is to know of a run, and how many rows of what was asked of it so far run together."""
        described = (await self.duty(name)).describe()
        sizes = {key: size for key, size in self.queue.sizes.items() if isinstance(key, tuple) and key[0] == name}
        return described | {"batches": {" ".join(what): size for (_, *what), size in sizes.items()}}

    async def answer(self, operation: str, model: str, request: Request) -> Response:
        """Do what is asked of a model."""
        with ExitStack() as visit:
            visit.enter_context(self.visit(operation, model))
            desk = Desk(await self.duty(model), operation, self.queue, self.limits)
            ask = await asks.read(request, OPERATIONS[operation].ask)
            work, wish = OPERATIONS[operation].do(desk, ask), answers.accepted(request)
            if wish == answers.EVENTS:
                return Events(answers.events(request, work, desk.ticket, told), visit.pop_all())
            made = await answers.while_heard(request, work)
            if wish in answers.PICTURES:
                return await asyncio.to_thread(answers.as_picture, made, wish)
            return JSONResponse(await asyncio.to_thread(answers.body, made))

    @contextmanager
    def visit(self, operation: str, model: str) -> Iterator[None]:
        """A place in the house for one request, which is counted when it leaves."""
        began, status = time.monotonic(), 200
        try:
            with self.queue.place():
                yield
        except Exception as error:
            status = status_of(error)
            raise
        finally:
            known = model if model in self.duties else "unknown"
            self.figures.request(known, operation, status, time.monotonic() - began)


class Events(StreamingResponse):
    """Events, until whose last one the request keeps its place."""

    media_type = answers.EVENTS

    def __init__(self, content: Any, visit: AbstractContextManager[Any]) -> None:
        super().__init__(content)
        self.visit = visit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.visit:
            await super().__call__(scope, receive, send)


def status_of(error: Exception) -> int:
    """The code of HTTP for an error."""
    if isinstance(error, Refused):
        return error.status
    return 422 if isinstance(error, IsthmusError) else GONE if isinstance(error, answers.GoneError) else 500


def told(error: Exception) -> dict[str, str]:
    """What is wrong, in words for whoever asked; what they cannot mend is in the log."""
    if isinstance(error, IsthmusError):
        return {"error": str(error)}
    LOG.error("a request failed", exc_info=error)
    return {"error": "the service failed at this; its log says why"}
