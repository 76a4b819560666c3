"""Adversarial losses: what a discriminator's outputs cost each player, as scalars in float32 or wider.

Outputs are logits, or whatever real number the paper's discriminator gives; there is no sigmoid in any network. A
divergence is bounded by a game, too, whose three functions of numbers are in `DIVERGENCES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor], Tensor]
DivergenceName = Literal["kl", "reverse-kl", "pearson", "neyman", "squared-hellinger", "jeffrey", "jensen-shannon"]
ObjectiveName = Literal["non-saturating", "minimax", "least-squares", "hinge", "wasserstein"] | DivergenceName


def mean(cost: Loss) -> Loss:
    """The mean of an elementwise cost of outputs, whatever precision these come in."""

    @wraps(cost)
    def loss(output: Tensor) -> Tensor:
        return cost(output if output.dtype == torch.float64 else output.float()).mean()

    return loss


@mean
def real(output: Tensor) -> Tensor:
    """-log D: low where the discriminator says real (Goodfellow et al., 2014, eq. 1; for a generator, section 3)."""
    return F.softplus(-output)


@mean
def fake(output: Tensor) -> Tensor:
    """-log(1 - D): low where the discriminator says fake (Goodfellow et al., 2014, eq. 1)."""
    return F.softplus(output)


@mean
def saturating(output: Tensor) -> Tensor:
    """log(1 - D), whose gradient vanishes where the discriminator is sure (Goodfellow et al., 2014, eq. 1)."""
    return -F.softplus(output)


@mean
def high(output: Tensor) -> Tensor:
    """-D: low where the output is high (Arjovsky et al., 2017, arXiv:1701.07875, eq. 2)."""
    return -output


@mean
def low(output: Tensor) -> Tensor:
    """D: low where the output is."""
    return output


@mean
def hinge_real(output: Tensor) -> Tensor:
    """max(0, 1 - D) (Miyato et al., 2018, arXiv:1802.05957, eq. 16)."""
    return F.relu(1 - output)


@mean
def hinge_fake(output: Tensor) -> Tensor:
    """max(0, 1 + D) (Miyato et al., 2018, arXiv:1802.05957, eq. 16)."""
    return F.relu(1 + output)


def squared_to(target: float) -> Loss:
    """(D - target)^2 / 2 (Mao et al., 2017, arXiv:1611.04076, eq. 9)."""
    return mean(lambda output: 0.5 * (output - target).square())


def jeffrey_conjugate(t: Tensor) -> Tensor:
    """sup over u of u t - f(u) for f(u) = (u - 1) log u.

    It is taken at log u = -s with exp(s) + s = 1 - t, which Newton's steps find from above. The supremum's derivative
    is u itself, so that no gradient need pass through the steps.
    """
    y = 1 - t.detach()
    s = torch.where(y > 1, y.clamp(min=1).log(), y.clamp(max=1))
    for _ in range(8):
        s = s - (s.exp() + s - y) / (s.exp() + 1)
    return (-s).exp() * (t + s) - s


class Divergence(NamedTuple):
    """An f-divergence E_q f(p / q) as a game of outputs v (Nowozin et al., 2016, arXiv:1606.00709, tables 1, 2, 6).

    The bound that the discriminator raises is E_p g_f(v) - E_q f*(g_f(v)), with equality at g_f(v) = f'(p / q).
    """

    generator: Loss  # f(u), convex, 0 at 1
    activation: Loss  # g_f(v), in the domain of f*
    conjugate: Loss  # f*(g_f(v)), simplified so that nothing overflows before it must


DIVERGENCES: Mapping[DivergenceName, Divergence] = {
    "kl": Divergence(lambda u: u * u.log(), lambda v: v, lambda v: (v - 1).exp()),
    "reverse-kl": Divergence(lambda u: -u.log(), lambda v: -(-v).exp(), lambda v: v - 1),
    "pearson": Divergence(lambda u: (u - 1).square(), lambda v: v, lambda v: v.square() / 4 + v),
    "neyman": Divergence(lambda u: (1 - u).square() / u, lambda v: 1 - (-v).exp(), lambda v: 2 - 2 * (-v / 2).exp()),
    "squared-hellinger": Divergence(lambda u: (u.sqrt() - 1).square(), lambda v: 1 - (-v).exp(), lambda v: v.exp() - 1),
    "jeffrey": Divergence(lambda u: (u - 1) * u.log(), lambda v: v, jeffrey_conjugate),
    "jensen-shannon": Divergence(
        lambda u: u * u.log() - (u + 1) * ((u + 1) / 2).log(),
        lambda v: math.log(2) - F.softplus(-v),
        lambda v: F.softplus(v) - math.log(2),
    ),
}


class Objective(NamedTuple):
    """What each player minimises: the discriminator real(D(x)) + fake(D(G(z))), the generator generator(D(G(z)))."""

    real: Loss
    fake: Loss
    generator: Loss
    undecided: float | None = 0.0  # the best output where real and generated images are as likely; None if any may be


def objective(name: ObjectiveName) -> Objective:
    """The objective of that name; of a divergence, the generator raises g_f (Nowozin et al., 2016, section 3.2)."""
    match name:
        case "non-saturating":
            return Objective(real, fake, real)
        case "minimax":
            return Objective(real, fake, saturating)
        case "least-squares":
            return Objective(squared_to(1), squared_to(0), squared_to(1), undecided=0.5)
        case "hinge":
            return Objective(hinge_real, hinge_fake, high)
        case "wasserstein":
            return Objective(high, low, high, undecided=None)
        case _:
            _, activation, conjugate = DIVERGENCES[name]
            raised = mean(lambda v: -activation(v))
            return Objective(raised, mean(conjugate), raised, undecided=1.0 if name == "kl" else 0.0)
