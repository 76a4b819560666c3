"""The trainer and the run around it: the loop one would write by hand, and what is done when things go wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from isthmus.core import Batch, Model, Player, Spec, Turn
from isthmus.data.options import DataOptions
from isthmus.errors import ConfigError, DataError, OutputError, TrainingError
from isthmus.training.average import Average
from isthmus.training.checkpoint import load_weights, weights
from isthmus.training.folder import RunFolder
from isthmus.training.options import RunOptions
from isthmus.training.run import Run, start, train
from isthmus.training.trainer import Trainer
from isthmus.training.validation import held_out_losses
from tiny import play, trainer

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from overhead import PointGAN, Ring, built, by_hand, by_trainer


class Two(Model):
    """Two players, the second twice, with everything that the options of a player can say."""

    optimizer: str = "Adam"
    poison: float = 2.0  # the progress from which a loss is NaN
    shared: bool = False  # whether the second player moves the first one's net too
    frozen: bool = False  # whether the second player has nothing to learn

    def networks(self, spec: Spec) -> None:
        pixels = spec.channels * spec.height * spec.width
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 4), nn.BatchNorm1d(4))
        self.head = nn.Linear(4, 1)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))  # turns count, also in evaluation mode
        self.head.requires_grad_(not self.frozen)

    def players(self) -> dict[str, Player]:
        second = (self.head, self.encoder) if self.shared else (self.head,)
        return {
            "first": Player(self.encoder, lr=0.1, optimizer=self.optimizer, schedule=lambda progress: 1 - progress),
            "second": Player(*second, lr=0.01, optimizer="SGD"),
        }

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        code = self.encoder(next(batches).image)
        bad = float("nan") if self.progress >= self.poison else 1.0
        yield Turn("first", {"size": code.square().mean() * bad, "drift": code.sum(1).square().mean()})
        for _ in range(2):
            code = self.encoder(next(batches).image)
            self.seen += len(code)
            yield Turn("second", {"guess": (self.head(code) - 1).square().mean()})


SPEC = Spec(1, 12, 10)


def two(**changes: Any) -> Two:
    torch.manual_seed(0)
    return Two(**changes).build(SPEC).train()


def equal(ours: Model, theirs: Model) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True))


def digits(out: Path, **options: Any) -> None:
    """Train `Two` on the bundled digits."""
    model = Two(**options.pop("model_options", {}))
    overwrite = options.pop("overwrite", False)
    settings = {"steps": 12, "batch_size": 16, "accelerator": "cpu", "threads": 1, "log_every": 5, "sample_every": 0}
    train(model, DataOptions(), RunOptions(out=out, **settings | options), overwrite=overwrite)


def logged(out: Path, term: str) -> dict[int, float]:
    rows = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return {row["step"]: row[term] for row in rows if term in row}


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


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_a_loss_that_turns_nan_stops_the_run(clip: float, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"first/size became nan by step 8.*step-00000004.*lower learning rate"):
        digits(tmp_path / "run", model_options={"poison": 0.5}, checkpoint_every=4, clip=clip, keep=9)
    assert_finite(tmp_path / "run", ["step-00000000", "step-00000004"])


def test_weights_that_turn_nan_are_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the last update before the checkpoint breaks them, after all losses were finite."""
    rounds = Trainer.round

    def breaking(self: Trainer) -> None:
        rounds(self)
        if self.step == 8:
            with torch.no_grad():
                self.model.head.weight.mul_(float("inf"))  # type: ignore[union-attr, operator]

    monkeypatch.setattr(Trainer, "round", breaking)
    with pytest.raises(TrainingError, match="weights that are not finite appeared by step 8"):
        digits(tmp_path / "run", checkpoint_every=4, keep=9)
    assert_finite(tmp_path / "run", ["step-00000000", "step-00000004"])


def assert_finite(run: Path, checkpoints: list[str]) -> None:
    """That the run has these checkpoints, and nothing that is not finite in any file of weights."""
    assert [path.name for path in RunFolder(run).steps()] == checkpoints
    files = list(run.rglob("*.safetensors"))
    for file in files:
        model = Two().build(Spec(1, 8, 8))
        load_weights(model, file)
        assert all(tensor.isfinite().all() for tensor in model.state_dict().values())
    assert run / "model.safetensors" in files


def test_only_the_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    digits(tmp_path / "run", checkpoint_every=3, keep=2)
    kept = [path.name for path in RunFolder(tmp_path / "run").steps()]
    assert kept == ["step-00000009", "step-00000012"]
    assert not list((tmp_path / "run").rglob(".writing-*"))


def test_the_best_checkpoint_is_that_of_the_lowest_held_out_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([0.0, 0.5, 0.2, 0.3, 0.2])  # the first is asked for before training, for its name alone
    monkeypatch.setattr(
        "isthmus.training.run.held_out_losses", lambda *_: {"first/size": next(losses), "second/guess": 9}
    )
    run = tmp_path / "run"
    digits(run, steps=4, checkpoint_every=1, keep=9, monitor="first/size")
    best = run / "checkpoints" / "best"
    assert json.loads((best / "score.json").read_text()) == {"step": 2, "loss": 0.2}
    assert (best / "model.safetensors").read_bytes() == (
        run / "checkpoints" / "step-00000002" / "model.safetensors"
    ).read_bytes()
    assert logged(run, "validation/first/size") == {1: 0.5, 2: 0.2, 3: 0.3, 4: 0.2}


