"""How people use a trained model: whatever it is, it is asked by what it can do, with images of any form and size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from isthmus.apps.card import card
from isthmus.apps.forms import Image, apart, gather, joining, like, with_alpha
from isthmus.apps.handle import Classes, Handle
from isthmus.apps.hub import fetch, is_hub_id
from isthmus.apps.region import known_part
from isthmus.apps.tiles import tiled
from isthmus.core import (
    Autoencodes,
    Bounds,
    Completes,
    Decodes,
    Describes,
    Encodes,
    Samples,
    Scores,
    Spec,
    Styles,
    Swaps,
)
from isthmus.core import operations as on_codes
from isthmus.data.options import FOLDERS
from isthmus.errors import CapabilityError, ConfigError, DataError, OutputError
from isthmus.evaluation.likelihood import GREY_LEVEL, importance_weighted
from isthmus.training.checkpoint import load_model, read_config, save_model, write
from isthmus.training.draws import heeds_labels, shown


def load(path: str | Path, checkpoint: str = "last", device: str = "auto") -> Trained:
    """A trained model from its run folder, or from the hub by its id "owner/name".

    `checkpoint` is "last", "best" or the name of a folder in the run's `checkpoints/`; `device` is "auto" (a CUDA
    device if there is one) or any name that torch has, such as "cpu". Raises CheckpointError with the reason if there
    is no whole model.
    """
    folder = fetch(str(path)) if is_hub_id(str(path)) else Path(path).expanduser()
    config = read_config(folder)
    return Trained(load_model(folder, checkpoint), config, device)


class Trained(Handle):
    """A trained model: `model` is the bare one, `config` the content of its config.json.

    Wherever images are taken, `isthmus.apps.forms` says in which forms; they may have any size and mode, and are
    brought to the model's as its training data were. Results come in the form of what was given. Every method raises
    CapabilityError for a model that cannot do it, and DataError for what is no image.
    """

    def translate(
        self,
        images: Any,
        to: str | None = None,
        n: int = 1,
        *,
        style: Any = None,
        tile: bool = False,
        seed: int | None = None,
    ) -> Any:
        """The images carried to domain `to`, by default "b" or the only one, in that domain's size and channels.

        With n > 1 a list of n such results, each another draw where the model is random. `style` is an image of that
        domain, or several, whose mean style the results have, or what `style_of` gives for them; without it styles are
        drawn. With `tile` the images keep their sizes and go through the model tile by tile, all tiles in one style.
        Raises ConfigError for an unknown domain.
        """
        style = None if style is None else self.style_of(style, to)
        source, _, carry = self.route(to, style)
        check_number("n", n)
        if tile:
            self.check_tiles(to)
            gathered = gather(images)
            with self.seeded(seed):
                draws = [
                    [self.in_tiles(image, source, self.route(to, style, one=True)[2]) for _ in range(n)]
                    for image in gathered.images
                ]
            found = [gathered.join([*draw]) for draw in zip(*draws, strict=True)]
        else:
            found = self.through(lambda batch: (carry(batch) for _ in range(n)), images, source, seed)
        return found[0] if n == 1 else found

    def style_of(self, images: Any, to: str | None = None) -> Tensor:
        """The mean style [style] of images of domain `to`, on the CPU, for `style=` in place of the images.

        A style is left as it is. Raises ConfigError for an unknown domain, and for a model that has no styles.
        """
        to, model = self.target(to), self.model
        if not isinstance(model, Styles):
            raise ConfigError(f"{self.name} has no styles: leave out the style")
        if isinstance(images, Tensor) and images.ndim == 1:
            return images
        styles = self.measured(lambda batch: model.style(batch, to), images, model.ends(to)[1])
        return styles.reshape(-1, styles.shape[-1]).mean(0)

    def film(
        self,
        frames: Iterable[Image],
        to: str | None = None,
        *,
        style: Any = None,
        tile: bool = False,
        seed: int | None = None,
    ) -> Iterator[Any]:
        """The frames of a film carried as by `translate`, one after the other, as they are asked for.

        All of them have one style, or whatever else the model draws. Raises ConfigError at once.
        """
        with self.seeded(seed):
            style = None if style is None else self.style_of(style, to)
            source, _, carry = self.route(to, style, one=True)
        if tile:
            self.check_tiles(to)
            return (self.in_tiles(frame, source, carry) for frame in frames)
        return chain.from_iterable(
            self.through(lambda batch: [carry(batch)], part, source)[0] for part in self.parts(frames)
        )

    def check_tiles(self, to: str | None) -> None:
        """Raises ConfigError if what is carried to a domain cannot be put together from tiles."""
        source, target, _ = self.route(to)
        if (source.height, source.width) != (target.height, target.width):
            raise ConfigError(
                f"tiles are put together again, so that both domains need one size; {target} is carried to, and "
                f"{source} what is carried there: leave out --tile"
            )

    @torch.no_grad()
    def in_tiles(self, image: Image, source: Spec, carry: Callable[[Tensor], Tensor]) -> Any:
        """One image of any size, tile by tile."""
        whole, alpha = apart(image, source, None)
        made = tiled(whole, self.on_device(carry), (source.height, source.width), self.part)
        return like(image, with_alpha(made, alpha))

    def on_device(self, function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """The function of a batch that may lie elsewhere."""
        return lambda batch: function(batch.to(self.model.device))

    def reconstruct(self, images: Any) -> Any:
        """The images through their codes and back."""
        model = self.model
        if not isinstance(model, Autoencodes):
            raise self.unable(Autoencodes, "reconstruct")
        return self.through(lambda batch: [on_codes.reconstruct(model, batch)], images, self.model.spec)[0]

    def swap(self, images: Any, classes: Classes | None = None, label: Classes | None = None) -> list[Any]:
        """The images with another class, and all else as it was: a list with one result for each of `classes`.

        By default these are all classes that there are; with its own class an image is reconstructed. `label` is the
        class that the images have, or a list with that of each; by default the model tells it.
        """
        wanted, model = self.labels(self.new_classes(classes)), cast(Swaps, self.model)
        known = iter(())
        if label is not None:
            own, count = self.labels(label), len(gather(images).images)
            if len(own) not in (1, count):
                raise ConfigError(f"label is one class for all images, or one for each of {count}, got {len(own)}")
            known = iter(torch.tensor(own, device=model.device).expand(count).split(self.part))

        def swapped(batch: Tensor) -> Iterator[Tensor]:
            code = model.encode(batch, next(known, None))
            for number in wanted:
                yield model.decode(model.swap(code, torch.full([len(batch)], number, device=model.device)))

        return self.through(swapped, images, self.model.spec)

    def complete(
        self,
        images: Any,
        known: Any = None,
        part: float = 0.5,
        n: int = 1,
        seed: int | None = None,
        temperature: float = 1.0,
    ) -> Any:
        """The images with what is not `known` drawn anew, so that it goes with what is.

        `known` is "top", "bottom", "left", "right", or a corner such as "top-left", of which `part` of the sides is
        kept; or a mask, bool [height, width] of the model's size. By default it is what the model must have, or else
        the top, of a sound the beginning. With n > 1 a list of n draws. Raises ConfigError if the model cannot start
        from what is known.
        """
        mask, model = self.kept(known, part), cast(Completes, self.model)
        check_number("n", n)
        check_temperature(temperature)
        draw = partial(model.complete, known=mask.to(model.device), temperature=temperature)
        found = self.through(lambda batch: (draw(batch) for _ in range(n)), images, self.model.spec, seed)
        return found[0] if n == 1 else found

    def sample(
        self, n: int, classes: Classes | None = None, seed: int | None = None, temperature: float = 1.0
    ) -> Tensor:
        """New images, float [n, channels, height, width] in [-1, 1], on the CPU; two of a pair lie side by side.

        `classes` are names or numbers, taken in turn; `temperature`, from 0 on, scales the spread of the draws. Raises
        CapabilityError if the model does not know classes.
        """
        with self.seeded(seed):
            return torch.cat([*self.drawn(n, classes, temperature)])

    def drawn(self, n: int, classes: Classes | None = None, temperature: float = 1.0) -> Iterator[Tensor]:
        """The same in parts [part, channels, height, width], each drawn when it is asked for."""
        model = self.model
        if not isinstance(model, Samples):
            raise self.unable(Samples, "sample")
        check_number("n", n)
        check_temperature(temperature)
        labels = None if classes is None else torch.tensor([*islice(cycle(self.labels(classes)), n)])
        if labels is not None and len(model.spec.classes) > 1 and not heeds_labels(model):
            raise CapabilityError(f"{self.name} draws from all classes at once and cannot be asked for one")
        for i in range(0, n, self.part):
            label = None if labels is None else labels[i : i + self.part].to(model.device)
            with torch.no_grad():
                images = shown(model, min(self.part, n - i), label, temperature).cpu()
            yield images

    def score(self, images: Any, samples: int | None = None, seed: int | None = None) -> Tensor:
        """The log-likelihood of the images in nats, float64 [batch] on the CPU; of one image a scalar.

        It is a lower bound where the model is one of `Bounds`, and tighter with `samples` of the code (importance
        weighting). Pixels are brought to what the likelihood is of: on or off where the model has two levels; where it
        has a density, each is spread evenly over its grey level (Theis et al., 2016, arXiv:1511.01844, section 3.1).
        """
        model = self.model
        if not isinstance(model, Scores):
            raise self.unable(Scores, "score")
        log_prob = model.log_prob
        if samples is not None:
            if not isinstance(model, Bounds):
                raise CapabilityError(f"{self.name} has no bound that samples could tighten; leave them out")
            check_number("samples", samples)
            log_prob = partial(importance_weighted, model, samples=samples)

        def scored(batch: Tensor) -> Tensor:
            if model.levels == 2:
                batch = batch.gt(0) * 2.0 - 1
            elif model.levels == 0:
                batch = batch + GREY_LEVEL * (torch.rand_like(batch) - 0.5)
            return log_prob(batch).double()

        with self.seeded(seed):
            return self.measured(scored, images)

    def interpolate(self, start: Image, end: Image, *more: Image, steps: int = 8, spherical: bool = False) -> Any:
        """Images in the form of `start`, whose codes lead from it to `end`, and on to `more`, by line or great circle.

        There are `steps` from one image to the next, both among them.
        """
        codes = torch.stack([self.code_of(image) for image in (start, end, *more)])
        return joining(start)([like(start, image) for image in self.path(codes, steps, spherical)])

    def path(self, codes: Tensor, steps: int = 8, spherical: bool = False) -> Tensor:
        """The same between codes [n, latent], as float images [(n - 1) (steps - 1) + 1, channels, height, width]."""
        if steps < 2:
            raise ConfigError(f"steps must be at least 2, from the one end to the other, got {steps}")
        return self.decode(on_codes.path(codes, steps, spherical=spherical))

    def code_of(self, term: Image | int) -> Tensor:
        """The code [latent], on the CPU, of an image; or of a seed, the code that is drawn with it.

        A model that has no classes samples the image of that code with that seed.
        """
        model = self.model
        if isinstance(term, int):
            if not isinstance(model, Samples):
                raise self.unable(Samples, "draw codes")
            if not isinstance(model, Decodes):
                raise self.unable(Decodes, "decode")
            with self.seeded(term), torch.no_grad():
                return on_codes.drawn_codes(model, 1)[0].cpu()
        if isinstance(model, Autoencodes):
            return self.encode(term)
        if isinstance(model, Samples) and isinstance(model, Decodes):
            raise CapabilityError(f"{self.name} cannot give pictures a code and go back; name seeds in place of them")
        raise self.unable(Autoencodes, "give pictures a code and go back")

    def encode(self, images: Any) -> Tensor:
        """Codes [batch, latent] on the CPU; of one image its code [latent]."""
        model = self.model
        if not isinstance(model, Encodes):
            raise self.unable(Encodes, "encode")
        return self.measured(model.encode, images)

    def describe(self, images: Any) -> Tensor:
        """Features [batch, n] for other tasks, on the CPU; of one image [n]."""
        model = self.model
        if not isinstance(model, Describes):
            raise self.unable(Describes, "describe")
        return self.measured(model.describe, images)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes [batch, latent], or one code [latent], to images in [-1, 1] on the device of the codes."""
        model = self.model
        if not isinstance(model, Decodes):
            raise self.unable(Decodes, "decode")
        latent = on_codes.code_size(model)
        if codes.ndim not in (1, 2) or codes.shape[-1] != latent:
            raise DataError(f"the codes of this {self.name} are [batch, {latent}], got shape {[*codes.shape]}")
        parts = (codes if codes.ndim == 2 else codes[None]).split(self.part)
        images = torch.cat([model.decode(part.to(model.device)).to(codes.device) for part in parts])
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

    def new_classes(self, classes: Classes | None = None) -> list[str]:
        """The names of `classes`, by default of all, that images can be given. Raises ConfigError for unknown ones."""
        if not isinstance(self.model, Swaps):
            raise self.unable(Swaps, "swap classes")
        names = self.model.spec.classes
        return [names[label] for label in self.labels(names if classes is None else classes)]

    def kept(self, known: Any = None, part: float = 0.5) -> Tensor:
        """What `complete` keeps, bool [height, width] on the CPU. Raises ConfigError for no region, and no mask."""
        model = self.model
        if not isinstance(model, Completes):
            raise self.unable(Completes, "complete")
        if known is None and model.given is not None:
            return model.given.cpu()
        beginning = "top" if model.spec.height > 1 else "left"
        return known_part(beginning if known is None else known, part, model.spec.height, model.spec.width)


def check_number(name: str, value: int) -> None:
    if value < 1:
        raise ConfigError(f"{name} must be positive, got {value}")


def check_temperature(value: float) -> None:
    if not value >= 0:  # written so that NaN fails
        raise ConfigError(f"temperature must be 0 or more, got {value:g}")


def without_path(spec: str) -> str:
    """A data spec with no more of its path than the last folder."""
    kind, _, path = spec.partition(":")
    return f"{kind}:{Path(path).name}" if kind in FOLDERS else spec
