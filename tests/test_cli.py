"""The command line end to end: the flow of the README, what a run leaves behind, and what the help says."""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import isthmus
from command_line import RULE, SHORT, SMALL, program, put, said, train_bridge, train_vae
from isthmus import __version__
from isthmus.apps.cli import COMMANDS, main
from isthmus.apps.commands.train import CommandOptions
from isthmus.apps.options import comments
from isthmus.data.options import DataOptions
from isthmus.evaluation.judge import Recipe
from isthmus.models.catalog import catalog
from isthmus.training.checkpoint import load_model
from isthmus.training.options import RunOptions


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two autoencoders, and a bridge with a longer second part, as the README makes them."""
    folder = tmp_path_factory.mktemp("runs")
    often = ["--log-every", "2", "--sample-every", "6", "--checkpoint-every", "4"]
    assert train_vae(folder / "low", *often) == 0
    assert train_vae(folder / "high", "--seed", "1", data="digits:2-3") == 0
    assert train_bridge(folder / "bridge", folder / "low", folder / "high", *RULE) == 0
    assert main(["resume", str(folder / "bridge"), "--steps", "16"]) == 0
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def same_weights(one: Path, other: Path) -> bool:
    return (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()


# --- the flow


def test_a_run_folder_holds_what_the_readme_says(runs: Path) -> None:
    run = runs / "low"
    config = json.loads((run / "config.json").read_text())
    assert (config["model"], config["isthmus"], config["format"]) == ("vae", __version__, 1)
    assert config["config"]["latent"] == 2
    assert config["data"]["data"] == ["digits:0-1"]
    assert config["run"]["steps"] == 12
    assert load_file(run / "model.safetensors").keys() == load_model(run).state_dict().keys()
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    logged = [row["step"] for row in rows if "vae/kl" in row]
    assert logged == [2, 4, 6, 8, 10, 12]
    assert [row["step"] for row in rows if "validation/vae/kl" in row] == [4, 8, 12]
    assert {path.name for path in (run / "samples").iterdir()} == {"step-00000006.png", "step-00000012.png"}
    for picture in (run / "samples").iterdir():
        with Image.open(picture) as image:
            assert sum(map(bool, image.convert("L").histogram())) > 2, f"{picture} is blank"
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best", "step-00000008", "step-00000012"}


def test_tensorboard_reads_the_same_numbers(runs: Path) -> None:
    """By TensorFlow's record format: length, checksum, event, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    (file,) = (runs / "low").glob("events.out.tfevents.*")
    content, version = file.read_bytes(), ""
    found: dict[tuple[int, str], float] = {}
    while content:
        size = int.from_bytes(content[:8], "little")
        event = Event.FromString(content[12 : 12 + size])
        content = content[12 + size + 4 :]
        version = version or event.file_version
        found |= {(event.step, value.tag): value.simple_value for value in event.summary.value}
    assert version == "brain.Event:2"
    rows = [json.loads(line) for line in (runs / "low" / "metrics.jsonl").read_text().splitlines()]
    expected = {(row["step"], name): value for row in rows for name, value in row.items() if name != "step"}
    assert found == pytest.approx(expected, rel=1e-6)


def test_tensorboard_itself_reads_them(runs: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="needs tensorboard")
    board = reader.EventAccumulator(str(runs / "low"))
    board.Reload()
    assert [event.step for event in board.Scalars("vae/kl")] == [2, 4, 6, 8, 10, 12]


def test_the_longer_bridge_went_on(runs: Path) -> None:
    config = json.loads((runs / "bridge" / "config.json").read_text())
    assert config["run"]["steps"] == 16
    assert {path.name for path in (runs / "bridge" / "checkpoints").glob("step-*")} == {
        "step-00000012",
        "step-00000016",
    }


