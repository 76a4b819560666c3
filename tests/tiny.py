"""Every model of the catalog, tiny and on tiny data, for tests of laws that hold for all of them. No list of models."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from isthmus import core
from isthmus.core import (
    Bounds,
    Classifies,
    Completes,
    Decodes,
    Describes,
    Encodes,
    Model,
    Samples,
    Scores,
    Spec,
    Swaps,
    Translates,
)
from isthmus.core.capabilities import Capability
from isthmus.core.operations import code_size
from isthmus.data.images import Images
from isthmus.data.stream import Stream, by_class
from isthmus.errors import ConfigError
from isthmus.models.catalog import catalog
from isthmus.training.options import RunOptions
from isthmus.training.run import start
from isthmus.training.trainer import Trainer

DIFFUSERS = {"in_channels": 1, "out_channels": 1, "block_out_channels": [4], "norm_num_groups": 2}
SMALL = {  # by a field's name, where a model has it
    "latent": 4,
    "hidden": 16,
    "features": 4,
    "blocks": 1,
    "layers": 1,
    "depth": 2,
    "scales": 1,
    "pool": 3,
    "reconstruction": 1.0,
    "first_steps": 3,
    "architecture": json.dumps(DIFFUSERS),
}
SPEC = Spec(1, 12, 10, ("none", "some", "more", "most"), "tiny")  # not square, and no power of two
EXAMPLES = 40
CAPABILITIES = {
    name: kind for name, kind in vars(core).items() if inspect.isclass(kind) and issubclass(kind, Capability)
}


def images(seed: int = 0) -> Images:
    """Random pictures, equally many of each class."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (EXAMPLES, *SPEC.shape), dtype=torch.uint8, generator=generator)
    return Images(pixels, SPEC, torch.arange(EXAMPLES) % len(SPEC.classes))


def configured(name: str, **changes: Any) -> Model:
    """The model `name`, small but not built; where it takes a trained model, the simplest that has the capability."""
    values: dict[str, Any] = {}
    for option in catalog()[name].options:
        if option.name in SMALL:
            values[option.name] = SMALL[option.name]
        elif option.annotation in CAPABILITIES:
            values[option.name] = built(supplier(option.annotation))
    return catalog()[name].load()(**values | changes)


def supplier(capability: str) -> str:
    """The oldest model, which is the simplest, that has a capability and takes no trained model itself.

    One that samples, where there is any, since its codes are random in training.
    """
    able = [
        entry
        for entry in catalog().values()
        if capability.lower() in entry.capabilities and not any(o.annotation in CAPABILITIES for o in entry.options)
    ]
    return min(able, key=lambda entry: ("samples" not in entry.capabilities, entry.year)).name


def built(name: str, seed: int = 0, **changes: Any) -> Model:
    """The model with networks for the tiny data."""
    torch.manual_seed(seed)
    model = configured(name, **changes)
    torch.manual_seed(seed)
    return model.build(*[SPEC] * model.domains())


def stream(model: Model, batch_size: int = 4, rank: int = 0, world: int = 1) -> Stream:
    """The tiny data as the model prepares it; two domains are paired by class."""
    domains: Any = model.prepare(*map(images, range(model.domains())))
    pairing = by_class(*domains, {label: label for label in range(len(SPEC.classes))}) if len(domains) == 2 else None
    return Stream(domains, batch_size, rank=rank, world=world, pairing=pairing)


def trainer(model: Model, **options: Any) -> Trainer:
    """A trainer of `model` on its tiny data, for 6 rounds of 4 examples unless `options` say otherwise."""
    if not model.players():
        pytest.skip("it is used, not trained")
    run = RunOptions(
        **{"out": Path("unused"), "steps": 6, "batch_size": 4, "accelerator": "cpu", "threads": 1} | options
    )
    return Trainer(model, stream(model, run.batch_size), run, start(run))


def play(trainer: Trainer, rounds: int) -> None:
    for _ in range(rounds):
        trainer.round()


def variants() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every model with its defaults, and with each other value of each option that has few.

    A value that the model refuses where nothing else is changed is left to the model's own tests.
    """
    for name, entry in catalog().items():
        yield name, {}
        for option in entry.options:
            values: tuple[Any, ...] = ()
            if option.annotation == "bool":
                values = (False, True)
            elif option.annotation.startswith("Literal["):
                values = inspect.get_annotations(entry.load(), eval_str=True)[option.name].__args__
            changes = ({option.name: value} for value in values if value != option.default)
            yield from ((name, change) for change in changes if accepted(name, change))


def accepted(name: str, changes: dict[str, Any]) -> bool:
    """Whether the model can be configured so."""
    try:
        configured(name, **changes)
    except ConfigError:
        return False
    return True


def outputs(model: Any) -> dict[str, torch.Tensor]:
    """What the model's capabilities give for two of the tiny images, with equal noise each time."""
    batch = images().batch(torch.tensor([0, 1]))
    found: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        torch.manual_seed(1)
        if isinstance(model, Samples):
            found["sample"] = model.sample(2)
            found["sample of a class"] = model.sample(2, batch.label)
        if isinstance(model, Encodes):
            found["encode"] = model.encode(batch.image)
        if isinstance(model, Decodes):
            found["decode"] = model.decode(torch.randn(2, code_size(model)))
        if isinstance(model, Translates):
            found |= {f"translate to {to}": model.translate(batch.image, to) for to in model.targets}
        if isinstance(model, Swaps):
            found["swap"] = model.decode(model.swap(model.encode(batch.image, batch.label), batch.label.flip(0)))
        if isinstance(model, Describes):
            found["describe"] = model.describe(batch.image)
        if isinstance(model, Classifies):
            found["classify"] = model.classify(batch.image)
        if isinstance(model, Completes):
            found["complete"] = model.complete(batch.image, known_part(model))
        if isinstance(model, Scores):
            found["log_prob"] = model.log_prob(batch.image)
        if isinstance(model, Bounds):
            found["log_weight"] = model.log_weight(batch.image, 3)
    return found


def known_part(model: Completes) -> torch.Tensor:
    """What a model that completes images can start from, bool [height, width]."""
    upper_half = (torch.arange(SPEC.height) < SPEC.height // 2)[:, None].expand(SPEC.height, SPEC.width)
    return upper_half if model.given is None else model.given
