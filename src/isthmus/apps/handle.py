"""What every use of a trained model takes: its domains and the ways there, images in parts, seeds, classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from itertools import islice
from string import ascii_lowercase
from typing import Any, cast

import torch
from torch import Tensor

from isthmus import core
from isthmus.apps.forms import Image, apart, fitted, gather, like, with_alpha
from isthmus.core import Model, Spec, Styles, Translates
from isthmus.data.cache import Array
from isthmus.data.options import Fit, shorten
from isthmus.errors import CapabilityError, ConfigError
from isthmus.evaluation.likelihood import GREY_LEVEL
from isthmus.models.catalog import catalog, name_of
from isthmus.training.draws import drawing

PART_VALUES, PART_IMAGES = 2**20, 256  # at most so many values, and images, go through a model at once
Classes = Sequence[str | int] | str | int  # by name, or by number where no name is one


class Handle:
    """A model on its device, with the content of its config.json."""

    def __init__(self, model: Model, config: dict[str, Any], device: str = "auto") -> None:
        self.model, self.config = model.to(find_device(device)).eval(), config
        self.name = name_of(model)
        self.domains = dict(zip(ascii_lowercase, model.specs, strict=False))  # "a", "b", ... -> Spec
        values = max(math.prod(spec.shape) for spec in model.specs)
        # Images at once: a matter of the model alone, so that the draws of a seed are the same on every machine.
        self.part = max(1, min(PART_IMAGES, PART_VALUES // values))
        self.varied: dict[str, bool] = {}  # domains, and whether what is carried there is random

    def __repr__(self) -> str:
        domains = ", ".join(f"{letter}: {spec.name} {spec}" for letter, spec in self.domains.items())
        return f"{type(self).__name__}({self.name}, {domains}, on {self.model.device})"

    @property
    def fit(self) -> Fit:
        """How images of another shape were brought to the model's in training."""
        return self.config.get("data", {}).get("fit", "crop")

    def unable(self, capability: type, verb: str) -> CapabilityError:
        """The error that says what the model cannot do, and which ones can."""
        known = {name.lower(): getattr(core, name) for name in core.__all__}
        able = [
            entry.name
            for entry in catalog().values()
            if any(issubclass(known.get(name, object), capability) for name in entry.capabilities)
        ]
        return CapabilityError(f"{self.name} cannot {verb}; these can: {', '.join(able) or 'none'}")

    def seeded(self, seed: int | None) -> AbstractContextManager[None]:
        """All draws inside the block follow from `seed`, and the caller's generators are afterwards as before.

        Without a seed the block draws from the caller's generators.
        """
        return drawing(seed, self.model.device)

    def steady(self, function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """The function with the same draws for every image, which therefore go through it one by one."""
        seed = int(torch.randint(2**62, ()))

        def alone(image: Tensor) -> Tensor:
            with self.seeded(seed):
                return function(image[None])

        return lambda batch: torch.cat([*map(alone, batch)])

    def fitted(self, image: Image, spec: Spec) -> Array:
        """One image as the model sees it in domain `spec`, as an array [H, W, C] with the bits it came with."""
        return fitted(image, spec, self.fit, alpha=True)

    def parts(self, images: Iterable[Any]) -> Iterator[list[Any]]:
        """The images, so many at a time as go through the model at once, taken as they are asked for."""
        remaining = iter(images)
        while part := [*islice(remaining, self.part)]:
            yield part

    def batches(self, images: Iterable[Any], spec: Spec) -> Iterator[tuple[Sequence[Any], Tensor, Sequence[Tensor]]]:
        """The images in parts, each with its batch [part, channels, height, width] for the model, and their alphas."""
        for part in self.parts(images):
            seen, alphas = zip(*(apart(image, spec, self.fit) for image in part), strict=True)
            yield part, torch.stack([image.to(self.model.device) for image in seen]), alphas

    @torch.no_grad()
    def through(
        self, function: Callable[[Tensor], Iterable[Tensor]], images: Any, spec: Spec, seed: int | None = None
    ) -> list[Any]:
        """What `function` makes of batches of the images: each of its results in the form in which they came."""
        gathered = gather(images)
        draws: dict[int, list[Any]] = {}
        with self.seeded(seed):
            for part, batch, alphas in self.batches(gathered.images, spec):
                for k, results in enumerate(function(batch)):
                    made = map(with_alpha, results, alphas)
                    draws.setdefault(k, []).extend(like(*pair) for pair in zip(part, made, strict=True))
        return [gathered.join(draw) for draw in draws.values()]

    @torch.no_grad()
    def measured(self, function: Callable[[Tensor], Tensor], images: Any, spec: Spec | None = None) -> Tensor:
        """What `function` tells of batches of the images, of the first domain or of `spec`, on the CPU: [batch, ...].

        Of one image alone it is [...].
        """
        gathered = gather(images)
        parts = self.batches(gathered.images, spec or self.model.spec)
        found = torch.cat([function(batch).cpu() for _, batch, _ in parts])
        return found if gathered.several else found[0]

    def target(self, to: str | None) -> str:
        """The domain `to`, by default "b" or the only one. Raises ConfigError for an unknown one."""
        model = self.model
        if not isinstance(model, Translates):
            raise self.unable(Translates, "translate")
        if to is None:
            to = model.targets[0] if len(model.targets) == 1 else "b"
        if to not in model.targets:
            named = [(name, model.ends(name)[1].name) for name in model.targets]
            known = ", ".join(f"{name} ({data})" if data and data != name else name for name, data in named)
            raise ConfigError(f"{self.name} has no domain {to!r} to translate to; its domains are {known}")
        return to

    def route(
        self, to: str | None, style: Tensor | None = None, *, one: bool = False
    ) -> tuple[Spec, Spec, Callable[[Tensor], Tensor]]:
        """What images are that are carried to domain `to`, what becomes of them, and how.

        With a `style` [style] by that; with `one`, all images have the same style, or whatever else the model draws.
        Raises ConfigError for an unknown domain.
        """
        to, model = self.target(to), cast(Translates, self.model)
        source, target = model.ends(to)
        plain = partial(model.translate, to=to)
        if style is None and not one:
            return source, target, plain
        if not isinstance(model, Styles):
            return source, target, self.steady(plain) if self.random(to) else plain
        with torch.no_grad():
            chosen = model.draw_style(1, to)[0] if style is None else style.to(model.device)
        return source, target, lambda batch: model.restyle(batch, to, chosen.expand(len(batch), -1))

    @torch.no_grad()
    def random(self, to: str) -> bool:
        """Whether two translations of an image differ, and could be told apart in a picture."""
        if to not in self.varied:
            source, _, carry = self.route(to)
            made = []
            for seed in range(2):
                with self.seeded(seed):
                    image = torch.linspace(-1, 1, math.prod(source.shape), device=self.model.device)
                    made.append(carry(image.view(1, *source.shape)))
            self.varied[to] = bool((made[0] - made[1]).abs().max() > GREY_LEVEL / 2)
        return self.varied[to]

    def labels(self, classes: Classes) -> list[int]:
        """Labels of classes. Raises ConfigError or CapabilityError where there are no such classes."""
        names = self.model.spec.classes
        if not names:
            raise CapabilityError(f"this {self.name} was trained without classes, so it cannot be asked for any")
        wanted = [classes] if isinstance(classes, str | int) else list(classes)
        numbers = {} if any(name.isdigit() for name in names) else {str(i): i for i in range(len(names))}
        known = numbers | {name: i for i, name in enumerate(names)}
        unknown = [str(name) for name in wanted if str(name) not in known]
        if unknown or not wanted:
            raise ConfigError(f"no class {', '.join(unknown) or 'was given'}; the classes are {shorten(names)}")
        return [known[str(name)] for name in wanted]


def find_device(name: str) -> torch.device:
    """The device of that name. Raises ConfigError if it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError, NotImplementedError):  # as torch says that it lacks one
        raise ConfigError(f"there is no device {name!r} here; leave it to auto, or say cpu") from None
