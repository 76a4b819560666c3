"""The trainer: the loop one would write by hand."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from isthmus.core import Batch, Model, Player, Spec, Turn
from isthmus.errors import ConfigError
from isthmus.training.average import Average
from isthmus.training.checkpoint import load_weights, weights
from isthmus.training.folder import RunFolder
from isthmus.training.options import RunOptions
from isthmus.training.run import start
from isthmus.training.trainer import Trainer
from isthmus.training.validation import held_out_losses
from tiny import play, trainer
from two_players import SPEC, Two, two

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from overhead import PointGAN, Ring, built, by_hand, by_trainer


def equal(ours: Model, theirs: Model) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True))


def test_equals_a_loop_by_hand_bit_for_bit() -> None:
    ours = by_trainer()
    theirs, model = by_hand(before=lambda step: torch.manual_seed(hash((0, 0, step)) & (2**63 - 1)))
    for _ in range(200):
        ours.round()
        theirs()
    assert equal(ours.model, model)
    assert not equal(ours.model, built())


@pytest.mark.parametrize("how", [{"clip": 0.05}, {"average": 0.9}, {"precision": "bf16-mixed"}])
def test_equals_a_loop_by_hand_with(how: dict[str, Any]) -> None:
    ours, plain = by_trainer(**how), by_trainer()
    theirs, model = by_hand(**how, before=lambda step: torch.manual_seed(hash((0, 0, step)) & (2**63 - 1)))
    for _ in range(50):
        ours.round()
        theirs()
        plain.round()
    assert equal(ours.model, model)
    assert equal(plain.model, model) == ("average" in how)


def test_reading_the_losses_changes_nothing() -> None:
    silent, talkative = by_trainer(), by_trainer()
    play(silent, 20)
    for _ in range(20):
        talkative.round()
        talkative.losses()
    assert equal(silent.model, talkative.model)


def test_losses_are_means_since_they_were_last_read() -> None:
    """By player and term; a player with two turns a round contributes both."""
    single, together = trainer(two()), trainer(two())
    rows = []
    for _ in range(3):
        single.round()
        rows.append(single.losses())
    play(together, 3)
    assert list(rows[0]) == ["first/size", "first/drift", "second/guess"]
    for term, mean in together.losses().items():
        assert mean == pytest.approx(sum(row[term] for row in rows) / 3, rel=1e-6)
    assert together.losses() == {}


def test_a_schedule_sets_the_rate_of_its_player_alone() -> None:
    game = trainer(two(), steps=4)
    rates = []
    for _ in range(4):
        game.round()
        rates.append([game.movers[name].optimizer.param_groups[0]["lr"] for name in ("first", "second")])
    assert rates == [[pytest.approx(0.1 * factor), 0.01] for factor in (1, 0.75, 0.5, 0.25)]


def test_clipping_bounds_every_player_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    game = trainer(two(), clip=0.01)
    norms = []
    for mover in game.movers.values():
        step = mover.optimizer.step

        def watched(mover: Any = mover, step: Any = step) -> None:
            norms.append(torch.cat([p.grad.flatten() for p in mover.parameters]).norm().item())
            step()

        monkeypatch.setattr(mover.optimizer, "step", watched)
    play(game, 2)
    assert norms == [pytest.approx(0.01, rel=1e-3)] * 6


def test_clipping_never_copies_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    game = trainer(two(), clip=1.0)
    monkeypatch.setattr(nn.Linear, "__deepcopy__", lambda *_: pytest.fail("copied"), raising=False)
    play(game, 1)


def test_accumulated_gradients_are_those_of_the_whole_batch() -> None:
    """Microbatches follow each other in the stream, and each player moves once for all of them."""
    torch.manual_seed(0)
    results = []
    for batch_size, accumulate in ((8, 1), (4, 2), (2, 4)):
        game = trainer(two(optimizer="SGD").eval(), batch_size=batch_size, accumulate=accumulate)
        play(game, 3)
        assert game.batches.position == 9 * accumulate
        results.append(torch.cat([p.detach().flatten() for p in game.model.parameters()]))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=1e-5, atol=1e-6)


def test_code_after_a_yield_runs_after_the_update() -> None:
    """Whatever the number of microbatches, as weight clipping needs it."""

    class Clipped(Model):
        def networks(self, spec: Spec) -> None:
            self.net = nn.Linear(120, 1)

        def players(self) -> dict[str, Player]:
            return {"net": Player(self.net, lr=1.0, optimizer="SGD")}

        def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
            yield Turn("net", {"loss": self.net(next(batches).image.flatten(1)).square().mean()})
            with torch.no_grad():
                self.net.weight.clamp_(-0.01, 0.01)

    for accumulate in (1, 2):
        game = trainer(Clipped().build(SPEC), accumulate=accumulate)
        play(game, 3)
        assert game.model.net.weight.abs().max() <= 0.01  # type: ignore[union-attr, operator]


def test_averages_follow_by_their_decay_and_counters_are_copied() -> None:
    game = trainer(two(), average=0.75)
    assert game.average is not None
    expected = {name: tensor.clone() for name, tensor in game.model.state_dict().items()}
    for _ in range(4):
        game.round()
        for name, tensor in game.model.state_dict().items():
            smooth = 0.75 * expected[name] + 0.25 * tensor if tensor.is_floating_point() else tensor.clone()
            expected[name] = smooth
    averaged = game.average.model.state_dict()
    assert averaged["encoder.2.num_batches_tracked"] == 12
    for name, tensor in expected.items():
        torch.testing.assert_close(averaged[name], tensor)
    assert not any(p.requires_grad for p in game.average.model.parameters())


def test_an_average_moves_shared_weights_once() -> None:
    model = two()
    model.twin = model.head
    model.tied = nn.Linear(4, 1)
    model.tied.weight = model.head.weight
    average = Average(model, 0.75)
    before = model.head.weight.detach().clone()
    with torch.no_grad():
        model.head.weight += 1
    average.update()
    torch.testing.assert_close(average.model.state_dict()["head.weight"], before + 0.25)


def test_players_may_share_modules() -> None:
    """Each has its own optimiser; gradients of one never linger for the other."""
    game = trainer(two(shared=True))
    before = game.model.state_dict()["encoder.1.weight"].clone()
    play(game, 3)
    assert not torch.equal(before, game.model.state_dict()["encoder.1.weight"])
    assert all(p.grad is None for p in game.model.parameters())
    assert len(game.movers["second"].parameters) == 6


def test_a_player_with_nothing_to_learn_is_refused() -> None:
    with pytest.raises(ConfigError, match="'second' has nothing to learn"):
        trainer(two(frozen=True))


def test_an_unknown_optimiser_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'first' asks for torch\.optim\.Adamant, which does not exist"):
        trainer(two(optimizer="Adamant"))


@pytest.mark.parametrize("optimizer", ["SGD", "RMSprop", "Adagrad", "AdamW", "NAdam"])
def test_other_optimisers_resume_exactly(optimizer: str, tmp_path: Path) -> None:
    whole, first, second = (trainer(two(optimizer=optimizer)) for _ in range(3))
    play(whole, 4)
    play(first, 2)
    folder = RunFolder(tmp_path)
    folder.write_checkpoint(first)
    folder.restore(second)
    play(second, 2)
    assert equal(whole.model, second.model)


def test_validation_leaves_no_trace() -> None:
    """Neither in weights nor in buffers nor in what follows, and gives equal figures for equal weights."""
    silent, watched = trainer(two()), trainer(two())
    for _ in range(4):
        silent.round()
        watched.round()
        before = weights(watched.model)
        found = [held_out_losses(watched, trainer(two()).batches, 2) for _ in range(2)]  # type: ignore[arg-type]
        assert found[0] == found[1]
        assert weights(watched.model) == before
        assert watched.model.training
    assert found[0].keys() == watched.losses().keys()
    assert equal(silent.model, watched.model)


def test_compiled_networks_keep_their_names_and_eager_ones_are_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    compiled = []

    def compile_(forward: Any) -> Any:
        compiled.append(forward)
        return lambda *inputs: forward(*inputs)

    monkeypatch.setattr(torch, "compile", compile_)
    monkeypatch.setattr(Two, "eager", ("head",))
    plain = trainer(two())
    assert not compiled
    game = trainer(two(), compile=True, average=0.5)
    assert [forward.__self__ for forward in compiled] == [game.model.encoder]
    play(plain, 3)
    play(game, 3)
    (tmp_path / "weights").write_bytes(weights(game.model))
    fresh = two()
    load_weights(fresh, tmp_path / "weights")  # refuses names that are not the model's
    assert equal(fresh, plain.model)


@pytest.mark.slow
def test_really_compiled_networks_learn_the_same(tmp_path: Path) -> None:
    plain, game = by_trainer(), by_trainer(compile=True)
    play(plain, 20)
    play(game, 20)
    for ours, theirs in zip(game.model.parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    assert game.model.state_dict().keys() == plain.model.state_dict().keys()


def test_no_step_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses stay where they are computed until somebody asks for them."""
    game = by_trainer()
    play(game, 1)
    for method in ("item", "tolist", "cpu", "__bool__", "__float__"):
        monkeypatch.setattr(Tensor, method, lambda *_, method=method: pytest.fail(f"a round calls Tensor.{method}"))
    play(game, 2)


def test_full_precision_enters_no_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    options = RunOptions(out=Path("unused"), accelerator="cpu", threads=1)
    fabric = start(options)
    monkeypatch.setattr(fabric, "autocast", lambda: pytest.fail("entered"))
    play(Trainer(PointGAN().build(Spec(1, 1, 2)), Ring(), options, fabric), 1)
