"""Layers that can be inverted, each with the determinant of its Jacobian.

`forward` leads from images towards codes: [batch, channels, height, width] to as many values, with log|det dy/dx| in
nats, [batch] or a scalar where it is the same for all images. `inverse` leads back. Both directions take equally long.
The values themselves stay in float32 in mixed precision, so that nothing is lost on the way; the networks inside
couplings do not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAST = 0.1  # scale of a coupling


class Invertible(nn.Module, ABC):
    """A layer x -> y that can be inverted."""

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """y and log|det dy/dx|."""

    @abstractmethod
    def inverse(self, y: Tensor) -> Tensor:
        """The x whose y this is."""


class Chain(Invertible):
    """Layers one after the other."""

    def __init__(self, *layers: Invertible) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(())
        for layer in self.layers:
            x, log_det = layer(x)
            total = total + log_det
        return x, total

    def inverse(self, y: Tensor) -> Tensor:
        for layer in reversed(self.layers):
            y = layer.inverse(y)  # type: ignore[operator]
        return y


def standardising(x: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithm of the scale, and bias, [channels] each, that give the channels of `x` mean 0 and deviation 1.

    A channel that does not vary keeps its scale.
    """
    deviation, mean = torch.std_mean(x, dim=(0, 2, 3), correction=0)
    deviation = torch.where(deviation > 1e-6, deviation, 1.0)
    return -deviation.log(), -mean / deviation


class ActNorm(Invertible):
    """y = s * x + b with a scale and a bias for each channel (Kingma and Dhariwal, 2018, section 3.1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x * self.log_scale.exp() + self.bias, self.log_scale.sum() * x[0, 0].numel()

    def inverse(self, y: Tensor) -> Tensor:
        return (y - self.bias) * (-self.log_scale).exp()

    @torch.no_grad()
    def measure(self, x: Tensor) -> None:
        """Give the outputs for `x` mean 0 and deviation 1."""
        for ours, measured in zip((self.log_scale, self.bias), standardising(x), strict=True):
            ours.copy_(measured[:, None, None])


class ActNormConv(nn.Module):
    """A convolution and a scale and bias for each of its channels, as one convolution: sides stay as they are."""

    def __init__(self, before: int, after: int, kernel: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.05 * torch.randn(after, before, kernel, kernel))
        self.log_scale, self.bias = nn.Parameter(torch.zeros(after)), nn.Parameter(torch.zeros(after))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.log_scale.exp()[:, None, None, None]
        return convolved(x, weight, self.bias)

    @torch.no_grad()
    def measure(self, x: Tensor) -> None:
        """Give the outputs for `x` mean 0 and deviation 1."""
        log_scale, bias = standardising(F.conv2d(x, self.weight, padding="same"))
        self.log_scale.copy_(log_scale)
        self.bias.copy_(bias)


class ZeroConv(nn.Module):
    """A 3x3 convolution that gives 0 at first, with a scale exp(3 l) for each of its channels, l learned."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(after, before, 3, 3))
        self.log_scale, self.bias = nn.Parameter(torch.zeros(after)), nn.Parameter(torch.zeros(after))

    def forward(self, x: Tensor) -> Tensor:
        scale = (3 * self.log_scale).exp()
        return convolved(x, self.weight * scale[:, None, None, None], self.bias * scale)


@torch.no_grad()
def initialise(flow: nn.Module, x: Tensor) -> None:
    """Let each actnorm standardise what reaches it when `x` passes through `flow`, those before it having done so."""

    def measure(layer: nn.Module, inputs: tuple[Tensor]) -> None:
        layer.measure(*inputs)  # type: ignore[operator]

    norms = [layer for layer in flow.modules() if isinstance(layer, ActNorm | ActNormConv)]
    hooks = [layer.register_forward_pre_hook(measure) for layer in norms]
    flow(x)
    for hook in hooks:
        hook.remove()


