"""A run: what is logged, kept and refused, and what is done when things go wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from isthmus.core import Batch, Model, Player, Spec, Turn
from isthmus.data.options import DataOptions
from isthmus.errors import ConfigError, DataError, OutputError, TrainingError
from isthmus.training.checkpoint import load_weights
from isthmus.training.folder import RunFolder
from isthmus.training.options import RunOptions
from isthmus.training.run import Run, start, train
from isthmus.training.trainer import Trainer
from isthmus.training.validation import held_out_losses
from tiny import play, trainer
from two_players import Two, two


def digits(out: Path, **options: Any) -> None:
    """Train `Two` on the bundled digits."""
    model = Two(**options.pop("model_options", {}))
    overwrite = options.pop("overwrite", False)
    settings = {"steps": 12, "batch_size": 16, "accelerator": "cpu", "threads": 1, "log_every": 5, "sample_every": 0}
    train(model, DataOptions(), RunOptions(out=out, **settings | options), overwrite=overwrite)


def logged(out: Path, term: str) -> dict[int, float]:
    rows = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return {row["step"]: row[term] for row in rows if term in row}


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


def test_the_clock_ends_a_run_that_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A clock that moves a second with every look: two minutes are over before a thousand steps."""
    ticks = iter(range(10**9))
    monkeypatch.setattr("isthmus.training.run.time.monotonic", lambda: float(next(ticks)))
    digits(tmp_path / "run", steps=1000, minutes=2)
    (last,) = (int(path.name.removeprefix("step-")) for path in RunFolder(tmp_path / "run").steps()[-1:])
    assert 0 < last < 121
    assert json.loads((tmp_path / "run" / "config.json").read_text())["run"]["steps"] == 1000
    said = f"stopped by --minutes at step {last}; go on with: isthmus resume {tmp_path / 'run'}"
    assert said in capsys.readouterr().err.splitlines()


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


def test_overwriting_empties_a_run_folder(tmp_path: Path) -> None:
    digits(tmp_path / "run", steps=4, sample_every=2)
    for old in ("evaluation.json", "cpu_seconds", ".writing-abc", "samples/old.png"):
        (tmp_path / "run" / old).parent.mkdir(exist_ok=True)
        (tmp_path / "run" / old).touch()
    (tmp_path / "run" / "wandb").symlink_to(tmp_path)  # what a link leads to is not in the folder
    digits(tmp_path / "run", steps=1, overwrite=True)
    kept = {path.name for path in (tmp_path / "run").iterdir() if not path.name.startswith("events.out.")}
    assert kept == {"config.json", "model.safetensors", "metrics.jsonl", "checkpoints"}


@pytest.mark.parametrize("config", [None, "", "[]", '{"name": "my app"}', '{"_class_name": "AutoencoderKL"}'])
def test_no_folder_but_a_run_is_overwritten(config: str | None, tmp_path: Path) -> None:
    """Many programs have a config.json."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "thesis.txt").touch()
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(OutputError, match="is not a run folder, so --overwrite leaves it alone"):
        digits(tmp_path, steps=1, overwrite=True)
    assert (tmp_path / "src" / "thesis.txt").exists()


def test_a_run_to_which_something_was_added_is_not_overwritten(tmp_path: Path) -> None:
    digits(tmp_path / "run", steps=1)
    (tmp_path / "run" / "thesis.txt").touch()
    with pytest.raises(OutputError, match=r"holds more than a run \(thesis\.txt\), so --overwrite leaves it alone"):
        digits(tmp_path / "run", steps=1, overwrite=True)
    assert (tmp_path / "run" / "thesis.txt").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_folder_itself_stays_as_it_may_be_a_mount_point(overwrite: bool, tmp_path: Path) -> None:
    out = tmp_path / "run"
    if overwrite:
        digits(out, steps=1)
    out.mkdir(exist_ok=True)
    handle = os.open(out, os.O_RDONLY)  # while it is open, no other folder gets its number
    digits(out, steps=1, overwrite=overwrite)
    assert os.path.samestat(os.fstat(handle), out.stat())
    os.close(handle)
