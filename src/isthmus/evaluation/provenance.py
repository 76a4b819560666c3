"""What a figure was made with: kept beside the figure, and figures made differently are not compared in silence."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from isthmus import __version__
from isthmus.errors import ConfigError
from isthmus.evaluation.features import Extractor
from isthmus.evaluation.intervals import Estimate


@dataclass(frozen=True)
class Provenance:
    """All that moves a figure beside the images themselves."""

    extractor: str  # "judge of mnist", "inception-2015-12-05", of domains one "and" another; "none" of mere pixels
    weights: str  # first digits of the SHA-256 of the extractor's weights, or of what they were learnt from
    resizer: str  # how images were brought to the extractor's size
    images: tuple[int, ...]  # of each set
    seed: int | None = None  # None where nothing is drawn
    settings: tuple[tuple[str, Any], ...] = ()  # of the metric: neighbours, splits, scales

    @classmethod
    def of(
        cls,
        extractor: Extractor | Sequence[Extractor] | None,
        *images: int,
        seed: int | None = None,
        **settings: Any,
    ) -> Provenance:
        """That of figures of features, of one extractor or of each domain's own, or of the pixels themselves."""
        several = extractor if isinstance(extractor, Sequence) else [extractor]
        seen = [(one.name, one.weights, one.resizer) if one else ("none", "", "none") for one in several]
        name, weights, resizer = (" and ".join(dict.fromkeys(column)) for column in zip(*seen, strict=True))
        return cls(name, weights, resizer, images, seed, tuple(settings.items()))

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return asdict(self) | {"images": [*self.images], "settings": dict(self.settings), "versions": versions()}

    def differences(self, other: Provenance) -> list[str]:
        """In words: "extractor a here, b there"."""
        mine, theirs = asdict(self), asdict(other)
        return [f"{name} {mine[name]} here, {theirs[name]} there" for name in mine if mine[name] != theirs[name]]


@dataclass(frozen=True)
class Result:
    """A figure with its standard error and its provenance."""

    metric: str  # "Fréchet distance"
    value: float
    error: float | None
    provenance: Provenance

    def minus(self, other: Result) -> float:
        """The difference of two figures. Raises ConfigError unless they were made alike."""
        if self.metric != other.metric:
            raise ConfigError(f"{self.metric} and {other.metric} are different metrics and cannot be compared")
        if different := self.provenance.differences(other.provenance):
            raise ConfigError(f"two figures of {self.metric} were made differently: {'; '.join(different)}")
        return self.value - other.value

    def __lt__(self, other: Result) -> bool:
        return self.minus(other) < 0

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        made = self.provenance.to_dict()
        return {"metric": self.metric, "value": self.value, "standard_error": self.error, "provenance": made}


@dataclass(frozen=True)
class Group:
    """Figures by name that were made alike; an estimate has its standard error, None is what cannot be told."""

    figures: Mapping[str, float | Estimate | None]
    provenance: Provenance

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON: each figure under its name, beside them `standard_errors` and `provenance`."""
        values = {name: finite(f.value if isinstance(f, Estimate) else f) for name, f in self.figures.items()}
        errors = {n: f.error for n, f in self.figures.items() if isinstance(f, Estimate) and math.isfinite(f.error)}
        return {**values, "standard_errors": errors, "provenance": self.provenance.to_dict()}


def finite(value: float | None) -> float | None:
    """The number, or None for what JSON cannot hold."""
    return value if value is not None and math.isfinite(value) else None


def versions(*packages: str) -> dict[str, str]:
    """Versions of what computes the figures, and of `packages` that are installed."""
    found = {"isthmus": __version__, "python": platform.python_version()}
    for name in ("torch", "numpy", "scipy", *packages):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
