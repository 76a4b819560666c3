"""The parts of Improved GAN (Salimans et al., 2016, arXiv:1606.03498): what makes a game steadier."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized


class MinibatchDiscrimination(nn.Module):
    """Features [batch, n] with how near each example is to the others, by `kernels` distances: [batch, n + kernels].

    o_b = sum_j exp(-|M_ib - M_jb|_1) over the others j, where M = features T, [batch, kernels, dims] (section 3.2).
    """

    def __init__(self, features: int, kernels: int = 100, dims: int = 5) -> None:
        super().__init__()
        self.tensor = nn.Linear(features, kernels * dims, bias=False)
        self.bias = nn.Parameter(-torch.ones(kernels))
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, (self.near(x) + self.bias).to(x.dtype)], dim=1)

    def near(self, x: Tensor) -> Tensor:
        """o [batch, kernels]."""
        return (-self.distances(x)).exp().sum(1).T - 1  # without oneself, at distance 0

    def distances(self, x: Tensor) -> Tensor:
        """|M_ib - M_jb|_1 as [kernels, batch, batch]."""
        m = self.tensor(x).float().unflatten(1, (-1, self.dims)).transpose(0, 1)
        return torch.cdist(m, m, p=1.0)

    @torch.no_grad()
    def measure(self, x: Tensor) -> None:
        """Bring the nearest of the others to distance 2 in the mean, and o to mean 0, as the authors' code does."""
        others = self.distances(x) + 1e6 * torch.eye(len(x), device=x.device)
        scale = 2 / (others.amin(2).mean(1) + 1e-6)
        self.tensor.weight.mul_(scale.repeat_interleave(self.dims)[:, None])
        self.bias.copy_(-self.near(x).mean(0))


@torch.no_grad()
def initialise(net: nn.Module, x: Tensor) -> None:
    """Let each weight-normalised layer give outputs of mean 0 and deviation 1 when `x` passes through `net`.

    Those before it do so already (Salimans and Kingma, 2016, arXiv:1602.07868, section 3). Minibatch discrimination is
    brought to its scale, too.
    """
    layers = [m for m in net.modules() if is_parametrized(m) or isinstance(m, MinibatchDiscrimination)]
    hooks = [layer.register_forward_pre_hook(measure) for layer in layers]
    net(x)
    for hook in hooks:
        hook.remove()


def measure(layer: Any, inputs: tuple[Tensor]) -> None:
    """Set the lengths of the layer's weights and its biases, or its own scale, by what reaches it."""
    if isinstance(layer, MinibatchDiscrimination):
        return layer.measure(*inputs)
    outputs = layer.forward(*inputs).transpose(0, 1).flatten(1)
    deviation, mean = torch.std_mean(outputs, dim=1)
    length = layer.parametrizations.weight.original0
    length.div_(deviation.view_as(length) + 1e-6)
    layer.bias.sub_(mean).div_(deviation + 1e-6)


def flat(net: nn.Module) -> Tensor:
    """All parameters as one vector."""
    return torch.cat([parameter.flatten() for parameter in net.parameters()])


class History(nn.Module):
    """The mean of a network's parameters over its past, and how far it is from it (section 3.3)."""

    mean: Tensor
    count: Tensor

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros_like(flat(net).detach()))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, net: nn.Module) -> Tensor:
        """|theta - mean of theta over all calls, this one included|^2; the mean is a constant to the gradient."""
        theta = flat(net)
        self.count += 1
        self.mean.lerp_(theta.detach(), 1 / self.count)
        return (theta - self.mean).square().sum()


class VirtualBatchNorm(nn.Module):
    """Vectors or maps normalised by the statistics of a reference batch and of themselves alone (section 3.5).

    The first `reference` of a batch are the reference.
    """

    def __init__(self, channels: int, reference: int) -> None:
        super().__init__()
        self.reference = reference
        self.gain, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        count, values = self.reference, x.float()  # squares of fewer digits would cancel
        places = list(range(2, x.ndim))
        both = torch.stack([values, values.square()])
        both = both.mean([1 + place for place in places], keepdim=True) if places else both  # moments of each example
        reference = both[:, :count].mean(1, keepdim=True)
        each = (reference * count + both[:, count:]) / (count + 1)
        mean, square = torch.cat([reference.expand_as(both[:, :count]), each], dim=1)
        shape = [1, -1, *[1] * len(places)]
        normal = (values - mean) / ((square - mean.square()).clamp(min=0) + 1e-5).sqrt()
        return (self.gain.view(shape) * normal + self.bias.view(shape)).to(x.dtype)


class Virtual(nn.Module):
    """A network whose batch normalisations become virtual ones, with a reference batch: [batch, inputs] as before."""

    reference: Tensor

    def __init__(self, net: nn.Module, reference: Tensor) -> None:
        super().__init__()
        for name, norm in list(net.named_modules()):
            if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                net.set_submodule(name, VirtualBatchNorm(norm.num_features, len(reference)))
        self.net = net
        self.register_buffer("reference", reference)

    def forward(self, z: Tensor) -> Tensor:
        return self.net(torch.cat([self.reference, z]))[len(self.reference) :]