def test_evaluate_prints_and_keeps_the_figures(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isthmus.evaluation.judge.Recipe", functools.partial(Recipe, steps=100))
    assert main(["evaluate", str(runs / "bridge"), "--json", "--draws", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    for way in ("a_to_b", "b_to_a"):
        assert 0 <= found[way]["accuracy"] <= 1
        assert found[way]["judge"] > 0.9  # digits are easy to tell apart, whatever the bridge does
    assert json.loads((runs / "bridge" / "evaluation.json").read_text()) == found
    assert main(["evaluate", str(runs / "bridge"), "--draws", "2"]) == 0
    assert "accuracy" in capsys.readouterr().out


def test_evaluate_measures_what_a_vae_can_do(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(runs / "low"), "--json", "--checkpoint", "best"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["reconstruction"]["mean_squared_error"] > 0
    assert found["likelihood"]["provenance"]["images"] == [91]  # zeros and ones among scikit-learn's test digits
    assert found["checkpoint"] == "best"


def test_pictures_go_in_and_come_out(runs: Path, here: Path) -> None:
    assert main(["sample", str(runs / "low"), "--out", "drawn", "-n", "3", "--seed", "0"]) == 0
    assert (
        main(["translate", str(runs / "bridge"), "drawn", "--out", "carried", "--to", "b", "--grid", "sheet.png"]) == 0
    )
    assert sorted(path.name for path in Path("carried").iterdir()) == [f"sample-{i}.png" for i in (1, 2, 3)]
    with Image.open("carried/sample-1.png") as image:
        assert image.size == (8, 8)
    assert Path("sheet.png").stat().st_size > 100


def test_a_config_reproduces_the_weights(runs: Path, tmp_path: Path) -> None:
    """A run's own config.json, of a simple model and of one with models inside; and the same as TOML."""
    assert main(["train", "--config", str(runs / "low" / "config.json"), "--out", str(tmp_path / "low")]) == 0
    assert same_weights(tmp_path / "low", runs / "low")
    ends = ["--a", str(runs / "low"), "--b", str(runs / "high")]
    given = ["train", f"--config={runs / 'bridge' / 'config.json'}", *ends, "--out", str(tmp_path / "bridge")]
    assert main(given) == 0
    assert same_weights(tmp_path / "bridge", runs / "bridge")
    (tmp_path / "vae.toml").write_text(
        'model = "vae"\n[config]\nlatent = 2\nhidden = 8\n[data]\ndata = ["digits:0-1"]\n'
        '[run]\nsteps = 99\nbatch_size = 8\naccelerator = "cpu"\nthreads = 1\n'
    )
    toml = ["train", "--config", str(tmp_path / "vae.toml"), "--out", str(tmp_path / "toml"), "--steps", "12"]
    assert main(toml) == 0
    assert same_weights(tmp_path / "toml", runs / "low")  # what the command line says goes before the file


def test_folders_are_found_from_everywhere(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run on `folder:photos` goes on, and is measured, from another working directory."""
    for name in ("cat", "dog"):
        Path("photos", name).mkdir(parents=True)
        for i in range(20):
            Image.effect_noise((8, 8), 50 + i).save(Path("photos", name, f"{i}.png"))
    assert train_vae("run", data="folder:photos:cat") == 0
    monkeypatch.chdir("/")
    assert main(["resume", str(here / "run"), "--steps", "14"]) == 0
    assert main(["evaluate", str(here / "run")]) == 0
    config = json.loads((here / "run" / "config.json").read_text())
    assert config["data"]["data"] == [f"folder:{here}/photos:cat"]
    assert config["specs"][0]["name"] == "folder:photos:cat"  # as it was written
    isthmus.load(here / "run").save(here / "public")
    assert str(here) not in (here / "public" / "config.json").read_text()


# --- what there is


def test_models_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"]) == 0
    found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert found.keys() == catalog().keys()
    vae = found["vae"]
    assert (vae["family"], vae["year"], vae["arxiv"]) == ("autoencoders", 2014, "1312.6114")
    assert vae["capabilities"] == ["samples", "autoencodes", "bounds"]
    latent = next(option for option in vae["options"] if option["name"] == "latent")
    assert (latent["annotation"], latent["default"], latent["required"]) == ("int", 20, False)
    assert latent["meaning"]


@pytest.mark.parametrize("width", [80, 120])
def test_models_as_a_table_that_fits(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    for entry in catalog().values():
        assert any(line.split()[:1] == [entry.name] for line in lines)
        assert f"{entry.title}. {entry.authors}, {entry.year}." in text


@pytest.mark.parametrize("options", [[], ["--hidden", "7", "--size", "12x8", "--channels", "1", "--trial-steps", "2"]])
def test_estimate_counts_parameters(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", "vae", "--threads", "1", *options]) == 0
    hidden, pixels, latent = (7, 96, 20) if options else (500, 3 * 32 * 32, 20)
    count = (pixels + 1) * hidden + (hidden + 1) * 2 * latent + (latent + 1) * hidden + (hidden + 1) * pixels
    found = " ".join(capsys.readouterr().out.split())
    assert f"parameters of vae {count:,} parameters frozen 0" in found


def test_estimate_takes_the_shape_of_the_models_inside(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ends = ["--a", str(runs / "low"), "--b", str(runs / "high")]
    small = ["--hidden", "8", "--layers", "1", "--trial-steps", "2", "--threads", "1"]
    assert main(["estimate", "latent-bridge", *ends, *small]) == 0
    found = " ".join(capsys.readouterr().out.split())
    true = load_model(runs / "bridge")
    for name, player in true.players().items():
        assert f"parameters of {name} {sum(p.numel() for p in player.parameters()):,}" in found
    assert found.startswith("images 8x8, 1 channel images 8x8, 1 channel")
    assert not Path("unused").exists()


def test_experiments_are_listed_without_torch() -> None:
    code = "import sys, isthmus.apps.cli as cli; cli.main(['experiment', '--list']); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "bridge-digits" in done.stdout


# --- help


def shown(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The help without boxes and line breaks. Exit code 0, whether by return or by SystemExit."""
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = int(stop.code or 0)
    assert code == 0
    text = capsys.readouterr().out
    assert not re.search(r"None|options options|default: (False|\))|STR\b", text), text
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_the_overview_names_every_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(arguments, capsys)
    for name, meaning in COMMANDS.items():
        assert f"{name} {meaning}" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown([name, "--help"], capsys)
    assert "usage: isthmus" in text
    assert shown(["help", name], capsys) == text
    assert shown([name, "-h"], capsys) == text


@pytest.mark.parametrize("name", [n for n in COMMANDS if n not in ("train", "estimate", "data")])
def test_help_says_what_every_parameter_means(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    function = getattr(importlib.import_module(f"isthmus.apps.commands.{name}"), name)
    text = shown([name, "--help"], capsys)
    documented = " ".join((function.__doc__ or "").split())
    for parameter, settings in inspect.signature(function).parameters.items():
        assert f" {parameter}: " in documented
        if "Positional" not in str(settings.annotation):
            assert f"--{parameter.replace('_', '-')}" in text


@pytest.mark.parametrize("command", ["train", "estimate"])
@pytest.mark.parametrize("name", catalog())
def test_help_of_a_model_names_every_option_with_its_meaning(
    command: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown([command, name, "--help"], capsys)
    for option in catalog()[name].options:
        assert f"-{option.name.replace('_', '-')} " in text
        assert option.meaning in text
        if not option.required and not isinstance(option.default, bool) and option.default is not None:
            assert f"{option.meaning} (default: {shlex.quote(str(option.default))})" in text
    for options in (DataOptions, RunOptions) + ((CommandOptions,) if command == "train" else ()):
        meanings = comments(options)
        for field in fields(options):
            assert f"--{field.name.replace('_', '-')} " in text
            assert meanings[field.name] in text


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"isthmus {__version__}\n"


def test_the_program_of_its_own(tmp_path: Path) -> None:
    """`python -m isthmus`, with the exit codes that a shell sees."""
    assert program(["--version"], tmp_path).stdout == f"isthmus {__version__}\n"
    wrong = program(["trian"], tmp_path)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == "error: there is no command 'trian'; did you mean isthmus train?\n"


def test_warnings_are_a_line(tmp_path: Path) -> None:
    for i in range(3):
        put(f"{tmp_path}/a/{i}.png")
    (tmp_path / "a/2.png").write_bytes(b"no picture")
    found = program(
        ["train", "vae", "--data", "folder:a", "--steps", "1", "--validation", "0", "--out", "run"], tmp_path
    )
    assert found.returncode == 0
    assert found.stderr.startswith("warning: folder:a: 1 of 2 pictures left out: 2.png is not a picture")


def test_options_of_all_kinds_are_read(here: Path) -> None:
    values = ["--flip", "--size=8", "--channels", "1", "--no-conditional"]
    assert train_vae("a", *values[:-1], "--validation", "0") == 0
    config = json.loads(Path("a/config.json").read_text())
    assert config["data"]["flip"] is True
    assert (config["data"]["size"], config["data"]["channels"], config["run"]["validation"]) == ("8", 1, 0.0)
    assert not list(Path("a").glob("checkpoints/best"))
    assert train_vae("b", *SMALL, *SHORT, "--seed", "-3", "--batch_size", "4") == 0
    assert json.loads(Path("b/config.json").read_text())["run"]["batch_size"] == 4
    assert train_bridge("c", "a", "a", "--data", "digits:0-1", "digits:0-1", values[-1]) == 0
    assert load_model(Path("c")).config()["conditional"] is False
    assert torch.isfinite(load_model(Path("c")).translate(torch.zeros(2, 1, 8, 8), "b")).all()  # type: ignore[operator]


def test_words_from_the_user_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "[bold]runs[/bold]/[x]"]) == 2
    assert "there is no run folder [bold]runs[/bold]/[x]" in said(capsys)
