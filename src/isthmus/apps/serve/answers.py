"""Pictures and numbers on their way out: as JSON with pictures in it, as a picture, or as events that tell of progress.

What the client accepts decides: `image/png`, `image/webp` or `image/jpeg` for one picture, in which several are a
sheet; `text/event-stream` for events, of which the last one is the JSON; else the JSON.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from torch import Tensor

from isthmus.apps.bulk import content
from isthmus.apps.serve.limits import Refused
from isthmus.apps.serve.operations import Made
from isthmus.apps.serve.queue import Ticket
from isthmus.data.pictures import grid, to_array
from isthmus.data.read import encode

PICTURES = {"image/png": ".png", "image/webp": ".webp", "image/jpeg": ".jpg"}
EVENTS = "text/event-stream"
INTERVAL = 0.2  # seconds between two events


def accepted(request: Request) -> str:
    """What the client wants: the first of its wishes that is known."""
    for wish in request.headers.get("accept", "").split(","):
        kind = wish.partition(";")[0].strip().lower()
        if kind in PICTURES or kind == EVENTS:
            return kind
        if kind in ("application/json", "*/*"):
            break
    return "application/json"


def body(made: Made) -> dict[str, Any]:
    """The JSON of what was made."""
    if made.images is None:
        return dict(made.told)
    kind = "audio/wav" if made.rate else "image/png"
    pictures = []
    for i, image in enumerate(made.images):
        data = base64.b64encode(content(image, made.rate)).decode()
        pictures.append({"image": f"data:{kind};base64,{data}", **{key: of[i] for key, of in made.each.items()}})
    return {**made.told, "columns": made.columns, "pictures": pictures}


def as_picture(made: Made, kind: str) -> Response:
    """One picture file; sounds as they are."""
    if made.images is None:
        raise Refused(406, "what was asked for are numbers; accept application/json")
    if made.rate:
        return Response(content(made.images, made.rate), media_type="audio/wav")
    headers = {"X-Seed": str(made.told["seed"])} if "seed" in made.told else {}
    return Response(encode(to_array(whole(made.images, made.columns)), PICTURES[kind]), 200, headers, kind)


def whole(images: Tensor, columns: int | None) -> Tensor:
    """One image as it is, several as a sheet."""
    return images[0] if len(images) == 1 else grid(images, columns or math.ceil(math.sqrt(len(images))))


async def hung_up(request: Request) -> None:
    """Return when the client is gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class GoneError(Exception):
    """The client has hung up."""


async def while_heard(request: Request, work: Coroutine[Any, Any, Made]) -> Made:
    """The result of the work, which ends when the client hangs up."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(hung_up(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise GoneError
    finally:
        task.cancel()
        gone.cancel()


async def events(request: Request, work: Coroutine[Any, Any, Made], ticket: Ticket, explain: Any) -> AsyncIterator[str]:
    """The same as events: `progress` with the share that is done, and in the end `result` or `error`."""
    task = asyncio.ensure_future(while_heard(request, work))
    try:
        while not (await asyncio.wait({task}, timeout=INTERVAL))[0]:
            yield event("progress", {"done": round(ticket.share, 4)})
        yield event("result", await asyncio.to_thread(body, task.result()))
    except GoneError:
        return
    except Exception as error:
        yield event("error", explain(error))
    finally:
        task.cancel()


def event(name: str, data: Mapping[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
