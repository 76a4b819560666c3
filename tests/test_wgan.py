"""What makes the Wasserstein GAN that model and not its neighbour."""

from pathlib import Path

import pytest
import torch
from torch import nn

from isthmus.core import Batch, Spec
from isthmus.errors import ConfigError
from isthmus.models.gans.wgan import WGAN
from isthmus.training.options import RunOptions
from isthmus.training.run import start
from isthmus.training.trainer import Trainer

SPEC = Spec(1, 16, 14)
SMALL = {"latent": 4, "features": 2, "critic_steps": 2, "first_steps": 5}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def wgan(spec=SPEC, **changes):
    return WGAN(**SMALL | changes).build(spec).train()


class Batches:
    """Random images without end, as the trainer takes them."""

    position = 0

    def __next__(self):
        self.position += 1
        return Batch(2 * torch.rand(4, *SPEC.shape) - 1)

    def __iter__(self):
        return self


def trainer(model, **options):
    run = RunOptions(out=Path("unused"), accelerator="cpu", threads=1, **{"steps": 1200} | options)
    return Trainer(model, Batches(), run, start(run))


def test_critic_steps_follow_the_papers_schedule():
    """Many before each of the first 25 steps of the generator, and before every 500th."""
    game = trainer(wgan())
    for step in (0, 1, 24, 25, 26, 499, 500, 501, 1000):
        game.step, before = step, game.batches.position
        game.round()
        taken = game.batches.position - before
        assert taken == (5 if step < 25 or step % 500 == 0 else 2), step


def test_a_resumed_run_knows_its_round():
    first = trainer(wgan())
    for _ in range(3):
        first.round()
    assert first.model.rounds == 3
    second = trainer(wgan())
    second.load_state_dict(first.state_dict())
    second.step = 26
    second.round()
    assert second.model.rounds == 27
    assert second.batches.position == first.batches.position + 2


def test_the_average_knows_the_round_too():
    game = trainer(wgan(), average=0.9)
    game.round()
    assert game.average.model.rounds == game.model.rounds == 1


def test_held_out_images_take_no_catching_up():
    model = wgan().eval()
    assert [turn.player for turn in model.turns(Batches())] == ["critic", "critic", "generator"]


def test_weights_are_clipped_after_each_step_of_the_critic_and_of_nobody_else():
    model = wgan(weight_clip=0.03)
    optimizers = {n: torch.optim.RMSprop(p.parameters(), lr=p.lr) for n, p in model.players().items()}
    largest, turns = [], model.turns(Batches())
    for turn in turns:
        if largest:
            largest[-1] = max(p.abs().max().item() for p in model.critic.parameters())
        turn.total.backward(inputs=model.players()[turn.player].parameters())
        optimizers[turn.player].step()
        optimizers[turn.player].zero_grad()
        largest.append(None)
    assert largest[:-1] == pytest.approx([0.03] * 5)
    gains = [m.weight for m in model.critic.modules() if isinstance(m, nn.BatchNorm2d)]
    assert gains
    assert all(g.max() <= 0.03 for g in gains), "those of batch normalisation too"
    assert max(p.abs().max().item() for p in model.generator.parameters()) > 0.5


def test_losses_are_means_of_numbers_without_a_logarithm():
    model, data = wgan(critic_steps=1, first_steps=1), [Batch(torch.rand(4, *SPEC.shape))]
    model.eval()
    torch.manual_seed(1)
    critic = next(model.turns(iter(data)))
    torch.manual_seed(1)
    made = model.sample(4)
    torch.testing.assert_close(critic.losses["real"], -model.critic(data[0].image).mean())
    torch.testing.assert_close(critic.losses["fake"], model.critic(made).mean())
    torch.manual_seed(1)
    *_, generator = model.turns(iter(data))
    torch.testing.assert_close(generator.losses["adversarial"], -model.critic(made).mean())
    with torch.no_grad():
        model.critic.head[0].bias.add_(50.0)  # no sigmoid: outputs have no bounds
    assert model.critic(made).mean() > 49


def test_the_critics_turn_does_not_reach_the_generator():
    model = wgan(first_steps=1)
    turn = next(model.turns(Batches()))
    with pytest.raises(RuntimeError, match="unused"):
        torch.autograd.grad(turn.total, list(model.generator.parameters()))


def test_only_the_last_images_have_a_graph():
    model, graphs = wgan(), []
    model.generator.register_forward_hook(lambda module, inputs, out: graphs.append(out.requires_grad))
    list(model.turns(Batches()))
    assert graphs == [False] * 4 + [True]


def test_players_move_without_momentum():
    for player in wgan().players().values():
        assert (player.optimizer, player.lr) == ("RMSprop", 5e-5)
        assert not player.settings.get("momentum", 0)


def test_the_distance_of_two_lines_has_a_slope_where_they_are_apart():
    """Example 1: the Wasserstein distance is |theta|, and a clipped critic's estimate grows with it, a logarithm's
    does not: an optimal discriminator's game is worth 0 whatever the distance."""
    from isthmus.losses.adversarial import fake, high, low, real
    from isthmus.losses.penalty import clip_weights

    worth = {}
    for theta in (0.3, 0.9):
        x = torch.stack([torch.zeros(64), torch.rand(64)], dim=1)
        y = torch.stack([torch.full((64,), theta), torch.rand(64)], dim=1)
        critic, judge = nn.Linear(2, 1), nn.Linear(2, 1)
        with torch.no_grad():
            judge.weight.copy_(torch.tensor([[-1e3, 0.0]]))
            judge.bias.fill_(500 * theta)
        optimizer = torch.optim.RMSprop(critic.parameters(), lr=1e-2)
        for _ in range(50):
            loss = high(critic(x)) + low(critic(y))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            clip_weights(critic, 0.1)
        worth[theta] = -loss.item(), (real(judge(x)) + fake(judge(y))).item()
    assert worth[0.9][0] - worth[0.3][0] == pytest.approx(0.1 * 0.6, rel=0.1)
    assert worth[0.9][1] == pytest.approx(worth[0.3][1], abs=1e-6)


@pytest.mark.parametrize("option", ["latent", "features", "critic_steps", "first_steps", "weight_clip", "lr"])
def test_options_that_make_no_sense_are_refused(option):
    with pytest.raises(ConfigError, match=option):
        WGAN(**{option: 0})