def test_with_an_average_it_is_the_average_that_is_validated_and_kept(tmp_path: Path) -> None:
    run = tmp_path / "run"
    digits(run, steps=3, average=0.9, monitor="first/size")
    kept = run / "checkpoints" / "step-00000003" / "average.safetensors"
    assert (run / "checkpoints" / "best" / "model.safetensors").read_bytes() == kept.read_bytes()
    assert (run / "model.safetensors").read_bytes() == kept.read_bytes()
    game = trainer(two(), average=0.9)
    play(game, 3)
    batches = trainer(two()).batches
    first = held_out_losses(game, batches, 2)  # type: ignore[arg-type]
    with torch.no_grad():
        game.model.head.weight.add_(1)  # type: ignore[union-attr, operator]
    batches.position = 0
    assert held_out_losses(game, batches, 2) == first  # type: ignore[arg-type]


def test_too_few_held_out_images_to_pair_are_refused_at_the_start(tmp_path: Path) -> None:
    """The four images held out of each side cannot show all ten classes."""

    class Pair(Model):
        def networks(self, a: Spec, b: Spec) -> None:
            self.net = nn.Linear(64, 64)

        def players(self) -> dict[str, Player]:
            return {"net": Player(self.net, lr=0.01)}

        def turns(self, batches: Iterator[tuple[Batch, Batch]]) -> Iterator[Turn]:
            a, b = next(batches)
            yield Turn("net", {"error": (self.net(a.image.flatten(1)) - b.image.flatten(1)).square().mean()})

    data = DataOptions(data=("digits", "digits"), pair="class")
    options = RunOptions(out=tmp_path / "run", accelerator="cpu", threads=1, validation=0.003)
    with pytest.raises(DataError, match=r"held out by --validation 0\.003 \(.*has none\); give more, or 0"):
        train(Pair(), data, options)
    assert not (tmp_path / "run").exists()


def test_two_players_have_no_best_checkpoint_unless_a_loss_is_monitored(tmp_path: Path) -> None:
    digits(tmp_path / "run", checkpoint_every=6)
    assert not (tmp_path / "run" / "checkpoints" / "best").exists()


def test_an_unknown_loss_to_monitor_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no loss 'elbo' to monitor; there are: first/size, first/drift"):
        digits(tmp_path / "run", monitor="elbo")
    with pytest.raises(ConfigError, match=r"monitor 'first/size' needs held-out images"):
        digits(tmp_path / "run", monitor="first/size", validation=0.0)


def test_the_clock_ends_a_run_that_can_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that moves a second with every look: two minutes are over before a thousand steps."""
    ticks = iter(range(10**9))
    monkeypatch.setattr("isthmus.training.run.time.monotonic", lambda: float(next(ticks)))
    digits(tmp_path / "run", steps=1000, minutes=2)
    (last,) = (int(path.name.removeprefix("step-")) for path in RunFolder(tmp_path / "run").steps()[-1:])
    assert 0 < last < 121
    assert json.loads((tmp_path / "run" / "config.json").read_text())["run"]["steps"] == 1000


def test_a_run_stopped_right_after_a_checkpoint_saves_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "must_stop", lambda self, began: self.trainer.step == 6)
    digits(tmp_path / "run", checkpoint_every=3)
    rows = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    assert [row["step"] for row in rows if "validation/first/size" in row] == [3, 6]
    assert RunFolder(tmp_path / "run").steps()[-1].name == "step-00000006"


def test_a_run_that_would_overwrite_is_refused(tmp_path: Path) -> None:
    digits(tmp_path / "run", steps=1)
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    with pytest.raises(OutputError, match="exists; give another --out, --overwrite it, or isthmus resume"):
        digits(tmp_path / "run", steps=2)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before


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


def test_halfs_need_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="16-mixed needs a CUDA device"):
        start(RunOptions(out=Path("unused"), precision="16-mixed"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"keep": 0}, "keep must be at least 1"),
        ({"minutes": 0}, "minutes must be positive"),
        ({"average": 1.0}, r"average must lie in \[0, 1\), got 1.0"),
        ({"clip": -1.0}, "clip must not be negative"),
        ({"validation": 1.0}, r"validation must lie in \[0, 1\)"),
    ],
)
def test_options_without_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RunOptions(out=Path("unused"), **options)


def test_overwriting_empties_a_run_folder_and_no_other(tmp_path: Path) -> None:
    digits(tmp_path / "run", steps=1)
    (tmp_path / "run" / "old").touch()
    digits(tmp_path / "run", steps=1, overwrite=True)
    assert not (tmp_path / "run" / "old").exists()
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.txt").touch()
    with pytest.raises(OutputError, match="is not a run folder, so --overwrite leaves it alone"):
        digits(tmp_path / "work", steps=1, overwrite=True)
    assert (tmp_path / "work" / "thesis.txt").exists()
