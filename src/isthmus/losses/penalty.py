"""What bounds a discriminator's slope: penalties on its gradient, as scalars in float32 or wider, and clipped weights.

Penalties take what gives outputs for inputs, [batch, ...] each: an example's output must depend on no other example,
or its gradient is not its own. They differentiate a gradient, so that what they take must not be compiled.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Critic = Callable[[Tensor], Tensor]


def squared_norms(outputs: Tensor, *inputs: Tensor) -> Tensor:
    """|d output / d inputs|^2 of each example, [batch]; all `inputs` require gradients and are one vector here."""
    gradients = torch.autograd.grad(outputs.sum(), inputs, create_graph=True)  # of the sum: each example its own
    wide = (g if g.dtype == torch.float64 else g.float() for g in gradients)
    return torch.stack([g.square().flatten(1).sum(1) for g in wide]).sum(0)


def zero_centred(outputs: Tensor, *inputs: Tensor) -> Tensor:
    """E|grad D|^2 / 2 at `inputs`, which require gradients (Mescheder et al., 2018, arXiv:1801.04406, eq. 9, 10).

    On real data this is R1, on generated data R2.
    """
    return 0.5 * squared_norms(outputs, *inputs).mean()


def norm_to(critic: Critic, x: Tensor, target: float = 1.0, *, one_sided: bool = False) -> Tensor:
    """E(|grad D(x)| - target)^2; one-sided, only what is above the target counts (Gulrajani et al., 2017, sec. 4)."""
    x = x.detach().requires_grad_(True)
    excess = (squared_norms(critic(x), x) + 1e-12).sqrt() - target  # the root has no derivative at 0
    return (excess.clamp(min=0) if one_sided else excess).square().mean()


def between(a: Tensor, b: Tensor) -> Tensor:
    """A random place on the way from each example of `a` to that of `b`, one place for all its values."""
    return torch.lerp(a, b.to(a.dtype), torch.rand(len(a), *[1] * (a.ndim - 1), device=a.device, dtype=a.dtype))


def gradient_penalty(
    critic: Critic, real: Tensor, fake: Tensor, target: float = 1.0, *, one_sided: bool = False
) -> Tensor:
    """`norm_to` at random places between real and generated examples (Gulrajani et al., 2017, eq. 3)."""
    return norm_to(critic, between(real, fake), target, one_sided=one_sided)


def dragan(critic: Critic, real: Tensor, target: float = 1.0) -> Tensor:
    """`norm_to` around real examples (Kodali et al., 2017, arXiv:1705.07215, eq. 1), as the authors' code has it.

    The places lie between each example and itself with uniform noise up to half the deviation of the batch.
    """
    near = real + 0.5 * real.std(correction=0) * torch.rand_like(real)
    return norm_to(critic, between(real, near), target)


@torch.no_grad()
def clip_weights(net: nn.Module, largest: float) -> None:
    """Bring every parameter, those of normalisations too, into [-largest, largest] (Arjovsky et al., 2017, alg. 1)."""
    parameters: list[Tensor] = [*net.parameters()]
    torch._foreach_clamp_min_(parameters, -largest)
    torch._foreach_clamp_max_(parameters, largest)
