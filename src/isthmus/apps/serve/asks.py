"""What requests say. The same fields come as JSON, with pictures in base64, or as a form, with pictures as files."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from starlette.datastructures import UploadFile
from starlette.requests import Request

from isthmus.apps.region import Region
from isthmus.apps.serve.limits import DRAWS, MANY, STEPS, Refused

BASE64 = {"type": "string", "contentEncoding": "base64", "title": "picture"}
FILE = {"type": "string", "format": "binary", "title": "picture"}
JSON, FORM, PLAIN_FORM = "application/json", "multipart/form-data", "application/x-www-form-urlencoded"


def from_base64(value: Any) -> Any:
    """Bytes of base64, which may be a data URI; files are bytes already."""
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value.rpartition(",")[2], validate=True)
    except binascii.Error:
        raise ValueError("it is neither a file nor base64") from None


Picture = Annotated[bytes, BeforeValidator(from_base64), WithJsonSchema(BASE64)]
Seed = Annotated[int, Field(ge=0, lt=2**32, description="the k-th draw has the seed + k; by default one at random")]
Draws = Annotated[int, Field(ge=1, le=DRAWS, description="how many draws")]
Steps = Annotated[int, Field(ge=2, le=STEPS, description="pictures on the way, both ends among them")]
Temperature = Annotated[
    float, Field(ge=0, le=10, allow_inf_nan=False, description="spread of the draws: 1 is what the model learnt")
]
Label = Annotated[str, Field(max_length=100)]
Classes = Annotated[list[Label], Field(max_length=DRAWS, description="by name or number; by default all")]


class Ask(BaseModel):
    """Base of all requests."""

    model_config = ConfigDict(extra="forbid")


class Translate(Ask):
    """Carry a picture to another domain."""

    image: Picture
    to: Annotated[str, Field(max_length=100)] | None = None
    style: Annotated[list[Picture], Field(max_length=MANY)] = []
    draws: Draws = 1
    seed: Seed | None = None


class Generate(Ask):
    """Draw new pictures, of the classes in turn."""

    draws: Draws = 1
    classes: Classes = []
    temperature: Temperature = 1.0
    seed: Seed | None = None


class Reconstruct(Ask):
    """Send a picture through the model's code and back."""

    image: Picture


class Encode(Ask):
    """The code of a picture, and its features where the model gives any."""

    image: Picture


class Interpolate(Ask):
    """Lead from one picture, or seed, to the next."""

    images: Annotated[list[Picture], Field(max_length=MANY)] = []
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**32)]], Field(max_length=MANY)] = []
    steps: Steps = 8
    spherical: bool = False


class Swap(Ask):
    """Give a picture other classes, and keep all else."""

    image: Picture
    classes: Classes = []
    label: Label | None = None


class Traverse(Ask):
    """Change single dimensions of a code: that of a picture, that of a seed, or the middle of all."""

    image: Picture | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    dims: Annotated[list[Annotated[str, Field(pattern=r"^\d{1,6}(-\d{1,6})?$")]], Field(max_length=MANY)] = []
    steps: Steps = 8


class Complete(Ask):
    """Keep a part of a picture, and draw the rest anew."""

    image: Picture
    keep: Region | None = None
    part: Annotated[float, Field(gt=0, lt=1)] = 0.5
    draws: Draws = 1
    temperature: Temperature = 1.0
    seed: Seed | None = None


def content(ask: type[Ask]) -> dict[str, Any]:
    """The body of a request in the description of the service."""
    schema = ask.model_json_schema()
    return {"required": True, "content": {JSON: {"schema": schema}, FORM: {"schema": with_files(schema)}}}


def with_files(schema: Any) -> Any:
    """The schema of the form, in which pictures are files."""
    if isinstance(schema, dict):
        return FILE if schema == BASE64 else {key: with_files(value) for key, value in schema.items()}
    return [with_files(value) for value in schema] if isinstance(schema, list) else schema


async def read(request: Request, ask: type[Ask]) -> Ask:
    """What a request says. Raises Refused, in one sentence, for what cannot be understood."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == JSON:
            return ask.model_validate_json(await request.body())
        if kind in (FORM, PLAIN_FORM):
            return ask.model_validate(await read_form(request, ask))
    except ValidationError as error:
        raise Refused(422, sentence(error)) from None
    raise Refused(415, f"send {FORM} or {JSON}")


async def read_form(request: Request, ask: type[Ask]) -> dict[str, Any]:
    """The fields of a form; fields that hold lists may come several times."""
    async with request.form(max_files=4 * MANY, max_fields=4 * DRAWS) as form:
        values: dict[str, Any] = {}
        for name in form:
            given = [await v.read() if isinstance(v, UploadFile) else v for v in form.getlist(name)]
            field = ask.model_fields.get(name)
            values[name] = given if field and get_origin(field.annotation) is list else given[-1]
    return values


def sentence(error: ValidationError) -> str:
    """The first thing that is wrong."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(map(str, first["loc"])) or "the request"
    return f"{where}: {first['msg'].removeprefix('Value error, ')}"
