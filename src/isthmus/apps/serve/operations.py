"""What can be asked of a model on duty, in terms of its capabilities alone: the page and the service know no more.

Each operation says what a model offers of it, or None if the model cannot do it at all, and does what a request asks.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor

from isthmus.apps.commands.traverse import read_dims
from isthmus.apps.region import Region
from isthmus.apps.serve import asks
from isthmus.apps.serve.desk import Desk
from isthmus.apps.serve.rows import Row
from isthmus.apps.trained import Trained
from isthmus.core import Autoencodes, Completes, Decodes, Describes, Encodes, Samples, Spec, Styles, Swaps, Translates
from isthmus.core import operations as on_codes
from isthmus.errors import CapabilityError, ConfigError
from isthmus.training.draws import heeds_labels, shown

Offer = Mapping[str, Any]
CODES = 1024  # that are decoded for one request


@dataclass(frozen=True)
class Made:
    """Pictures of a domain, or numbers."""

    images: Tensor | None = None  # [n, channels, height, width]
    spec: Spec | None = None
    columns: int | None = None  # of a sheet of them
    told: Mapping[str, Any] = field(default_factory=dict)  # what else there is to say
    each: Mapping[str, list[Any]] = field(default_factory=dict)  # and of each picture

    @property
    def rate(self) -> int:
        """Samples per second, where they are sounds."""
        return self.spec.rate if self.spec else 0


class Operation(NamedTuple):
    """One thing to ask for."""

    ask: type[asks.Ask]
    offer: Callable[[Trained], Offer | None]
    do: Callable[[Desk, Any], Coroutine[Any, Any, Made]]
    capability: type  # without which a model cannot do it
    verb: str


def offered(trained: Trained) -> dict[str, Offer]:
    """What a model can be asked for, and with what choices."""
    offers = {name: operation.offer(trained) for name, operation in OPERATIONS.items()}
    return {name: offer for name, offer in offers.items() if offer is not None}


def seed_of(ask: Any) -> int:
    return secrets.randbelow(2**32) if ask.seed is None else ask.seed


def numbered(seed: int, count: int) -> list[int]:
    """The seeds of so many draws."""
    return [seed + k for k in range(count)]


# --- translate


def offer_translate(trained: Trained) -> Offer | None:
    model = trained.model
    if not isinstance(model, Translates):
        return None
    targets = []
    for to in model.targets:
        source, target = model.ends(to)
        letters = [letter for letter, spec in trained.domains.items() if spec == source]
        targets.append(
            {
                "to": to,
                "into": target.name,
                "from": source.name,
                "domain": letters[0] if letters else "a",
                "random": trained.random(to),
            }
        )
    return {"targets": targets, "default": trained.target(None), "style": isinstance(model, Styles)}


async def translate(desk: Desk, ask: asks.Translate) -> Made:
    to, seed = desk.trained.target(ask.to), seed_of(ask)
    source, target, carry = desk.trained.route(to)
    row: Row = (await desk.image(ask.image, source),)
    if not ask.style:
        images = await desk.play(("translate", to), carry, [row] * ask.draws, seed)
    else:
        if not desk.offer["style"]:
            raise ConfigError(f"{desk.trained.name} has no styles: leave out the style")
        examples = [(await desk.image(style, target),) for style in ask.style]
        styles = await desk.play(("style", to), partial(desk.model.style, of=to), examples)
        restyle = lambda image, style: desk.model.restyle(image, to, style)  # noqa: E731
        images = await desk.play(("restyle", to), restyle, [(*row, styles.mean(0))] * ask.draws, seed)
    return Made(images, target, told={"to": to, "seed": seed}, each={"seed": numbered(seed, ask.draws)})


# --- generate


def offer_generate(trained: Trained) -> Offer | None:
    model = trained.model
    if not isinstance(model, Samples):
        return None
    classes = model.spec.classes
    return {"classes": list(classes) if len(classes) > 1 and heeds_labels(model) else []}


async def generate(desk: Desk, ask: asks.Generate) -> Made:
    trained, model, seed = desk.trained, desk.model, seed_of(ask)
    labels = trained.labels(ask.classes) if ask.classes else []
    if labels and not desk.offer["classes"]:
        raise CapabilityError(f"{trained.name} draws from all classes at once and cannot be asked for one")
    each: dict[str, list[Any]] = {"seed": numbered(seed, ask.draws)}
    rows: list[Row] = [(torch.zeros(()),)] * ask.draws
    if labels:
        chosen = [labels[k % len(labels)] for k in range(ask.draws)]
        rows = [(torch.tensor(label),) for label in chosen]
        each["class"] = [model.spec.classes[label] for label in chosen]

    def draw(given: Tensor) -> Tensor:
        return shown(model, len(given), given if labels else None, ask.temperature)

    what = ["generate", "by class"] if labels else ["generate"]
    images = await desk.play(what, draw, rows, seed, ask.temperature)
    columns = len(labels) if len(labels) > 1 else None
    return Made(images, model.spec, columns, {"seed": seed}, each)


# --- codes


def offer_reconstruct(trained: Trained) -> Offer | None:
    return {} if isinstance(trained.model, Autoencodes) else None


async def reconstruct(desk: Desk, ask: asks.Reconstruct) -> Made:
    row = (await desk.image(ask.image, desk.model.spec),)
    images = await desk.play(["reconstruct"], partial(on_codes.reconstruct, desk.model), [row])
    return Made(images, desk.model.spec)


def offer_encode(trained: Trained) -> Offer | None:
    return {} if isinstance(trained.model, Encodes | Describes) else None


async def encode(desk: Desk, ask: asks.Encode) -> Made:
    told, row = {}, (await desk.image(ask.image, desk.model.spec),)
    if isinstance(desk.model, Encodes):
        told["code"] = (await desk.play(["encode"], desk.model.encode, [row]))[0].tolist()
    if isinstance(desk.model, Describes):
        told["features"] = (await desk.play(["describe"], desk.model.describe, [row]))[0].tolist()
    return Made(told=told)


def starts(trained: Trained) -> Offer | None:
    """What a code can be of: a picture, a seed."""
    model = trained.model
    offer = {"pictures": isinstance(model, Autoencodes), "seeds": isinstance(model, Samples)}
    return offer if isinstance(model, Decodes) and any(offer.values()) else None


async def code_of(desk: Desk, term: bytes | int) -> Tensor:
    """The code [latent] of a picture, or the one that is drawn with a seed."""
    if not desk.offer["seeds" if isinstance(term, int) else "pictures"]:
        has, lacks = ("pictures", "seeds") if isinstance(term, int) else ("seeds", "pictures")
        raise CapabilityError(f"{desk.trained.name} has no codes of {lacks}; give {has} in their place")
    if isinstance(term, int):
        draw = lambda given: on_codes.drawn_codes(desk.model, len(given))  # noqa: E731
        return (await desk.play(["draw"], draw, [(torch.zeros(()),)], term))[0]
    return (await desk.play(["encode"], desk.model.encode, [(await desk.image(term, desk.model.spec),)]))[0]


async def decode(desk: Desk, codes: Tensor) -> Tensor:
    """The images of codes [n, latent], unless they are too many."""
    if len(codes) > CODES:
        raise ConfigError(f"at most {CODES:,} pictures are made at once, and these would be {len(codes):,}")
    return await desk.play(["decode"], desk.model.decode, [(code,) for code in codes])


async def interpolate(desk: Desk, ask: asks.Interpolate) -> Made:
    terms: list[bytes | int] = [*ask.images, *ask.seeds]
    if len(terms) < 2 or (ask.images and ask.seeds):
        raise ConfigError("an interpolation leads between two or more images, or between two or more seeds")
    codes = torch.stack([await code_of(desk, term) for term in terms])
    images = await decode(desk, on_codes.path(codes, ask.steps, spherical=ask.spherical))
    return Made(images, desk.model.spec, ask.steps)


# --- classes and dimensions of codes


def offer_swap(trained: Trained) -> Offer | None:
    return {"classes": trained.new_classes()} if isinstance(trained.model, Swaps) else None


async def swap(desk: Desk, ask: asks.Swap) -> Made:
    trained, model = desk.trained, desk.model
    names = trained.new_classes(ask.classes or None)
    image, kind, encode = await desk.image(ask.image, model.spec), ["encode"], model.encode
    row: Row = (image,)
    if ask.label is not None:
        row, kind = (image, torch.tensor(trained.labels(ask.label)[0])), ["encode", "as"]
    code = (await desk.play(kind, encode, [row]))[0]
    images = await with_classes(desk, code, trained.labels(names))
    return Made(images, model.spec, len(names), each={"class": names})


async def with_classes(desk: Desk, code: Tensor, labels: list[int]) -> Tensor:
    """What a code is with other classes."""
    rows = [(code, torch.tensor(label)) for label in labels]
    return await desk.play(["swap"], lambda c, label: desk.model.decode(desk.model.swap(c, label)), rows)


def free_dimensions(trained: Trained) -> int:
    """How many numbers of a code are free: those of its class are not."""
    model: Any = trained.model
    with torch.no_grad():
        size = on_codes.code_size(model)
    return size - len(model.spec.classes) if isinstance(model, Swaps) else size


def offer_traverse(trained: Trained) -> Offer | None:
    offer = starts(trained)
    return None if offer is None else {**offer, "dims": free_dimensions(trained)}


async def traverse(desk: Desk, ask: asks.Traverse) -> Made:
    model = desk.model
    if ask.image is not None and ask.seed is not None:
        raise ConfigError("a traverse starts from one code: of an image, or of a seed")
    free = desk.offer["dims"]
    rows = read_dims(tuple(ask.dims), free)
    term = ask.image if ask.image is not None else ask.seed
    if term is not None:
        code = await code_of(desk, term)
    elif isinstance(model, Swaps):  # the middle has no class
        code = torch.zeros(free + len(model.spec.classes))
        code[free] = 1
    else:
        code = torch.zeros(free)
    images = await decode(desk, torch.cat([on_codes.traverse(code, dims, ask.steps) for dims in rows]))
    widths = [ask.steps if len(dims) == 1 else len(dims) for dims in rows]
    named = [f"{dims[0]}" if len(dims) == 1 else f"{dims[0]}-{dims[-1]}" for dims in rows]
    labels = [name for name, width in zip(named, widths, strict=True) for _ in range(width)]
    return Made(images, model.spec, max(widths), each={"dim": labels})


# --- complete


def offer_complete(trained: Trained) -> Offer | None:
    model = trained.model
    return {"keep": [] if model.given is not None else list(get_args(Region))} if isinstance(model, Completes) else None


async def complete(desk: Desk, ask: asks.Complete) -> Made:
    known, seed = desk.trained.kept(ask.keep, ask.part).to(desk.model.device), seed_of(ask)
    draw = partial(desk.model.complete, known=known, temperature=ask.temperature)
    row = (await desk.image(ask.image, desk.model.spec),)
    settings = (ask.keep, ask.part, ask.temperature)
    images = await desk.play(["complete"], draw, [row] * ask.draws, seed, settings)
    return Made(images, desk.model.spec, told={"seed": seed}, each={"seed": numbered(seed, ask.draws)})


OPERATIONS = {
    "translate": Operation(asks.Translate, offer_translate, translate, Translates, "translate"),
    "generate": Operation(asks.Generate, offer_generate, generate, Samples, "sample"),
    "reconstruct": Operation(asks.Reconstruct, offer_reconstruct, reconstruct, Autoencodes, "reconstruct"),
    "encode": Operation(asks.Encode, offer_encode, encode, Encodes, "encode"),
    "interpolate": Operation(asks.Interpolate, starts, interpolate, Decodes, "interpolate"),
    "swap": Operation(asks.Swap, offer_swap, swap, Swaps, "swap classes"),
    "traverse": Operation(asks.Traverse, offer_traverse, traverse, Decodes, "traverse codes"),
    "complete": Operation(asks.Complete, offer_complete, complete, Completes, "complete"),
}
