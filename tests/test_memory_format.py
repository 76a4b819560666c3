"""Kernels lie in memory as convolutions are fastest with, and what optimisers store lies as they do."""

import torch

from isthmus.core import Spec
from isthmus.models.gans.dcgan import DCGAN
from tiny import built, trainer


def test_kernels_are_channels_last_with_the_values_that_were_drawn():
    torch.manual_seed(0)
    model = DCGAN(features=8).build(Spec(3, 16, 16))
    torch.manual_seed(0)
    plain = DCGAN(features=8)
    plain.networks(Spec(3, 16, 16))
    for laid, drawn in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.equal(laid, drawn)
        assert laid.dim() < 4 or laid.is_contiguous(memory_format=torch.channels_last)
    assert any(not p.is_contiguous(memory_format=torch.channels_last) for p in plain.parameters() if p.dim() == 4)


def test_a_state_in_another_order_is_gone_on_from_as_it_was():
    whole, stopped = (trainer(built("cyclegan").train()) for _ in range(2))
    whole.round()
    stopped.round()
    state = stopped.state_dict()
    for optimizer in state["optimizers"].values():
        for stored in optimizer["state"].values():
            stored |= {name: value.contiguous() for name, value in stored.items()}
    stopped.load_state_dict(state)
    whole.round()
    stopped.round()
    assert all(map(torch.equal, stopped.model.parameters(), whole.model.parameters()))
