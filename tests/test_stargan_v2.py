"""What makes a StarGAN v2: styles of each domain, from noise or a picture, who learns in which half, and what fades."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from isthmus.core import Batch, Spec, Styles
from isthmus.errors import ConfigError, DataError
from isthmus.models.translation.stargan_v2 import Mapping, StarGANv2, others
from isthmus.nn.style import StyledUp

SPEC = Spec(3, 9, 6, ("cat", "dog", "fox"), "animals")
NETS = {"generator": "generator", "mapping": "mapping", "encoder": "style_encoder", "discriminator": "discriminator"}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def stargan(spec=SPEC, **changes):
    small = {"features": 4, "blocks": 1, "latent": 3, "style_size": 5, "hidden": 8}
    return StarGANv2(**small | changes).build(spec)


def batches(spec=SPEC, n=6):
    labels = torch.arange(n) % len(spec.classes)
    return [
        Batch(2 * torch.rand(n, *spec.shape) - 1, labels),
        Batch(2 * torch.rand(n, *spec.shape) - 1, labels.flip(0)),
    ]


def play(model, pair):
    torch.manual_seed(5)
    return list(model.turns(iter(pair)))


def styles(model, pair):
    """What `turns` draws, and finds, by half: style, another style, style of the batch."""
    torch.manual_seed(5)
    (batch, reference), noise = pair, [torch.randn(6, model.latent) for _ in range(2)]
    drawn, other = (model.mapping(z, reference.label) for z in noise)
    back = model.style_encoder(batch.image, batch.label)
    labels = torch.cat([batch.label, reference.label])
    found = model.style_encoder(torch.cat([batch.image, reference.image]), labels)
    return (drawn, other, back), (found[6:], found[others(labels, 6)], back)


def terms(model, pair, style, other, back):
    """Eq. 1 to 4 by hand."""
    x, reference = pair[0].image, pair[1]
    made = model.generator(x, style)
    return made, {
        "adversarial": F.softplus(-model.discriminator(made, reference.label)).mean(),
        "style": 2 * (model.style_encoder(made, reference.label) - style).abs().mean(),
        "cycle": 3 * (model.generator(made, back) - x).abs().mean(),
        "diversity": -4 * 0.75 * (made - model.generator(x, other).detach()).abs().mean(),
    }


def weighted():
    model = stargan(styles=2.0, cycle=3.0, diversity=4.0)
    model.progress = 0.25
    return model


def test_two_halves_of_a_round_and_in_the_second_the_generator_alone():
    turns = play(stargan(), batches())
    both = ["discriminator", "generator", "mapping", "encoder", "discriminator", "generator"]
    assert [turn.player for turn in turns] == both


def test_losses_by_hand():
    model, pair = weighted(), batches()
    turns = play(model, pair)
    for (judge, teach), given in zip((turns[:2], turns[4:]), styles(model, pair), strict=True):
        made, hand = terms(model, pair, *given)
        torch.testing.assert_close(dict(teach.losses), hand)
        image = pair[0].image.clone().requires_grad_()
        outputs = model.discriminator(image, pair[0].label)
        (slope,) = torch.autograd.grad(outputs.sum(), image)
        hand = {
            "real": F.softplus(-outputs).mean(),
            "fake": F.softplus(model.discriminator(made, pair[1].label)).mean(),
            "penalty": 0.5 * slope.square().flatten(1).sum(1).mean(),
        }
        torch.testing.assert_close(dict(judge.losses), hand)


def test_by_noise_three_networks_learn_from_one_sum():
    model, pair = weighted(), batches()
    turns = {turn.player: turn for turn in play(model, pair)[1:4]}
    total = sum(terms(model, pair, *styles(model, pair)[0])[1].values())
    for player, turn in turns.items():
        parameters = [*model.get_submodule(NETS[player]).parameters()]
        theirs = torch.autograd.grad(total, parameters, retain_graph=True)
        ours = torch.autograd.grad(turn.total, parameters)
        torch.testing.assert_close(ours, theirs, msg=lambda m, player=player: f"{player}: {m}")


def test_by_references_styles_are_given_and_only_found_again():
    """Else the style encoder would be taught to find easy styles, and to give them."""
    model, pair = weighted(), batches()
    turn = play(model, pair)[-1]
    style, other, back = (given.detach() for given in styles(model, pair)[1])
    total = sum(terms(model, pair, style, other, back)[1].values())
    parameters = [*model.generator.parameters(), *model.style_encoder.parameters()]
    theirs = torch.autograd.grad(total, parameters)
    torch.testing.assert_close(torch.autograd.grad(turn.total, parameters), theirs)


def test_the_discriminator_learns_alone():
    model = stargan()
    for turn in (turn for turn in play(model, batches()) if turn.player == "discriminator"):
        for net in (model.generator, model.mapping, model.style_encoder):
            reached = torch.autograd.grad(turn.total, [*net.parameters()], allow_unused=True, retain_graph=True)
            assert reached == (None,) * len(reached)


def test_images_are_made_once_for_both_players():
    model, graphs = stargan(), []
    model.generator.register_forward_hook(lambda _, inputs, out: graphs.append(out.requires_grad))
    play(model, batches())
    assert graphs == [True, True, False] * 2  # the image, the way back, and the other style's image


def test_the_second_half_sees_what_was_learnt_in_the_first():
    model, pair, found = stargan(), batches(), []
    for change in (0.0, 1.0):
        torch.manual_seed(5)
        game = model.turns(iter(pair))
        for _ in range(4):
            next(game)
        with torch.no_grad():
            model.generator.image[-1].bias.add_(change)
        found.append(next(game).losses["fake"])
    assert found[0] != found[1]


def test_the_weight_of_diversity_falls_linearly_to_nothing():
    model, pair = stargan(diversity=2.0), batches()
    found = []
    for model.progress in (0.0, 0.5, 1.0):
        found.append(play(model, pair)[1].losses["diversity"].item())
    assert found == pytest.approx([found[0], found[0] / 2, 0])
    assert found[0] < 0


def test_what_has_no_weight_costs_nothing():
    assert "diversity" not in play(stargan(diversity=0.0), batches())[1].losses
    losses = play(stargan(styles=0.0, cycle=0.0), batches())[1].losses
    assert losses["style"] == losses["cycle"] == 0


def test_another_of_the_same_class_is_found_and_where_there_is_none_it_is_the_same():
    labels = torch.tensor([0, 1, 2, 0, 1, 1, 3, 0])  # the last four are references
    seen = [set(column) for column in zip(*(others(labels, 4).tolist() for _ in range(200)), strict=True)]
    assert seen == [{1, 5}, {1, 4}, {6}, {0, 3}]


def test_each_domain_has_its_heads():
    model, x = stargan(), batches()[0].image
    for net, given in ((model.style_encoder, x), (model.discriminator, x), (model.mapping, torch.randn(6, 3))):
        label = torch.tensor([1] * 6)
        out = net(given, label)
        assert out.shape == (6, 1 if net is model.discriminator else 5)
        assert not torch.equal(out, net(given, 0 * label))
        if net is model.mapping:
            parameters = [[*head.parameters()] for head in net.heads]
            reached = [any(g.any() for g in torch.autograd.grad(out.sum(), p, retain_graph=True)) for p in parameters]
        else:
            (slope,) = torch.autograd.grad(out.sum(), net.heads[0].weight)
            reached = slope.view(3, -1).any(1).tolist()
        assert reached == [False, True, False]


def test_the_mapping_network_has_four_shared_layers_and_four_of_each_domain():
    net = Mapping(16, 512, 64, domains=2)
    shapes = [tuple(layer.weight.shape) for layer in net.trunk if isinstance(layer, nn.Linear)]
    assert shapes == [(512, 16), *[(512, 512)] * 3]
    for head in net.heads:
        shapes = [tuple(layer.weight.shape) for layer in head if isinstance(layer, nn.Linear)]
        assert shapes == [*[(512, 512)] * 3, (64, 512)]
    assert isinstance(net.heads[0][-1], nn.Linear)


def test_style_enters_by_adaptive_norms_in_all_of_the_decoder():
    model, (batch, _) = stargan(blocks=2), batches()
    assert [type(block) for block in model.generator.decoder] == [StyledUp] * 3
    one, other = (model.generator(batch.image, torch.full((6, 5), value)) for value in (0.0, 1.0))
    assert (one - other).abs().max() > 1e-3
    assert not [
        m for net in (model.style_encoder, model.discriminator) for m in net.modules() if "Norm" in str(type(m))
    ]


def test_blocks_keep_the_variance_of_one_branch():
    block, x, style = StyledUp(4, 4, 2), torch.randn(2, 4, 3, 3), torch.zeros(2, 2)
    for layer in (block.first, block.second):
        nn.init.zeros_(layer.weight)
    torch.testing.assert_close(block(x, style, (5, 6)), F.interpolate(x, (5, 6)) / 2**0.5)


def test_the_size_of_the_networks_is_that_of_the_paper():
    with torch.device("meta"):
        model = StarGANv2().build(Spec(3, 256, 256, ("cat", "dog", "wild")))
    widths = [(block.first.in_channels, block.second.out_channels) for block in model.generator.decoder]
    assert widths == [(512, 512), (512, 512), (512, 512), (512, 256), (256, 128), (128, 64)]
    count = {name: sum(p.numel() for p in net.parameters()) for name, net in model.named_children()}
    assert count["generator"] == pytest.approx(33.9e6, rel=0.01)
    assert count["discriminator"] == pytest.approx(20.9e6, rel=0.01)
    assert model.discriminator.trunk[-3].kernel_size == (4, 4)


def test_styles_come_from_noise_or_from_a_picture_of_the_domain():
    model, (batch, _) = stargan().eval(), batches()
    x = batch.image
    assert isinstance(model, Styles)
    assert model.targets == SPEC.classes
    assert model.ends("dog") == (SPEC, SPEC)
    with torch.no_grad():
        seen = model.style(x, "dog")
        torch.testing.assert_close(seen, model.style_encoder(x, torch.ones(6, dtype=torch.int64)))
        assert not torch.equal(seen, model.style(x, "fox"))
        made = model.restyle(x, "dog", seen)
        torch.testing.assert_close(made, model.generator(x, seen).clamp(-1, 1))
        torch.manual_seed(1)
        drawn = model.draw_style(6, "fox")
        torch.manual_seed(1)
        torch.testing.assert_close(drawn, model.mapping(torch.randn(6, 3), torch.full((6,), 2)))
        assert not torch.equal(model.translate(x, "cat"), model.translate(x, "cat"))


def test_adam_and_the_rates_of_the_paper():
    model = stargan()
    players = model.players()
    rates = {"discriminator": 1e-4, "generator": 1e-4, "mapping": 1e-6, "encoder": 1e-4}
    assert {name: player.lr for name, player in players.items()} == rates
    for name, player in players.items():
        assert player.settings == {"betas": (0.0, 0.99), "weight_decay": 1e-4}
        assert player.modules == (model.get_submodule(NETS[name]),)


def test_weights_at_first():
    model = stargan(features=32)
    weight = model.generator.decoder[0].first.weight
    assert weight.std().item() == pytest.approx((2 / weight[0].numel()) ** 0.5, rel=0.1)
    affine = model.generator.decoder[0].norms[0].affine
    assert not affine.bias.any()  # the gain is 1 more than what the layer makes


@pytest.mark.parametrize("shape", [(1, 5, 5), (3, 33, 20), (3, 2, 7)])
def test_any_image_size(shape):
    spec = Spec(*shape, ("one", "two"))
    model = stargan(spec, smallest=4)
    assert all(turn.total.isfinite() for turn in play(model, batches(spec, 2)))
    assert model.translate(batches(spec, 2)[0].image, "two").shape == (2, *shape)
    assert all(turn.total.isfinite() for turn in play(model, batches(spec, 1)))


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ConfigError, match="cycle"):
        StarGANv2(cycle=-1.0)
    with pytest.raises(ConfigError, match="smallest"):
        StarGANv2(smallest=0)
    with pytest.raises(DataError, match="classes"):
        stargan(Spec(3, 9, 6))
