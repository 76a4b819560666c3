"""Several losses through one forward pass: the same values and gradients as a pass for each."""

import torch
from torch import nn

from isthmus.losses.shared import cut, divided, joined


def networks():
    torch.manual_seed(0)
    return nn.Linear(3, 2).double(), nn.Linear(2, 2).double(), torch.randn(4, 3, dtype=torch.float64)


def test_a_loss_behind_a_cut_is_one_of_what_made_it():
    maker, judge, x = networks()
    made = maker(x)
    seen = cut(made)
    out = judge(seen)
    first, second = out.square().sum(), out.exp().mean()
    losses = joined({"first": first, "second": second}, (made, seen))
    assert {name: loss.item() for name, loss in losses.items()} == {"first": first.item(), "second": second.item()}
    sum(losses.values()).backward(inputs=[*maker.parameters()])
    ours = [p.grad.clone() for p in maker.parameters()]
    whole = judge(maker(x))
    theirs = torch.autograd.grad(whole.square().sum() + whole.exp().mean(), [*maker.parameters()])
    torch.testing.assert_close(ours, [*theirs])


def test_the_judge_keeps_its_graph_and_learns_at_the_weights_it_judged_with():
    maker, judge, x = networks()
    made = maker(x)
    seen = cut(made)
    loss = judge(seen).square().sum()
    (carried,) = joined({"loss": -loss}, (made, seen)).values()
    carried.backward(inputs=[*maker.parameters()])
    with torch.no_grad():
        for p in maker.parameters():
            p.add_(1.0)  # a step of the maker, between the turns
    ours = torch.autograd.grad(loss, [*judge.parameters()])
    theirs = torch.autograd.grad(judge(made.detach()).square().sum(), [*judge.parameters()])
    torch.testing.assert_close(ours, theirs)


def test_no_gradient_passes_a_cut_by_itself():
    maker, judge, x = networks()
    made = maker(x)
    seen = cut(made)
    judge(seen).sum().backward()
    assert all(p.grad is None for p in maker.parameters())


def test_over_several_cuts_and_two_in_a_row():
    maker, judge, x = networks()
    z, other = maker(x), maker(-x)
    code = cut(z)
    made = judge(code)
    seen, noticed = cut(made), cut(other)
    loss = joined({"loss": seen.prod(1).sum() + noticed.square().sum()}, (made, seen), (other, noticed))
    near = joined({"loss": seen.prod(1).sum()}, (made, seen))
    (far,) = joined(near, (z, code)).values()
    ours = torch.autograd.grad(far, [*maker.parameters()])
    theirs = torch.autograd.grad(judge(maker(x)).prod(1).sum(), [*maker.parameters()])
    torch.testing.assert_close(ours, theirs)
    reached = torch.autograd.grad(loss["loss"], [*judge.parameters(), *maker.parameters()])
    whole = judge(maker(x).detach()).prod(1).sum() + maker(-x).square().sum()
    torch.testing.assert_close(reached, torch.autograd.grad(whole, [*judge.parameters(), *maker.parameters()]))


def test_who_lowers_the_same_losses_needs_one_backward_pass():
    maker, judge, x = networks()
    seen = []
    out = judge(maker(x))
    out.register_hook(seen.append)
    losses = {"first": out.square().sum(), "second": out.exp().mean()}
    theirs = torch.autograd.grad(sum(losses.values()), [*maker.parameters(), *judge.parameters()], retain_graph=True)
    seen.clear()
    parts = divided(losses, maker, judge)
    assert [{name: loss.item() for name, loss in part.items()} for part in parts] == [
        {name: loss.item() for name, loss in losses.items()}
    ] * 2
    ours = []
    for net, part in zip((maker, judge), parts, strict=True):
        ours += torch.autograd.grad(sum(part.values()), [*net.parameters()])
        with torch.no_grad():
            for p in net.parameters():
                p.add_(1.0)  # a step, before the next one's turn
    torch.testing.assert_close(ours, [*theirs])
    assert len(seen) == 1
