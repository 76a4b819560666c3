"""One forward pass for the losses of several players who move at once.

All their gradients are taken at the same weights, so what was computed forwards may serve them all. But a backward pass
frees the graph that it goes through, and must reach its player alone. So the graph is cut at what one network makes and
another judges: losses go back through the judge to the cut, and `joined` carries them over, to the maker. What is
behind a cut must not be compiled, since its graph is gone through more than once.

Players who lower the same losses need no cut: `divided` gives each its gradient, from one backward pass for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn


def cut(made: Tensor) -> Tensor:
    """The same values, any shape, where a graph begins anew."""
    return made.detach().requires_grad_()


def joined(losses: Mapping[str, Tensor], *cuts: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """Losses of what was cut as losses of what made it, by pairs (made, cut(made)): their values, their sum's gradient.

    The graph behind the cuts is kept, for other losses.
    """
    made, judged = zip(*cuts, strict=True)
    slopes = torch.autograd.grad(torch.stack([*losses.values()]).sum(), judged, retain_graph=True)
    return sloping(losses, made, slopes)


def divided(losses: Mapping[str, Tensor], *nets: nn.Module) -> list[dict[str, Tensor]]:
    """Losses that several networks lower at once, for each network: their values, their sum's gradient for it alone.

    Networks that do not learn, as an average of weights, have the values.
    """
    owned = [[p for p in net.parameters() if p.requires_grad] for net in nets]
    learning = [p for mine in owned for p in mine]
    slopes = iter(torch.autograd.grad(torch.stack([*losses.values()]).sum(), learning) if learning else ())
    return [sloping(losses, mine, [next(slopes) for _ in mine]) for mine in owned]


def sloping(losses: Mapping[str, Tensor], values: Iterable[Tensor], slopes: Iterable[Tensor]) -> dict[str, Tensor]:
    """The losses as numbers, whose sum has these slopes with respect to the `values`."""
    carried = [((value - value.detach()) * slope).sum() for value, slope in zip(values, slopes, strict=True)]  # all 0
    first, *others = ((name, loss.detach()) for name, loss in losses.items())
    return {first[0]: torch.stack([first[1], *carried]).sum(), **dict(others)}
