"""What the data is, hence what a model must accept and produce; and one batch of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from isthmus.errors import DataError


@dataclass(frozen=True)
class Spec:
    """One domain of images. Height and width need not be equal.

    A sound is an image with one channel and the height 1, whose pixels are its samples, spread by the mu-law.
    """

    channels: int
    height: int
    width: int
    classes: tuple[str, ...] = ()  # names of the classes, in label order; empty without labels
    name: str = ""  # as the user wrote it: "mnist:0-4", "folder:photos"
    rate: int = 0  # samples per second of a sound; 0 for images

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        return self.channels, self.height, self.width

    def __str__(self) -> str:
        parts = [f"{self.width}x{self.height}", counted(self.channels, "channel")]
        if self.rate:
            parts = [f"{counted(self.width, 'sample')} at {self.rate} Hz"]
        return ", ".join(parts + [counted(len(self.classes), "class", "classes")] * bool(self.classes))


def counted(number: int, one: str, many: str | None = None) -> str:
    """The number with its noun: "1 class", "3 classes"."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def one_size(*specs: Spec) -> tuple[int, int]:
    """The height and width that images of all domains have. Raises DataError if they differ."""
    first, *others = ((spec.height, spec.width) for spec in specs)
    for spec, size in zip(specs[1:], others, strict=True):
        if size != first:
            raise DataError(
                f"this model keeps the size of images, and {specs[0].name} is {specs[0]}, but {spec.name} {spec}; "
                f'bring both to one, e.g. by --size "{first[1]}x{first[0]}"'
            )
    return first


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples of one domain, on the device where they are used."""

    image: Tensor  # float [batch, channels, height, width] in [-1, 1]
    labels: Tensor | None = None
    codes: Tensor | None = None

    def __len__(self) -> int:
        return len(self.image)

    @property
    def label(self) -> Tensor:
        """int64 [batch], indices into `Spec.classes`. Raises DataError if the data have no classes."""
        if self.labels is None:
            raise DataError("this model learns from classes, and the data have none; put the images in class folders")
        return self.labels

    @property
    def code(self) -> Tensor:
        """float [batch, latent], where the model asked for codes in `prepare`."""
        if self.codes is None:
            raise DataError("this model learns from codes, and the data have none; pass the data through its prepare()")
        return self.codes

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`."""
        moved = (None if t is None else t.to(device, non_blocking=True) for t in (self.labels, self.codes))
        return Batch(self.image.to(device, non_blocking=True), *moved)


class Domain(Protocol):
    """A data set of one domain, as a model sees it in `prepare`."""

    @property
    def spec(self) -> Spec: ...

    @property
    def labels(self) -> Tensor | None:
        """int64 [n], indices into `spec.classes`; None where the data have no classes."""

    @property
    def codes(self) -> Any:
        """float Tensor [n, latent] after `with_codes`."""

    def __len__(self) -> int: ...

    def batch(self, index: Tensor) -> Batch:
        """The examples `index` [batch], as they are."""
        ...

    def with_codes(self, encode: Callable[[Tensor], Tensor], device: torch.device | str = "cpu") -> Self:
        """The same data, each image with its code `encode(image)`, computed once on `device`; codes lie on the CPU."""
        ...
