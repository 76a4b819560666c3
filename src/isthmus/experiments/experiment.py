"""What a decisive experiment is: data, models, options, what is measured, bar, and the ablations that must miss it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from isthmus.errors import ConfigError

if TYPE_CHECKING:
    from isthmus.core import Model
    from isthmus.data.images import Images

MACHINERY = ("experiment", "picture", "run")  # files beside those of experiments
Figures = Mapping[str, float]
# Model, training images and test images of each domain, seed -> groups of figures by name: {"leak": {"largest": 0.1}}.
# It is called with seeded generators, outside of any gradient, and imports torch in its body.
Measure = Callable[["Model", Sequence["Images"], Sequence["Images"], int], Mapping[str, Figures]]
# The same of a run folder, whose checkpoints and logged losses show how the training went.
Trace = Callable[[Path, Sequence["Images"], Sequence["Images"], int], Mapping[str, Figures]]


@dataclass(frozen=True)
class Training:
    """One model to train: its name, its data, its options and the run's."""

    model: str
    data: Mapping[str, Any]  # fields of DataOptions
    options: Mapping[str, Any] = field(default_factory=dict)  # fields of the model
    run: Mapping[str, Any] = field(default_factory=dict)  # fields of RunOptions
    parts: Mapping[str, Training] = field(default_factory=dict)  # fields that take a trained model


@dataclass(frozen=True)
class Bar:
    """What a figure must reach: a fixed value, or a distance to another figure, whichever is easier.

    It is the median over seeds that must, or each of a `share` of the seeds.
    """

    figure: str  # "a_to_b/accuracy"
    at_least: float | None = None
    at_most: float | None = None
    below: str | None = None  # "a_to_b/ceiling": the figure may instead lie within `points` of this one
    points: float = 0.0
    share: float | None = None

    def held(self, seeds: Sequence[Figures]) -> bool:
        """Whether the figures of several seeds meet it."""
        if self.share is not None:
            return sum(map(self.met, seeds)) >= self.share * len(seeds)
        return self.met(medians(seeds))

    def met(self, figures: Figures) -> bool:
        value = figures[self.figure]
        if self.at_least is not None and value >= self.at_least:
            return True
        if self.at_most is not None and value <= self.at_most:
            return True
        return self.below is not None and value >= figures[self.below] - self.points

    def __str__(self) -> str:
        bound = f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}"
        seeds = f" in {self.share:.0%} of seeds" if self.share is not None else ""
        return f"{self.figure} {bound}{seeds}" + (f" or within {self.points:g} of {self.below}" if self.below else "")


def medians(seeds: Sequence[Figures]) -> dict[str, float]:
    """The median of each figure that all seeds have."""
    names = [name for name in seeds[0] if all(name in figures for figures in seeds)]
    return {name: median(figures[name] for figures in seeds) for name in names}


@dataclass(frozen=True)
class Experiment:
    """One decisive experiment.

    Measured are the groups of figures that the bars name, and `groups` beside them: those that
    `isthmus.evaluation.figures` has, and those of the experiment's own `measure` and `trace`.
    """

    name: str
    claim: str
    training: Training
    bars: tuple[Bar, ...]
    # Options of the model that take its mechanism away. Empty only where `measure` holds the control that must fail.
    ablations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    measure: Measure | None = None  # what shows this model's mechanism and no other's
    trace: Trace | None = None  # what shows it in the course of the training
    groups: tuple[str, ...] = ()  # of figures that stand beside those of the bars
    images: int = 10_000  # at most, of test images and of draws; fewer for a model that draws slowly

    @property
    def measured(self) -> set[str]:
        """Names of all groups of figures that are taken."""
        named = (name for bar in self.bars for name in (bar.figure, bar.below) if name)
        return {*self.groups, *(name.partition("/")[0] for name in named)}


@cache
def experiments() -> dict[str, Experiment]:
    """Every experiment by name, from the files of this folder. None of them needs torch to be imported."""
    found = {}
    for file in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        if file.stem not in MACHINERY:
            module = importlib.import_module(f"{__package__}.{file.stem}")
            found.update({experiment.name: experiment for experiment in module.EXPERIMENTS})
    return found


def find(name: str) -> Experiment:
    """The experiment called `name`. Raises ConfigError, with the nearest names, if there is none."""
    known = experiments()
    if name not in known:
        near = get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(known)}"
        raise ConfigError(f"no experiment named {name!r}; {hint}")
    return known[name]
