"""Experiments: bars, verdicts, and records that are made once."""

import json
from pathlib import Path

import pytest
import torch
from matplotlib.colors import to_hex
from PIL import Image, ImageColor

from isthmus.apps.cli import main
from isthmus.core import Spec
from isthmus.data.images import Images
from isthmus.data.options import DataOptions
from isthmus.errors import ConfigError
from isthmus.evaluation.measures import measures
from isthmus.experiments import run
from isthmus.experiments.experiment import Bar, Experiment, Training, experiments, find
from isthmus.experiments.picture import STRONG, WEAK, save_preview
from isthmus.experiments.run import perform, summary
from isthmus.models.catalog import catalog
from isthmus.models.catalog import find as find_model
from isthmus.training.options import RunOptions


@pytest.mark.parametrize(
    ("bar", "value", "other", "met"),
    [
        (Bar("x", at_least=0.9), 0.9, 0, True),
        (Bar("x", at_least=0.9), 0.89, 0, False),
        (Bar("x", at_most=104), 104, 0, True),
        (Bar("x", at_most=104), 105, 0, False),
        (Bar("x", at_least=0.95, below="y", points=0.03), 0.93, 0.95, True),
        (Bar("x", at_least=0.95, below="y", points=0.03), 0.93, 0.97, False),
    ],
)
def test_bars(bar, value, other, met):
    assert bar.met({"x": value, "y": other}) is met
    assert "x" in str(bar)


def test_a_bar_is_of_the_median_or_of_a_share_of_the_seeds():
    seeds = [{"x": value} for value in (5, 5, 5, 4, 4)]
    assert Bar("x", at_least=5).held(seeds)
    four_of_five = Bar("x", at_least=5, share=0.8)
    assert not four_of_five.held(seeds)
    assert four_of_five.held([*seeds[:3], seeds[0], seeds[4]])
    assert not four_of_five.held(seeds[1:4])  # of three seeds, all
    assert str(four_of_five) == "x ≥ 5 in 80% of seeds"


def test_every_experiment_names_models_options_and_data_that_exist():
    def check(training, ablation):
        entry = find_model(training.model)
        names = {option.name for option in entry.options}
        assert {*training.options, *training.parts, *ablation} <= names
        DataOptions(**training.data)
        RunOptions(out="nowhere", **training.run)
        for part in training.parts.values():
            check(part, {})

    assert experiments()
    for experiment in experiments().values():
        assert experiment.bars
        assert experiment.ablations or experiment.measure, "a bar without its failing ablation proves nothing"
        for ablation in experiment.ablations.values():
            check(experiment.training, ablation)


def test_every_bar_is_of_a_group_that_is_measured():
    for experiment in experiments().values():
        known = measures(len(experiment.training.data["data"]))
        if experiment.measure is None is experiment.trace:  # which may have groups of any name
            assert experiment.measured <= known.keys(), experiment.name


def test_every_model_that_is_trained_has_an_experiment():
    used_as_it_is = {"autoencoder-kl"}
    assert set(catalog()) - used_as_it_is == {e.training.model for e in experiments().values()}


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match="did you mean"):
        find("bridge-digit")


def probe(model, train, test, seed):
    """A measure of its own, with the control that must fail."""
    assert not model.training
    assert not torch.is_grad_enabled()
    sizes = {"train": len(train[0]), "test": len(test[0]), "seed": seed, "drawn": torch.rand(()).item()}
    return {"probe": {**sizes, "code": model.latent, "words": "not a number", "nothing": None}}


TRAINING = Training("vae", {"data": ("digits:0-1",)}, {"latent": 2, "hidden": 8}, {"steps": 30})
TINY = Experiment(
    "tiny",
    "a few steps",
    TRAINING,
    (Bar("reconstruction/mean_squared_error", at_most=10.0), Bar("probe/code", at_least=1)),
    {"wild": {"lr": 1e-9}},
    measure=probe,
    images=20,
)
FINE = Experiment("fine", "that must pass", TRAINING, (Bar("probe/code", at_most=3),), measure=probe)


def test_an_experiment_is_performed_once_and_its_record_says_how(tmp_path, monkeypatch):
    record = perform(TINY, range(2), tmp_path)
    assert record == json.loads((tmp_path / "result.json").read_text())
    assert record["passed"] is False  # the ablation meets this bar too
    assert record["variants"]["full"]["meets_bars"]
    assert not record["variants"]["wild"]["as_expected"]
    assert [(run["variant"], run["seed"]) for run in record["runs"]] == [
        ("full", 0),
        ("wild", 0),
        ("full", 1),
        ("wild", 1),
    ]
    assert {"commit", "machine", "torch", "date"} <= record["runs"][0]["made_with"].keys()
    assert record["runs"][0]["figures"] != record["runs"][2]["figures"]
    stamp = (tmp_path / "full-0.json").stat().st_mtime_ns
    monkeypatch.setattr("isthmus.experiments.run.measured", None)  # nothing may be measured again
    assert perform(TINY, range(2), tmp_path) == record
    assert (tmp_path / "full-0.json").stat().st_mtime_ns == stamp


