"""The addresses of the service, and its description by OpenAPI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from isthmus import __version__
from isthmus.apps.serve import answers, asks
from isthmus.apps.serve.duty import Duty
from isthmus.apps.serve.gate import Gate
from isthmus.apps.serve.history import history, sample
from isthmus.apps.serve.limits import Limits, Refused
from isthmus.apps.serve.operations import OPERATIONS
from isthmus.apps.serve.queue import Queue
from isthmus.apps.serve.service import Service, status_of, told
from isthmus.data.pictures import data_uri
from isthmus.errors import IsthmusError

PAGE = Path(__file__).parent / "page"


class Said(BaseModel):
    """Why a request was not served."""

    error: str


MEANINGS = {
    400: "the request cannot be read",
    401: "the token is missing",
    403: "the request is meant for another host, or comes from another page",
    404: "there is no such model, domain or sample",
    406: "there is no such form of the answer",
    409: "the model is still being trained",
    413: "too many bytes or pixels",
    415: "neither a picture nor a form",
    422: "a field makes no sense, or the model cannot do this",
    429: "too many requests are in the house; Retry-After says when to come again",
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Said, "description": meaning} for status, meaning in MEANINGS.items()
}
FILE = {"schema": {"type": "string", "format": "binary"}}
MADE = {
    "description": "what was made, in the form that the client accepts",
    "content": {
        "application/json": {"schema": {"type": "object"}},
        **dict.fromkeys((*answers.PICTURES, "audio/wav"), FILE),
        answers.EVENTS: {"schema": {"type": "string"}},
    },
}


def make_app(
    duties: Mapping[str, Duty],
    queue: Queue,
    limits: Limits = Limits(),  # noqa: B008  (it is frozen)
    token: str | None = None,
    hosts: Collection[str] | None = None,
) -> FastAPI:
    """The service for these runs, by their names. It starts the queue, and ends it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        queue.start()
        yield
        queue.close()

    about = "Trained models: what they can do, and addresses at which they do it."
    app = FastAPI(
        title="Isthmus",
        version=__version__,
        description=about,
        openapi_url="/api/openapi.json",
        docs_url=None,  # since those pages are fetched from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        responses=REFUSALS,
    )
    service = Service(duties, queue, limits)
    app.add_middleware(Gate, upload=limits.upload, token=token, hosts=hosts)
    add_operations(app, service)
    add_models(app, service)
    add_health(app, service)
    add_page(app)
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
    return app


def add_operations(app: FastAPI, service: Service) -> None:
    """An address for each operation."""

    def route(name: str) -> Callable[..., Awaitable[Response]]:
        async def answer(model: str, request: Request) -> Response:
            return await service.answer(name, model, request)

        return answer

    for name, operation in OPERATIONS.items():
        app.add_api_route(
            f"/api/models/{{model}}/{name}",
            route(name),
            methods=["POST"],
            name=name,
            tags=["operations"],
            description=operation.ask.__doc__,
            response_class=Response,
            responses={200: MADE},
            openapi_extra={"requestBody": asks.content(operation.ask)},
        )


def add_models(app: FastAPI, service: Service) -> None:
    """What there is to know of the models."""

    @app.get("/api/models", tags=["models"])
    async def models() -> list[dict[str, Any]]:
        """The models on duty, and what can be asked of each."""
        return [await service.describe(name) for name in service.duties]

    @app.get("/api/models/{model}", tags=["models"])
    async def model(model: str) -> dict[str, Any]:
        """One of them."""
        return await service.describe(model)

    @app.get("/api/models/{model}/examples/{domain}", tags=["models"])
    async def examples(model: str, domain: str) -> list[str]:
        """Some test images of a domain, as data URIs; none where the data are not here."""
        pictures = await asyncio.to_thread((await service.duty(model)).examples, domain)
        return [data_uri(picture) for picture in pictures]

    @app.get("/api/models/{model}/training", tags=["training"])
    async def training(model: str, after: int = 0) -> dict[str, Any]:
        """The losses of its training behind a place in their file, and at which steps there are samples."""
        duty = await service.duty(model)
        return await asyncio.to_thread(history, duty.folder, duty.config, max(0, after))

    @app.get("/api/models/{model}/training/samples/{step}", tags=["training"], response_class=Response)
    async def sample_at(model: str, step: int) -> Response:
        """What the model showed at a step of its training, as PNG."""
        picture = await asyncio.to_thread(sample, (await service.duty(model)).folder, step)
        return Response(picture, media_type="image/png")


def add_health(app: FastAPI, service: Service) -> None:
    """Whether the service is well."""

    @app.get("/health", tags=["service"])
    async def health() -> dict[str, str]:
        """Whether the service, and the thread that has the models, are alive."""
        if not service.queue.thread.is_alive():
            raise Refused(503, "the thread that has the models has ended; start the service anew")
        return {"status": "ok"}

    @app.get("/metrics", tags=["service"], response_class=Response)
    async def metrics() -> Response:
        """Figures of the service, as Prometheus reads them."""
        return Response(service.figures.text(), media_type=service.figures.media_type)


def add_page(app: FastAPI) -> None:
    """What a browser shows."""

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(PAGE / "index.html")

    app.mount("/page", StaticFiles(directory=PAGE))


# --- errors, which all have the form of `Said`


async def refused(request: Request, error: Exception) -> Response:
    retry = getattr(error, "retry", None)
    return JSONResponse(told(error), status_of(error), {"Retry-After": str(retry)} if retry else None)


async def misread(request: Request, error: Any) -> Response:
    first = error.errors()[0]
    return JSONResponse({"error": f"{first['loc'][-1]}: {first['msg']}"}, 422)


async def not_there(request: Request, error: Any) -> Response:
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def gone(request: Request, error: Exception) -> Response:
    return Response(status_code=status_of(error))  # which nobody reads


HANDLERS: dict[type[Exception], Any] = {
    IsthmusError: refused,
    RequestValidationError: misread,
    HTTPException: not_there,
    answers.GoneError: gone,
    Exception: refused,
}
