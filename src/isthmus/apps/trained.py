"""How people use a trained model: whatever it is, it is asked by what it can do, with images of any form and size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import torch
from torch import Tensor

from isthmus import core
from isthmus.apps.card import card
from isthmus.apps.forms import Image, fitted, gather, joining, like, to_model
from isthmus.apps.hub import fetch, is_hub_id
from isthmus.core import Autoencodes, Decodes, Encodes, Model, Samples, Spec, Translates
from isthmus.core import operations as on_codes
from isthmus.data.cache import Array
from isthmus.data.options import Fit, shorten
from isthmus.errors import CapabilityError, ConfigError, DataError, OutputError
from isthmus.models.catalog import catalog, name_of
from isthmus.training.checkpoint import load_model, read_config, save_model, write

PART_VALUES, PART_IMAGES = 2**20, 256  # at most so many values, and images, go through a model at once


def load(path: str | Path, checkpoint: str = "last", device: str = "auto") -> Trained:
    """A trained model from its run folder, or from the hub by its id "owner/name".

    `checkpoint` is "last", "best" or the name of a folder in the run's `checkpoints/`; `device` is "auto" (a CUDA
    device if there is one) or any name that torch has, such as "cpu". Raises CheckpointError with the reason if there
    is no whole model.
    """
    folder = fetch(str(path)) if is_hub_id(str(path)) else Path(path).expanduser()
    config = read_config(folder)
    return Trained(load_model(folder, checkpoint), config, device)


class Trained:
    """A trained model: `model` is the bare one, `config` the content of its config.json.

    Wherever images are taken, `isthmus.apps.forms` says in which forms; they may have any size and mode, and are
    brought to the model's as its training data were. Results come in the form of what was given.
    """

    def __init__(self, model: Model, config: dict[str, Any], device: str = "auto") -> None:
        self.model, self.config = model.to(find_device(device)).eval(), config
        self.name = name_of(model)
        self.domains = dict(zip(ascii_lowercase, model.specs, strict=False))  # "a", "b", ... -> Spec
        values = max(math.prod(spec.shape) for spec in model.specs)
        # Images at once: a matter of the model alone, so that the draws of a seed are the same on every machine.
        self.part = max(1, min(PART_IMAGES, PART_VALUES // values))

    def __repr__(self) -> str:
        domains = ", ".join(f"{letter}: {spec.name} {spec}" for letter, spec in self.domains.items())
        return f"Trained({self.name}, {domains}, on {self.model.device})"

    def translate(self, images: Any, to: str = "b", n: int = 1, seed: int | None = None) -> Any:
        """The images carried to domain `to`, in that domain's size and channels.

        With n > 1 a list of n such results, each another draw where the model is random. Raises ConfigError for an
        unknown domain, CapabilityError for a model that cannot, DataError for what is no image.
        """
        source, carry = self.route(to)
        if n < 1:
            raise ConfigError(f"the number of draws must be positive, got {n}")
        return self.through(carry, images, source, n, seed)

    def reconstruct(self, images: Any) -> Any:
        """The images through their codes and back."""
        model = self.model
        if not isinstance(model, Autoencodes):
            raise self.unable(Autoencodes, "reconstruct")
        return self.through(lambda batch: on_codes.reconstruct(model, batch), images, self.model.spec)

    def sample(self, n: int, classes: Sequence[str | int] | str | int | None = None, seed: int | None = None) -> Tensor:
        """New images, float [n, channels, height, width] in [-1, 1], on the CPU.

        `classes` are names or numbers, taken in turn. Raises CapabilityError if the model does not know classes.
        """
        with self.seeded(seed):
            return torch.cat([*self.drawn(n, classes)])

    def drawn(self, n: int, classes: Sequence[str | int] | str | int | None = None) -> Iterator[Tensor]:
        """The same in parts [part, channels, height, width], each drawn when it is asked for."""
        model = self.model
        if not isinstance(model, Samples):
            raise self.unable(Samples, "sample")
        if n < 1:
            raise ConfigError(f"the number of samples must be positive, got {n}")
        labels = None if classes is None else torch.tensor([*islice(cycle(self.labels(model, classes)), n)])
        for i in range(0, n, self.part):
            label = None if labels is None else labels[i : i + self.part].to(model.device)
            with torch.no_grad():
                images = model.sample(min(self.part, n - i), label).cpu()
            yield images

    @torch.no_grad()
    def interpolate(self, start: Image, end: Image, steps: int = 8, spherical: bool = False) -> Any:
        """`steps` images in the form of `start`, whose codes lead from `start` to `end`, by line or great circle."""
        model = self.model
        if not isinstance(model, Autoencodes):
            raise self.unable(Autoencodes, "interpolate")
        if steps < 2:
            raise ConfigError(f"to interpolate takes at least 2 steps, got {steps}")
        ends = [to_model(image, self.model.spec, self.fit).to(self.model.device) for image in (start, end)]
        images = on_codes.interpolate(model, ends[0], ends[1], steps, spherical=spherical)
        return joining(start)([like(start, image) for image in images])

    @torch.no_grad()
    def encode(self, images: Any) -> Tensor:
        """Codes [batch, latent] on the CPU; of one image its code [latent]."""
        model = self.model
        if not isinstance(model, Encodes):
            raise self.unable(Encodes, "encode")
        gathered = gather(images)
        codes = torch.cat([model.encode(batch).cpu() for _, batch in self.batches(gathered.images, self.model.spec)])
        return codes if gathered.several else codes[0]

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes [batch, latent], or one code [latent], to images in [-1, 1] on the device of the codes."""
        model = self.model
        if not isinstance(model, Decodes):
            raise self.unable(Decodes, "decode")
        if isinstance(self.model, Encodes):
            blank = torch.zeros(1, *self.model.spec.shape, device=self.model.device)
            latent = self.model.encode(blank).shape[1]
            if codes.ndim not in (1, 2) or codes.shape[-1] != latent:
                raise DataError(f"the codes of this {self.name} are [batch, {latent}], got shape {[*codes.shape]}")
        parts = (codes if codes.ndim == 2 else codes[None]).split(self.part)
        images = torch.cat([model.decode(part.to(self.model.device)).to(codes.device) for part in parts])
        return images if codes.ndim == 2 else images[0]

    def save(self, folder: str | Path) -> None:
        """Write all that it takes to use the model, or to publish it: configuration, weights, a model card.

        Raises OutputError if the folder is there and not empty.
        """
        folder = Path(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise OutputError(f"{folder} exists; save to a new folder")
        kept = {key: self.config[key] for key in ("data", "made_with") if key in self.config}
        if "data" in kept:  # where the data lie is nobody else's business
            data = {key: value for key, value in kept["data"].items() if key != "data_root"}
            kept["data"] = data | {"data": [without_path(spec) for spec in data.get("data", ())]}
        save_model(self.model, folder, **kept)
        write(folder / "README.md", card(self.model, self.domains, folder.name))

    @property
    def fit(self) -> Fit:
        """How images of another shape were brought to the model's in training."""
        return self.config.get("data", {}).get("fit", "crop")

    def route(self, to: str) -> tuple[Spec, Callable[[Tensor], Tensor]]:
        """Where images come from that are carried to domain `to` (the other one, or the first of the others), and how.

        Raises CapabilityError for a model that cannot, ConfigError for an unknown domain.
        """
        model, domains = self.model, self.domains
        if not isinstance(model, Translates):
            raise self.unable(Translates, "translate")
        if to not in domains:
            known = ", ".join(f"{letter} ({spec.name})" if spec.name else letter for letter, spec in domains.items())
            raise ConfigError(f"{self.name} has no domain {to!r} to translate to; its domains are {known}")
        source = next((spec for letter, spec in domains.items() if letter != to), domains[to])
        return source, lambda batch: model.translate(batch, to)

    def unable(self, capability: type, verb: str) -> CapabilityError:
        """The error that says what the model cannot do, and which ones can."""
        known = {name.lower(): getattr(core, name) for name in core.__all__}
        able = [
            entry.name
            for entry in catalog().values()
            if any(issubclass(known.get(name, object), capability) for name in entry.capabilities)
        ]
        return CapabilityError(f"{self.name} cannot {verb}; these can: {', '.join(able) or 'none'}")

    @contextmanager
    def seeded(self, seed: int | None) -> Iterator[None]:
        """All draws inside the block follow from `seed`, and the caller's generators are afterwards as before.

        Without a seed the block draws from the caller's generators.
        """
        if seed is None:
            yield
            return
        device = self.model.device
        cuda = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(cuda, device_type="cuda"):
            torch.default_generator.manual_seed(seed)
            for place in cuda:
                with torch.cuda.device(place):
                    torch.cuda.manual_seed(seed)
            yield

    def fitted(self, image: Image, spec: Spec) -> Array:
        """One image as the model sees it in domain `spec`, as an array [H, W, C] with the bits it came with."""
        return fitted(image, spec, self.fit)

    def batches(self, images: Sequence[Any], spec: Spec) -> Iterator[tuple[Sequence[Any], Tensor]]:
        """The images in parts, each with its batch [part, channels, height, width] for the model."""
        for i in range(0, len(images), self.part):
            part = images[i : i + self.part]
            yield part, torch.stack([to_model(image, spec, self.fit).to(self.model.device) for image in part])

    @torch.no_grad()
    def through(
        self, function: Callable[[Tensor], Tensor], images: Any, spec: Spec, n: int = 1, seed: int | None = None
    ) -> Any:
        """`function` of batches of the images, `n` times, each time in the form in which they came."""
        gathered, draws = gather(images), [list[Any]() for _ in range(n)]
        with self.seeded(seed):
            for part, batch in self.batches(gathered.images, spec):
                for draw in draws:
                    draw += [like(image, result) for image, result in zip(part, function(batch), strict=True)]
        joined = [gathered.join(draw) for draw in draws]
        return joined[0] if n == 1 else joined

    def labels(self, model: Samples, classes: Sequence[str | int] | str | int) -> list[int]:
        """Labels of classes, given by name, or by number where no name is one.

        Raises ConfigError or CapabilityError where there are no such classes.
        """
        names = model.spec.classes
        if not names:
            raise CapabilityError(f"this {self.name} was trained without classes, so it cannot sample any one of them")
        wanted = [classes] if isinstance(classes, str | int) else list(classes)
        numbers = {} if any(name.isdigit() for name in names) else {str(i): i for i in range(len(names))}
        known = numbers | {name: i for i, name in enumerate(names)}
        unknown = [str(name) for name in wanted if str(name) not in known]
        if unknown or not wanted:
            raise ConfigError(f"no class {', '.join(unknown) or 'was given'}; the classes are {shorten(names)}")
        if len(names) > 1 and not self.heeds_labels(model):
            raise CapabilityError(f"{self.name} draws from all classes at once and cannot be asked for one")
        return [known[str(name)] for name in wanted]

    @torch.no_grad()
    def heeds_labels(self, model: Samples) -> bool:
        """Whether the same draw of two classes differs: a model that has none of them takes labels and ignores them."""
        draws = []
        for label in (0, len(model.spec.classes) - 1):
            with self.seeded(0):
                draws.append(model.sample(1, torch.tensor([label], device=model.device)))
        return not torch.equal(*draws)


def without_path(spec: str) -> str:
    """A data spec with no more of its path than the last folder."""
    kind, _, path = spec.partition(":")
    return f"{kind}:{Path(path).name}" if kind in ("folder", "pairs") else spec


def find_device(name: str) -> torch.device:
    """The device of that name. Raises ConfigError if it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError, NotImplementedError):  # as torch says that it lacks one
        raise ConfigError(f"there is no device {name!r} here; leave it to auto, or say cpu") from None
