"""What one request has at hand: a model on duty, the queue before it, and limits."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from isthmus.apps.forms import to_model
from isthmus.apps.serve.limits import Limits, opened
from isthmus.apps.serve.queue import Queue, Ticket
from isthmus.apps.serve.rows import Function, Row
from isthmus.core import Spec

if TYPE_CHECKING:
    from isthmus.apps.serve.duty import Duty


class Desk:
    """Where one operation of one model is done."""

    def __init__(self, duty: Duty, operation: str, queue: Queue, limits: Limits) -> None:
        self.name, self.queue, self.limits, self.ticket = duty.name, queue, limits, Ticket()
        self.trained, self.offer = duty.ready(), duty.offer(operation)

    @property
    def model(self) -> Any:
        """The bare model: what it can do is known, since the operation is offered."""
        return self.trained.model

    async def image(self, data: bytes, spec: Spec) -> Tensor:
        """A picture as the model sees it in a domain: float [channels, height, width] in [-1, 1]."""

        def seen() -> Tensor:
            return to_model(opened(data, spec, self.limits), spec, self.trained.fit)

        return await asyncio.to_thread(seen)  # decoding keeps nobody else waiting

    async def play(
        self, what: Sequence[str], function: Function, rows: Sequence[Row], seed: int = 0, settings: Hashable = None
    ) -> Tensor:
        """The function of the model that `what` and `settings` name, of all rows; row k draws with the seed + k."""
        seeds = [seed + k for k in range(len(rows))]
        name = (self.name, *what)
        return await self.queue.run(name, settings, function, rows, seeds, device=self.model.device, ticket=self.ticket)
