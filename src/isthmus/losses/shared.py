"""One forward pass for the losses of several players who move at once.

All their gradients are taken at the same weights, so what was computed forwards may serve them all. But a backward pass
frees the graph that it goes through, and must reach its player alone. So the graph is cut at what one network makes and
another judges: losses go back through the judge to the cut, and `joined` carries them over, to the maker. What is
behind a cut must not be compiled, since its graph is gone through more than once.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def cut(made: Tensor) -> Tensor:
    """The same values, any shape, where a graph begins anew."""
    return made.detach().requires_grad_()


def joined(losses: Mapping[str, Tensor], *cuts: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """Losses of what was cut as losses of what made it, by pairs (made, cut(made)): their values, their sum's gradient.

    The graph behind the cuts is kept, for other losses.
    """
    made, judged = zip(*cuts, strict=True)
    slopes = torch.autograd.grad(torch.stack([*losses.values()]).sum(), judged, retain_graph=True)
    carried = [((value - value.detach()) * slope).sum() for value, slope in zip(made, slopes, strict=True)]  # all 0
    first, *others = ((name, loss.detach()) for name, loss in losses.items())
    return {first[0]: first[1] + torch.stack(carried).sum(), **dict(others)}
