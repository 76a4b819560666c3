"""The one loop: optimisers, precision, gradients, averages. It knows no model by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor

from isthmus.core import Model, Player, Turn
from isthmus.errors import ConfigError
from isthmus.training.average import Average
from isthmus.training.options import RunOptions


class Batches(Protocol):
    """An endless stream of batches; setting `position` is all that resuming takes."""

    position: int

    def __next__(self) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...


class Mover:
    """One player's parameters with their optimiser."""

    def __init__(self, name: str, player: Player, fabric: Fabric) -> None:
        rule = getattr(torch.optim, player.optimizer, None)
        if rule is None:
            raise ConfigError(f"the player {name!r} asks for torch.optim.{player.optimizer}, which does not exist")
        self.parameters, self.lr, self.schedule = player.parameters(), player.lr, player.schedule
        if not self.parameters:
            raise ConfigError(f"the player {name!r} has nothing to learn: none of its parameters is trainable")
        fused = {"fused": True} if player.optimizer in ("Adam", "AdamW", "SGD") else {}
        optimizer = rule(self.parameters, lr=player.lr, **(fused | player.settings))
        self.optimizer: Any = fabric.setup_optimizers(optimizer)

    def lay_out(self) -> None:
        """Give what the optimiser has stored its parameter's order in memory, which fused rules rely on unasked."""
        for parameter, stored in self.optimizer.state.items():
            for name, value in stored.items():
                if value.shape == parameter.shape:
                    stored[name] = torch.empty_like(parameter).copy_(value)

    def set_rate(self, progress: float) -> None:
        if self.schedule is not None:
            for group in self.optimizer.param_groups:
                group["lr"] = self.lr * self.schedule(progress)


def average_gradients(parameters: list[torch.nn.Parameter], fabric: Fabric) -> None:
    """Average over processes, as one flat message. No wrapper around a module is needed, so its methods stay usable."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = cast(Tensor, fabric.all_reduce(torch.cat([g.flatten() for g in gradients]), reduce_op="mean"))
    parts = torch.split(flat, [g.numel() for g in gradients])
    torch._foreach_copy_(gradients, [part.view_as(g) for part, g in zip(parts, gradients, strict=True)])


def compile_networks(model: Model) -> None:
    """Compile what the players move, in place; `Module.compile` silently skips a bare `Sequential`."""
    eager = [model.get_submodule(name) for name in model.eager]
    for module in dict.fromkeys(module for player in model.players().values() for module in player.modules):
        if module not in eager:
            module.forward = torch.compile(module.forward)


class Trainer:
    """Plays the turns of `model`, one round a call of `round`.

    All randomness of a round comes from (seed, rank, step), all order of data from the position of `batches`: what
    `state_dict` holds, with the weights, is everything that the next rounds depend on.
    """

    def __init__(self, model: Model, batches: Batches, options: RunOptions, fabric: Fabric) -> None:
        self.model, self.batches, self.options, self.fabric, self.step = model, batches, options, fabric, 0
        model.to(fabric.device)
        if not model.players():
            raise ConfigError(f"{type(model).__name__} is used as it is and not trained: it has no players")
        self.movers = {name: Mover(name, player, fabric) for name, player in model.players().items()}
        self.average = Average(model, options.average) if options.average else None
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = defaultdict(int)
        if options.compile:
            compile_networks(model)
        if fabric.world_size > 1:
            for tensor in model.state_dict().values():
                torch.distributed.broadcast(tensor, 0)
        # Entering autocast costs more than a small network's forward pass: full precision does without.
        full = options.precision == "32"
        self.context: Callable[[], AbstractContextManager[Any]] = nullcontext if full else fabric.autocast

    @property
    def result(self) -> Model:
        """The model to use: the average where there is one."""
        return self.average.model if self.average else self.model

    def round(self) -> None:
        """One round: every player takes its turns."""
        self.seed()
        self.tell()
        for mover in self.movers.values():
            mover.set_rate(self.model.progress)
        games = [self.model.turns(self.batches) for _ in range(self.options.accumulate)]
        while (player := self.gradients(games)) is not None:
            mover = self.movers[player]
            if self.fabric.world_size > 1:
                average_gradients(mover.parameters, self.fabric)
            if self.options.clip:
                self.clip(mover)
            mover.optimizer.step()
            mover.optimizer.zero_grad()
        self.step += 1
        self.tell()  # of the model as it is now, e.g. in a checkpoint
        if self.average:
            self.average.update()

    def tell(self) -> None:
        """Let the model know how far its training is."""
        self.model.rounds, self.model.progress = self.step, self.step / self.options.steps

    def gradients(self, games: list[Iterator[Turn]]) -> str | None:
        """Gradients of the next turn, averaged over microbatches in lockstep; None when the round is over."""
        player = None
        for game in games:
            with self.context():
                turn = next(game, None)
            if turn is None:
                continue
            player = turn.player
            total = turn.total if len(games) == 1 else turn.total / len(games)
            self.fabric.backward(total, inputs=self.movers[player].parameters)
            for term, value in turn.losses.items():
                key = f"{player}/{term}"
                self.sums[key] = self.sums[key] + value.detach() if key in self.sums else value.detach()
                self.counts[key] += 1
        return player

    def clip(self, mover: Mover) -> None:
        """Limit the norm of the player's gradients. `Fabric.clip_gradients` would copy the whole model each time."""
        self.fabric.strategy.clip_gradients_norm(
            self.model, mover.optimizer.optimizer, max_norm=self.options.clip, error_if_nonfinite=False
        )

    def seed(self) -> None:
        """Make the coming round's randomness a function of (seed, rank, step)."""
        seed = hash((self.options.seed, self.fabric.global_rank, self.step)) & (2**63 - 1)
        torch.default_generator.manual_seed(seed)  # 1 us; torch.manual_seed visits every backend in 90
        if self.fabric.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def losses(self) -> dict[str, float]:
        """Mean of every loss term since the last call, over all processes; only here is the device waited for."""
        if not self.sums:
            return {}
        means = torch.stack([total / self.counts[key] for key, total in self.sums.items()])
        if self.fabric.world_size > 1:  # so that all processes stop together if a loss is no longer finite
            means = cast(Tensor, self.fabric.all_reduce(means, reduce_op="mean"))
        named = dict(zip(self.sums, means.tolist(), strict=True))
        self.sums.clear()
        self.counts.clear()
        return named

    def state_dict(self) -> dict[str, Any]:
        """Everything but weights: plain numbers and tensors."""
        return {
            "step": self.step,
            "position": self.batches.position,
            "optimizers": {name: mover.optimizer.state_dict() for name, mover in self.movers.items()},
            "precision": self.fabric.strategy.precision.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.step, self.batches.position = state["step"], state["position"]
        for name, mover in self.movers.items():
            mover.optimizer.load_state_dict(state["optimizers"][name])
            mover.lay_out()
        self.fabric.strategy.precision.load_state_dict(state["precision"])
