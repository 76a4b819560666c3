"""How the activations, or the weights, of a network are normalised."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

Norm = Literal["batch", "layer", "instance", "spectral", "none"]
Net = TypeVar("Net", bound=nn.Module)

FIRST = 15  # power iterations before the first forward pass


class Standardise(torch.autograd.Function):
    """Maps less the mean of each, over its deviation; and the inverse of that deviation, [batch, channels, 1, 1].

    The latter is an output so that gradients of gradients are exact.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        y = x - x.mean((2, 3), keepdim=True)
        rate = (y.square().mean((2, 3), keepdim=True) + eps).rsqrt()
        y *= rate
        ctx.save_for_backward(y, rate)
        ctx.set_materialize_grads(False)
        return y, rate

    @staticmethod
    def backward(ctx: Any, g: Tensor | None, g_rate: Tensor | None) -> tuple[Tensor, None]:
        y, rate = ctx.saved_tensors
        along = 0 if g_rate is None else g_rate * rate / y.shape[2:].numel()
        if g is None:
            return -rate * along * y, None
        along = along + (g * y).mean((2, 3), keepdim=True)
        g = rate * g
        g -= g.mean((2, 3), keepdim=True)
        return g.addcmul_(rate * along, y, value=-1), None


class Instance(nn.GroupNorm):
    """Each channel of each example by itself; maps of a single pixel, of which nothing would be left, stay the same.

    Where channels are last in memory, the gradient of torch's own takes ten times as long as this on a CPU.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2:].numel() == 1:
            y = x
        elif x.device.type != "cpu" or x.is_contiguous():
            return super().forward(x)
        else:
            y, _ = Standardise.apply(x, self.eps)
        if self.affine:
            y = torch.addcmul(self.bias[:, None, None], y, self.weight[:, None, None])
        return y.to(x.dtype)  # autocast leaves gain and bias in float32


def normalised(norm: Norm, channels: int, *, maps: bool = True, affine: bool = True) -> nn.Module:
    """What normalises maps [batch, channels, height, width], or vectors [batch, channels]; these have no instance norm.

    `affine` is whether each channel has a gain and a bias. Nothing where it is not activations that are normalised: see
    `constrained`.
    """
    match norm:
        case "batch":
            return (nn.BatchNorm2d if maps else nn.BatchNorm1d)(channels, affine=affine)
        case "layer":
            return nn.GroupNorm(1, channels, affine=affine)
        case "instance" if maps:
            return Instance(channels, channels, affine=affine)
        case _:
            return nn.Identity()


def centred(norm: Norm) -> bool:
    """Whether the norm takes away each channel's mean, so that a bias before it would do nothing."""
    return norm in ("batch", "instance")


class Spectral(nn.Module):
    """A weight divided by its largest singular value, as a matrix with a row for each output: any shape to the same.

    One power iteration in each forward pass, which only training remembers; gradients pass through the weight alone
    (Miyato et al., 2018, arXiv:1802.05957, algorithm 1). The vectors have length 1 whatever is done to the buffer, so
    that an average over the training is normalised, too.
    """

    u: Tensor

    def __init__(self, weight: Tensor, outputs: int = 0) -> None:
        """`outputs` is the dimension of the weight that counts the outputs."""
        super().__init__()
        self.outputs = outputs
        self.register_buffer("u", torch.randn(weight.shape[outputs], device=weight.device, dtype=weight.dtype))
        for _ in range(FIRST):
            self(weight)

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):
            matrix = weight.transpose(0, self.outputs).flatten(1)
            with torch.no_grad():
                v = F.normalize(matrix.mT @ self.u, dim=0)
                u = F.normalize(matrix @ v, dim=0)
                if self.training:
                    self.u.copy_(u)
            return weight / (u @ matrix @ v)


def constrained(net: Net, norm: Norm) -> Net:
    """The network, each weight of which is from now on divided by its largest singular value if the norm is spectral.

    To be initialised before: a weight is then computed, and what is written into it is lost.
    """
    if norm == "spectral":
        for layer in list(net.modules()):
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding):
                outputs = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
                register_parametrization(layer, "weight", Spectral(layer.weight, outputs))
    return net
