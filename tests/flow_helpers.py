"""For the tests of flows and of their layers."""

import math

import torch


@torch.no_grad()
def trained(module):
    """The module as training might leave it: no weight is where it began, none is 0."""
    torch.manual_seed(1)
    for parameter in module.parameters():  # each output of a layer changes by about as much, however many inputs it has
        parameter.add_(0.3 * torch.randn(parameter.shape, dtype=parameter.dtype) / math.sqrt(parameter[0].numel()))
    return module


def true_log_det(function, x):
    """log|det| of the Jacobian of one example, by autograd."""
    jacobian = torch.autograd.functional.jacobian(lambda v: function(v.view_as(x)).flatten(), x.flatten())
    return torch.linalg.slogdet(jacobian)[1].item()
