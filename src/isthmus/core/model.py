"""A model says what is played, the trainer plays it.

A model is a plain `nn.Module`. Its annotated attributes are its configuration, `networks` fits it to the data,
`players` says which modules move together, and `turns` is the algorithm box of its paper: a coroutine that yields one
`Turn` for each optimiser step. Between two yields the trainer runs `backward` and `step` for that turn's player alone.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import reduce
from operator import add
from typing import Any, ClassVar, NamedTuple, Self, dataclass_transform

import torch
from torch import Tensor, nn

from isthmus.core.spec import Domain, Spec, counted
from isthmus.errors import ConfigError


class Turn(NamedTuple):
    """One player's move: lower the sum of `losses` by changing that player's parameters only."""

    player: str
    losses: Mapping[str, Tensor]  # scalars by the paper's word for each term, weights already applied

    @property
    def total(self) -> Tensor:
        """The scalar that is minimised."""
        return reduce(add, self.losses.values())


class Player:
    """The modules that move together, and how they move.

    `optimizer` names a class of `torch.optim`, `settings` are its arguments beside `lr`; `schedule` maps the fraction
    of training done, in [0, 1], to a factor on the learning rate.
    """

    def __init__(
        self,
        *modules: nn.Module,
        lr: float,
        optimizer: str = "Adam",
        schedule: Callable[[float], float] | None = None,
        **settings: Any,
    ) -> None:
        self.modules, self.lr, self.optimizer, self.schedule, self.settings = modules, lr, optimizer, schedule, settings

    def parameters(self) -> list[nn.Parameter]:
        """Every trainable parameter of the player, each once."""
        return list(dict.fromkeys(p for m in self.modules for p in m.parameters() if p.requires_grad))


@dataclass_transform(kw_only_default=True, field_specifiers=(field,))
@dataclass(eq=False, repr=False, kw_only=True)
class Model(nn.Module, ABC):
    """A system of players.

    Constructing a model is free and makes no weights (`VAE(latent=8)` *is* the configuration); `build` makes the
    networks. Models are final: variants are fields, not subclasses.
    """

    specs: tuple[Spec, ...] = field(default=(), init=False)  # what it was built for, one for each domain
    progress: float = field(default=0.0, init=False)  # fraction of training done; the trainer keeps it
    rounds: int = field(default=0, init=False)  # played so far; the trainer keeps it, too
    eager: ClassVar[tuple[str, ...]] = ()  # children that must not be compiled, e.g. under a gradient penalty
    paired: ClassVar[bool] = False  # whether it learns from examples of two data sets that belong together
    separable: ClassVar[bool] = True  # whether losses are means over examples, so that microbatches make up a batch
    run_defaults: ClassVar[Mapping[str, Any]] = {}  # options of the run that its paper sets otherwise than we do

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclass(eq=False, repr=False, kw_only=True)(cls)

    def __new__(cls, *_: Any, **__: Any) -> Self:
        self = super().__new__(cls)
        nn.Module.__init__(self)  # before the dataclass assigns fields, since a field may itself be a module
        return self

    def build(self, *specs: Spec) -> Self:
        """Make the networks for data of these `specs`, one for each domain; returns the model itself."""
        least, most = self.domains(), len(inspect.signature(self.networks).parameters)
        if not least <= len(specs) <= most:
            wanted = counted(least, "data set") if least == most else f"{least} or {most} data sets"
            raise ConfigError(f"{type(self).__name__} is trained on {wanted}, got {len(specs)}; mend --data")
        self.specs = specs
        self.networks(*specs)
        for kernel in self.parameters():
            if kernel.dim() == 4:  # the order of channels last, in which convolutions are fastest
                kernel.data = kernel.data.contiguous(memory_format=torch.channels_last)
        return self

    @abstractmethod
    def networks(self, *specs: Any, **_: Any) -> None:
        """Create the modules; takes one `Spec` for each data set, by default None where it may be missing."""

    @abstractmethod
    def players(self) -> dict[str, Player]:
        """Who takes turns."""

    @abstractmethod
    def turns(self, batches: Iterator[Any]) -> Iterator[Turn]:
        """Play one round. `next(batches)` is a `Batch`, or a tuple with one `Batch` for each domain."""

    @classmethod
    def domains(cls) -> int:
        """How many data sets the model is trained on, at least."""
        parameters = [*inspect.signature(cls.networks).parameters.values()][1:]
        return sum(parameter.default is parameter.empty for parameter in parameters)

    def prepare(self, *domains: Domain) -> tuple[Domain, ...]:
        """What can be computed once, before the first round (e.g. the codes of frozen encoders): by default nothing."""
        return domains

    def config(self) -> dict[str, Any]:
        """The configuration: the annotated fields and their values."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}

    def positive(self, *names: str) -> None:
        """Refuse options of these names that are not above 0, with a ConfigError."""
        for name in names:
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be positive, got {getattr(self, name)}")

    def not_negative(self, *names: str) -> None:
        """Refuse options of these names that are below 0, with a ConfigError."""
        for name in names:
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative, got {getattr(self, name)}")

    def at_least(self, **least: int) -> None:
        """Refuse options of these names that are below what is given, with a ConfigError."""
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ConfigError(f"{name} must be at least {bound}, got {getattr(self, name)}")

    def odd(self, *names: str) -> None:
        """Refuse options of these names that are even, with a ConfigError."""
        for name in names:
            if getattr(self, name) % 2 == 0:
                raise ConfigError(f"{name} must be odd, so that it has a middle, got {getattr(self, name)}")

    @property
    def spec(self) -> Spec:
        """The first (often the only) domain."""
        return self.specs[0]

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device


def freeze(*modules: Any) -> None:
    """Fix modules for good: no gradients, and evaluation mode whatever `train()` is called around them."""
    for module in modules:
        module.requires_grad_(False).eval()
        module.train = lambda mode=True, module=module: module
