"""Experiments: bars, verdicts, and records that are made once."""

import json

import pytest

from isthmus.data.options import DataOptions
from isthmus.errors import ConfigError
from isthmus.experiments.experiment import Bar, Experiment, Training, experiments, find
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
        assert experiment.ablations, "a bar without its failing ablation proves nothing"
        for ablation in experiment.ablations.values():
            check(experiment.training, ablation)


def test_every_model_that_is_trained_has_an_experiment():
    used_as_it_is = {"autoencoder-kl"}
    assert set(catalog()) - used_as_it_is == {e.training.model for e in experiments().values()}


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match="did you mean"):
        find("bridge-digit")


TINY = Experiment(
    "tiny",
    "a few steps",
    Training("vae", {"data": ("digits:0-1",)}, {"latent": 2, "hidden": 8}, {"steps": 30}),
    (Bar("reconstruction/mean_squared_error", at_most=10.0),),
    {"wild": {"lr": 1e-9}},
)


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
    monkeypatch.setattr("isthmus.experiments.run.measure", None)  # nothing may be measured again
    assert perform(TINY, range(2), tmp_path) == record


def test_verdicts_are_of_medians():
    def row(variant, seed, error):
        return {"variant": variant, "seed": seed, "figures": {"reconstruction/mean_squared_error": error}}

    rows = [row("full", s, e) for s, e in enumerate((1, 11, 2))] + [
        row("wild", s, e) for s, e in enumerate((1, 12, 20))
    ]
    record = summary(TINY, rows)
    assert record["variants"]["full"]["median"] == {"reconstruction/mean_squared_error": 2}
    assert record["passed"]