def test_a_stopped_experiment_goes_on_where_it_was(tmp_path, monkeypatch):
    whole, done = run.measured, []

    def stopping(experiment, ablated, *rest):
        if ablated and not done:
            done.append("stopped")
            raise KeyboardInterrupt
        return whole(experiment, ablated, *rest)

    monkeypatch.setattr(run, "measured", stopping)
    with pytest.raises(KeyboardInterrupt):
        perform(TINY, range(1), tmp_path)
    stamp = (tmp_path / "full-0.json").stat().st_mtime_ns
    assert not (tmp_path / "result.json").exists()
    assert set(perform(TINY, range(1), tmp_path)["variants"]) == {"full", "wild"}
    assert (tmp_path / "full-0.json").stat().st_mtime_ns == stamp


def test_an_experiment_measures_what_it_wants_and_nothing_else(tmp_path, monkeypatch):
    figures = perform(TINY, range(1), tmp_path / "tiny")["runs"][0]["figures"]
    assert {name.partition("/")[0] for name in figures} == {"probe", "reconstruction"}
    assert (figures["probe/seed"], figures["probe/code"]) == (0, 2)
    assert {"probe/words", "probe/nothing"}.isdisjoint(figures)
    torch.manual_seed(0)
    assert figures["probe/drawn"] == torch.rand(()).item()
    monkeypatch.setattr(run, "figures", None)  # no capability is asked for
    record = perform(FINE, range(1), tmp_path / "fine")
    assert record["passed"]
    assert record["variants"].keys() == {"full"}


def test_the_result_is_a_picture_too(tmp_path):
    perform(TINY, range(1), tmp_path)
    for name in ("full-0", "wild-0", "result"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert min(picture.size) > 50
            assert len(picture.convert("L").getcolors()) > 5
    assert (tmp_path / "result.png").stat().st_size < 60_000


@pytest.mark.parametrize("shape", [(1, 2, 1), (1, 1, 1)])
def test_what_draws_points_is_shown_beside_those_of_the_data(tmp_path, shape):
    spec = Spec(*shape)
    model = find_model("gan").load()(hidden=4).build(spec)
    data = Images(torch.randint(256, (50, *shape), dtype=torch.uint8), spec)
    save_preview(model, [data], tmp_path / "points.png")
    assert has_colours(tmp_path / "points.png", STRONG, WEAK)


def test_points_that_are_carried_have_the_colours_of_their_classes(tmp_path):
    spec = Spec(1, 2, 1)
    model = find_model("discogan").load()(network="mlp").build(spec, spec)
    pixels = torch.randint(256, (2, 50, 1, 2, 1), dtype=torch.uint8)
    labels = torch.arange(50) % 2
    save_preview(model, [Images(part, spec, labels) for part in pixels], tmp_path / "points.png")
    assert has_colours(tmp_path / "points.png", to_hex("C0"), to_hex("C1"), WEAK)
    save_preview(model, [Images(part, spec) for part in pixels], tmp_path / "points.png")
    assert has_colours(tmp_path / "points.png", STRONG, WEAK)


def has_colours(file, *colours):
    """Whether a picture, which is large enough, has a pixel of nearly each colour."""
    with Image.open(file) as picture:
        assert min(picture.size) >= 200
        shown = torch.tensor([colour for _, colour in picture.convert("RGB").getcolors(100_000)]).float()
    return all((shown - torch.tensor(ImageColor.getrgb(colour))).abs().amax(1).min() < 30 for colour in colours)


def test_the_command_lists_performs_all_and_tells_the_verdict(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("isthmus.experiments.experiment.experiments", lambda: {"tiny": TINY, "fine": FINE})
    assert main(["experiment", "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["tiny", "fine"]
    assert not [*tmp_path.iterdir()]
    assert main(["experiment", "fine", "--seeds", "1"]) == 0
    assert "pass" in capsys.readouterr().out
    assert main(["experiment", "--all", "--seeds", "1", "--threads", "1"]) == 1
    shown = capsys.readouterr().out
    assert "FAIL" in shown
    assert "experiments/tiny/result.png" in shown
    assert {path.name for path in Path("experiments").iterdir()} == {"fine", "tiny"}


def test_verdicts_are_of_medians():
    def row(variant, seed, error):
        return {
            "variant": variant,
            "seed": seed,
            "figures": {"reconstruction/mean_squared_error": error, "probe/code": 2},
        }

    rows = [row("full", s, e) for s, e in enumerate((1, 11, 2))] + [
        row("wild", s, e) for s, e in enumerate((1, 12, 20))
    ]
    record = summary(TINY, rows)
    assert record["variants"]["full"]["median"] == {"reconstruction/mean_squared_error": 2, "probe/code": 2}
    assert record["passed"]