class InvertibleConv(Invertible):
    """y = W x at each place, W [channels, channels] a rotation at first (Kingma and Dhariwal, 2018, section 3.2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.matrix = nn.Parameter(rotation(channels))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return mixed(self.matrix, x), torch.linalg.slogdet(self.matrix)[1] * x[0, 0].numel()

    def inverse(self, y: Tensor) -> Tensor:
        return mixed(torch.linalg.inv(self.matrix), y)


class InvertibleConvLU(Invertible):
    """The same with W = P L (U + diag(s)), whose determinant is that of s (eq. 10). P and the signs of s stay fixed."""

    permutation: Tensor
    sign: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        permutation, lower, upper = torch.linalg.lu(rotation(channels))
        self.register_buffer("permutation", permutation)
        self.register_buffer("sign", upper.diagonal().sign())
        self.log_scale = nn.Parameter(upper.diagonal().abs().log())
        self.lower, self.upper = nn.Parameter(lower.tril(-1)), nn.Parameter(upper.triu(1))

    def factors(self) -> tuple[Tensor, Tensor]:
        """L with its diagonal of ones, and U + diag(s)."""
        lower = self.lower.tril(-1) + torch.eye(len(self.lower), device=self.lower.device, dtype=self.lower.dtype)
        return lower, self.upper.triu(1) + torch.diag(self.sign * self.log_scale.exp())

    @property
    def matrix(self) -> Tensor:
        lower, upper = self.factors()
        with full_precision(lower):
            return self.permutation @ lower @ upper

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return mixed(self.matrix, x), self.log_scale.sum() * x[0, 0].numel()

    def inverse(self, y: Tensor) -> Tensor:
        lower, upper = self.factors()
        above = torch.linalg.solve_triangular(lower, self.permutation.T, upper=False, unitriangular=True)
        return mixed(torch.linalg.solve_triangular(upper, above, upper=True), y)


class Permutation(Invertible):
    """The channels in another order, which stays as it is."""

    order: Tensor

    def __init__(self, order: Tensor) -> None:
        super().__init__()
        self.register_buffer("order", order)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x[:, self.order], x.new_zeros(())

    def inverse(self, y: Tensor) -> Tensor:
        return y[:, self.order.argsort()]


def shuffle(channels: int) -> Permutation:
    """A random order of the channels."""
    return Permutation(torch.randperm(channels))


def reverse(channels: int) -> Permutation:
    """The channels from last to first."""
    return Permutation(torch.arange(channels).flip(0))


class Coupling(Invertible):
    """Half of the channels scaled and shifted as the other half says (Dinh et al., 2017, arXiv:1605.08803).

    The scale lies between LEAST and 1: it cannot grow without bound, nor the inverse, which divides by it, magnify
    rounding errors without bound (Behrmann et al., 2021, arXiv:2006.09347). Without `affine` it is 1.
    """

    def __init__(self, channels: int, hidden: int, affine: bool) -> None:
        super().__init__()
        self.affine = affine
        self.net = nn.Sequential(
            ActNormConv(channels // 2, hidden, 3),
            nn.ReLU(),
            ActNormConv(hidden, hidden, 1),
            nn.ReLU(),
            ZeroConv(hidden, channels if affine else channels // 2),
        )

    def scale_and_shift(self, other: Tensor) -> tuple[Tensor, Tensor]:
        """What the unchanged half says about the other."""
        said = self.net(other).to(other.dtype)
        if not self.affine:
            return torch.ones_like(said), said
        scale, shift = said.chunk(2, dim=1)
        return LEAST + (1 - LEAST) * torch.sigmoid(scale + 2), shift

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        changing, other = x.chunk(2, dim=1)
        scale, shift = self.scale_and_shift(other)
        return torch.cat([changing * scale + shift, other], dim=1), scale.log().flatten(1).sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        changed, other = y.chunk(2, dim=1)
        scale, shift = self.scale_and_shift(other)
        return torch.cat([(changed - shift) / scale, other], dim=1)


class Split(Invertible):
    """The second half of the channels standardised by the Gaussian that the first half expects of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.prior = ZeroConv(channels // 2, channels)

    def expected(self, first: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the deviation."""
        mean, log_scale = self.prior(first).to(first.dtype).chunk(2, dim=1)
        return mean, log_scale

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first, second = x.chunk(2, dim=1)
        mean, log_scale = self.expected(first)
        return torch.cat([first, (second - mean) * (-log_scale).exp()], dim=1), -log_scale.flatten(1).sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        first, second = y.chunk(2, dim=1)
        mean, log_scale = self.expected(first)
        return torch.cat([first, mean + second * log_scale.exp()], dim=1)


def rotation(channels: int) -> Tensor:
    """A random orthogonal matrix [channels, channels]."""
    return torch.linalg.qr(torch.randn(channels, channels))[0]


def full_precision(x: Tensor) -> torch.autocast:
    """Inside the block, mixed precision is off."""
    return torch.autocast(x.device.type, enabled=False)


def mixed(matrix: Tensor, x: Tensor) -> Tensor:
    """The channels of `x` at each place, mixed by `matrix` [channels, channels]."""
    with full_precision(x):
        return (matrix.expand(len(x), -1, -1) @ x.flatten(2)).unflatten(2, x.shape[2:])


def convolved(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`x` convolved with `weight` [after, before, kernel, kernel], kernel 1 or 3, its sides kept by zeros around it.

    As one product of matrices, since one side of a coupling's kernels has few channels: the places around each place
    are laid side by side if few channels enter, and what each place adds to those around it is added up if few leave.
    """
    after, before, kernel, _ = weight.shape
    batch, _, height, width = x.shape
    if kernel == 3 and after < before:
        shares = weight.permute(2, 3, 0, 1).flatten(0, 2) @ places(x).T
        sums = added_up(shares.to(bias.dtype).view(3, 3, after, batch, height, width))
        return (sums + bias[:, None, None, None]).transpose(0, 1)
    if kernel == 3:
        x, weight = around(x.transpose(0, 1)).flatten(0, 2).transpose(0, 1), weight.permute(0, 2, 3, 1)
    y = F.linear(places(x), weight.flatten(1), bias)
    return y.view(batch, height, width, after).permute(0, 3, 1, 2)


def places(x: Tensor) -> Tensor:
    """Images [batch, channels, height, width] as a matrix with a row for each place."""
    return x.permute(0, 2, 3, 1).flatten(0, 2)


def around(x: Tensor) -> Tensor:
    """[3, 3, ..., height, width]: `x` [..., height, width] moved so that each place has what is at its 3x3, or 0."""
    for down, right in ((0, 1), (1, 0)):
        x = torch.stack([F.pad(x, (right, -right, down, -down)), x, F.pad(x, (-right, right, -down, down))])
    return x


def added_up(x: Tensor) -> Tensor:
    """[..., height, width]: the parts of `x` [3, 3, ..., height, width], each moved as by `around`, added up."""
    for down, right in ((1, 0), (0, 1)):
        first, middle, last = x.unbind()
        x = F.pad(first, (right, -right, down, -down)) + middle + F.pad(last, (-right, right, -down, down))
    return x
