"""What users get wrong: one sentence that names the thing and the mend, exit code 2, and nothing made or lost.

What stops a command midway is in test_stopped.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from command_line import RULE, SHORT, SMALL, put, said, train_bridge, train_vae
from isthmus.apps.cli import main

TRAIN = ["train", "vae", "--out", "new", *SMALL, *SHORT]
NOWHERE = "/proc/nowhere"  # where nobody, not even root, can make a folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs to do wrong things with: two autoencoders, bridges with and without a rule; and folders of pictures."""
    folder = tmp_path_factory.mktemp("made")
    assert train_vae(folder / "low") == 0
    assert train_vae(folder / "high", data="digits:2-3") == 0
    assert train_bridge(folder / "bridge", folder / "low", folder / "high", *RULE) == 0
    assert train_bridge(folder / "unpaired", folder / "low", folder / "high", *RULE[:3]) == 0
    (folder / "empty").mkdir()
    (folder / "notes").mkdir()
    (folder / "notes" / "a.txt").write_text("no picture")
    for name in ("one/a", "pets/cat/a", "pets/cat/b", "pets/cat/c", "pets/dog/a", "pets/dog/b", "pets/dog/c"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((12, 12), 60).save(folder / f"{name}.png")
    (folder / "torn").mkdir()
    (folder / "torn" / "a.png").write_bytes(b"not a picture")
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with copies of all that."""
    place = tmp_path / "here"
    shutil.copytree(made, place)
    monkeypatch.chdir(place)
    return place


def files(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence with which a command is refused, having changed no file."""
    before = files(Path.cwd())
    assert main(arguments) == 2
    assert files(Path.cwd()) == before
    (line,) = said(capsys).splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


# --- options

OPTIONS = {
    "say which model: isthmus train MODEL": ["train"],
    "no model named 'va'; did you mean vae": ["train", "va"],
    "no model named 'latent_brige'; did you mean latent-bridge": ["train", "latent_brige"],
    "there is no command 'trian'; did you mean isthmus train?": ["trian"],
    "did you mean isthmus --version?": ["--verison"],
    "isthmus train vae needs --out; isthmus train vae --help shows every option": ["train", "vae"],
    "isthmus train vae has no option --lantent; did you mean --latent?": ["train", "vae", "--lantent", "3"],
    "has no option --stepps; did you mean --steps?": [*TRAIN, "--stepps=3"],
    "has no option --qqq; isthmus train vae --help shows every option": [*TRAIN, "--qqq"],
    "needs --a and --b": ["train", "latent-bridge", "--out", "new"],
    "--out needs a value": ["train", "vae", "--out", "--steps", "3"],
    "--config needs a value": ["train", "vae", "--config"],
    "isthmus train vae does not understand 'more'": [*TRAIN, "more"],
    "--steps must be a whole number, got 'many'": [*TRAIN, "--steps", "many"],
    "--lr must be a number, got 'nan'": [*TRAIN, "--lr", "nan"],
    "--network must be mlp or conv, got 'big'": [*TRAIN, "--network", "big"],
    "--channels must be 1 or 3 or 4, got '2'": [*TRAIN, "--channels", "2"],
    "--steps must be at least 1, got -1": [*TRAIN, "--steps", "-1"],
    "--batch-size must be at least 1, got 0": [*TRAIN, "--batch-size", "0"],
    "--threads must be positive, got -1": [*TRAIN, "--threads", "-1"],
    "--latent must be positive, got -2": [*TRAIN, "--latent", "-2"],
    '--size is "128", or "128x96"': [*TRAIN, "--size", "big"],
    "--test-fraction lies between 0 and 1, got 2.0": [*TRAIN, "--test-fraction", "2"],
    "no loss 'vae/kll' to monitor; there are: vae/reconstruction, vae/kl": [*TRAIN, "--monitor", "vae/kll"],
    "isthmus evaluate needs RUN": ["evaluate"],
    "isthmus interpolate needs START and END": ["interpolate", "a", "--out", "b.png"],
    "isthmus score needs RUN": ["score"],
    "isthmus swap needs --out": ["swap", "a"],
    "--keep must be top or bottom or left or right or": ["complete", "a", "b", "--keep", "middle", "--out", "c"],
    "--temperature must be 0 or more, got -1": ["sample", "low", "--temperature", "-1", "--out", "new"],
    "--free-bits must not be negative": [*TRAIN, "--free-bits", "-1"],
    "autoencoder-kl is used as it is and not trained": ["train", "autoencoder-kl", "--data", "digits", "--out", "new"],
    "--draws must be at least 1, got 0": ["evaluate", "bridge", "--draws", "0"],
    "there is no group of figures 'luck'; there are samples": ["evaluate", "bridge", "--groups", "luck"],
    "--seeds must be at least 1, got 0": ["experiment", "vae", "--seeds", "0"],
    "no experiment named 'bridge-digit'; did you mean bridge-digits": ["experiment", "bridge-digit"],
    "say which experiment, or --all": ["experiment"],
    "--trial-steps must be at least 1, got 0": ["estimate", "vae", "--trial-steps", "0"],
    "no model named 'gna'": ["estimate", "gna"],
    "say isthmus data check SPEC [SPEC], not isthmus data chek": ["data", "chek"],
    "isthmus models has no option --jsn; did you mean --json?": ["models", "--jsn"],
}


@pytest.mark.parametrize("message", OPTIONS)
def test_options(message: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in refused(OPTIONS[message], capsys)


def test_precision_and_devices_that_are_not_there(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert "--precision 16-mixed needs a CUDA device" in refused([*TRAIN, "--precision", "16-mixed"], capsys)
    message = refused([*TRAIN, "--accelerator", "cuda"], capsys)
    assert "1 cuda device asked for, and none found; give --accelerator auto" in message
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    message = refused([*TRAIN, "--accelerator", "cuda", "--devices", "3"], capsys)
    assert "3 cuda devices asked for, and 2 found" in message


def test_a_logger_that_is_not_installed(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # importing it fails
    assert "pip install wandb" in refused([*TRAIN, "--wandb", "project"], capsys)


# --- files of defaults

CONFIGS = {
    "cannot read the configuration file.json: No such file": None,
    "file.json is not JSON (Expecting": '{"model": "vae", ',
    "file.json has an unknown table 'foo'; wanted are": '{"foo": 1}',
    "file.json holds no tables": "[1]",
    "file.json has values where tables should be": '{"model": 3, "run": []}',
    "no model named 'nope'": '{"model": "nope"}',
    "table config has no option 'lantent'; did you mean latent?": '{"model": "vae", "config": {"lantent": 3}}',
    "table run has no option 'stepps'; did you mean steps?": '{"model": "vae", "run": {"stepps": 3}}',
    "latent in the table config must be a whole number, got 'x'": '{"model": "vae", "config": {"latent": "x"}}',
    "latent in the table config must be a whole number, got True": '{"model": "vae", "config": {"latent": true}}',
    "network in the table config must be mlp or conv, got 'x'": '{"model": "vae", "config": {"network": "x"}}',
    "data in the table data must be a list, got 'digits'": '{"model": "vae", "data": {"data": "digits"}}',
    "--steps must be at least 1, got 0": '{"model": "vae", "run": {"steps": 0}}',
}


@pytest.mark.parametrize("message", CONFIGS)
def test_files_of_defaults(message: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if (content := CONFIGS[message]) is not None:
        Path("file.json").write_text(content)
    assert message in refused(["train", "--config", "file.json", "--out", "new"], capsys)


def test_more_files_of_defaults(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("file.toml").write_text("model = vae")
    assert "file.toml is not TOML" in refused(["train", "--config", "file.toml", "--out", "new"], capsys)
    Path("file.json").write_bytes(b"\xff\xfe\x00")
    assert "file.json is not JSON" in refused(["train", "--config", "file.json", "--out", "new"], capsys)
    other = ["train", "latent-bridge", "--config", "low/config.json", "--out", "new"]
    assert "table config has no option 'latent'" in refused(other, capsys)
    message = refused(["train", "--config", "bridge/config.json", "--out", "new"], capsys)
    assert "isthmus train latent-bridge needs --a and --b" in message  # their weights are not in the file


# --- data

BRIDGE = ["train", "latent-bridge", "--a", "low", "--b", "high", "--out", "new", *SHORT]
DATA = {
    "there is no folder missing": [*TRAIN, "--data", "folder:missing"],
    "empty is empty: put pictures there": [*TRAIN, "--data", "folder:empty"],
    "notes holds no pictures, only other files (.txt)": [*TRAIN, "--data", "folder:notes"],
    "none of 1 pictures can be read, e.g. a.png": [*TRAIN, "--data", "folder:torn"],
    "one has 1 image, too few for --validation": [*TRAIN, "--data", "folder:one"],
    "asks for class cow; the classes are cat, dog": [*TRAIN, "--data", "folder:pets:cat,cow"],
    "asks for class 12": [*TRAIN, "--data", "digits:12"],
    'unknown data "digts": did you mean digits': [*TRAIN, "--data", "digts"],
    "no data named": [*TRAIN, "--data"],
    '"pets" is a folder: write folder:pets': [*TRAIN, "--data", "pets"],
    "VAE is trained on": [*TRAIN, "--data", "digits", "digits"],
    "LatentBridge is trained on": [*BRIDGE, "--data", "digits:0-1"],
    "folder:torn: none of 1 pictures can be read, e.g. a.png is not": ["data", "check", "folder:torn"],
    "--pair names class 7, which digits:2-3 does not have": [*BRIDGE, *RULE[:3], "--pair", "0=2,1=7"],
    "--pair names class 9, which digits:0-1 does not have": [*BRIDGE, *RULE[:3], "--pair", "9=2"],
    '--pair is "index", "class", or a rule': [*BRIDGE, *RULE[:3], "--pair", "some"],
    "--pair class finds no class name in both": [*BRIDGE, *RULE[:3], "--pair", "class"],
    "the model of domain a is made for 8x8, 1 channel": [*BRIDGE, "--data", "folder:pets", "digits:2-3"],
    "the model of domain b is made for 8x8, 1 channel": [*BRIDGE, "--data", "digits:0-1", "folder:pets"],
    "made for 8x8, 1 channel, 2 classes, but its data are 16x16": [*BRIDGE, *RULE, "--size", "16"],
    "but its data are 8x8, 3 channels": [*BRIDGE, *RULE, "--channels", "3"],
    "--b needs a model that autoencodes, which bridge does not; these do: ": [*BRIDGE, *RULE, "--b", "bridge"],
    "there is no run folder gone": [*BRIDGE, *RULE, "--b", "gone"],
}


@pytest.mark.parametrize("message", DATA)
def test_data(message: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in refused(DATA[message], capsys)


def test_one_image_is_enough_if_one_insists(here: Path) -> None:
    assert main([*TRAIN, "--data", "folder:one", "--validation", "0"]) == 0


def test_a_run_whose_data_have_moved(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_vae("run", "--validation", "0", data="folder:pets") == 0
    capsys.readouterr()
    Path("pets").rename("animals")
    for command in (["resume", "run", "--steps", "14"], ["evaluate", "run"]):
        message = refused(command, capsys)
        assert f"there is no folder {here}/pets; if the data have moved, change the table data in run/conf" in message
    config = Path("run/config.json")
    config.write_text(config.read_text().replace(f"{here}/pets", "animals"))
    assert main(["resume", "run", "--steps", "14"]) == 0


CHANGES: dict[str, Callable[[], object]] = {
    "2 classes now (class 1 was dog and is wolf); bring back": lambda: Path("pets/dog").rename("pets/wolf"),
    "3 classes now (class 0 was cat and is ant); bring back": lambda: put("pets/ant/a.png", 1, (12, 12)),
    "3 classes now (class 2 was none and is wolf); bring back": lambda: put("pets/wolf/a.png", 1, (12, 12)),
    "12x12, 3 channels, 2 classes now; bring back": lambda: put("pets/dog/d.png", 3, (12, 12)),
    "6x5, 1 channel, 2 classes now; bring back": lambda: [put(str(a), 1, (5, 6)) for a in Path("pets").rglob("*.png")],
}


@pytest.mark.parametrize("message", CHANGES)
def test_a_run_whose_data_have_changed(message: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Above all, labels must not change their meaning without a word."""
    assert train_vae("run", "--validation", "0", data="folder:pets") == 0
    capsys.readouterr()
    CHANGES[message]()
    made_for = f"the model in run is made for 12x12, 1 channel, 2 classes, but folder:{here}/pets is "
    for command in (["resume", "run", "--steps", "14"], ["evaluate", "run"], ["reconstruct", "run", "--out", "new"]):
        sentence = refused(command, capsys)
        assert made_for in sentence
        assert message in sentence


# --- runs


def break_config(**changes: object) -> None:
    config = json.loads(Path("low/config.json").read_text())
    Path("low/config.json").write_text(json.dumps(config | changes))


def test_runs_that_are_not_whole(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is refused by whoever loads a model, and by resume."""
    whole = {name: (Path("low") / name).read_bytes() for name in ("config.json", "model.safetensors")}
    use = ["sample", "low", "--out", "new"]
    measure, go_on = ["evaluate", "low"], ["resume", "low", "--steps", "20"]
    assert "there is no run folder gone" in refused(["evaluate", "gone"], capsys)
    assert "empty is not a run folder: it has no config.json" in refused(["resume", "empty"], capsys)
    assert "low has no checkpoint 'some'; there are: best, step-" in refused([*use, "--checkpoint", "some"], capsys)

    break_config(format=99, isthmus="9.0")
    for command in (use, measure, go_on):
        assert "low was made by Isthmus 9.0, which is newer: upgrade Isthmus" in refused(command, capsys)
    Path("low/config.json").write_bytes(whole["config.json"][:200])
    for command in (use, measure, go_on):
        assert "low/config.json is damaged" in refused(command, capsys)
    Path("low/config.json").write_text('{"format": 1}')
    for command in (use, measure, go_on):
        assert "low/config.json describes no model of Isthmus" in refused(command, capsys)

    table = json.loads(whole["config.json"])
    Path("low/config.json").write_bytes(whole["config.json"])
    break_config(run=table["run"] | {"magic": 1})
    assert "has an option 'magic' that this version of Isthmus lacks" in refused(go_on, capsys)
    break_config(data=table["data"] | {"magic": 1})
    assert "has an option 'magic' that this version of Isthmus lacks" in refused(measure, capsys)
    for steps in ({}, {"steps": "x"}):
        break_config(run={**table["run"], **steps} if steps else {}, data=table["data"])
        assert "low/config.json is damaged" in refused(go_on, capsys)
    break_config(run=3)
    assert "does not say what data and options" in refused(go_on, capsys)

    Path("low/config.json").write_bytes(whole["config.json"])
    Path("low/model.safetensors").write_bytes(whole["model.safetensors"][:-100])
    assert "the weights in low/model.safetensors cannot be read" in refused(use, capsys)
    Path("low/model.safetensors").unlink()
    assert "low has no checkpoint 'last'; there are: best, step-" in refused(use, capsys)
    shutil.rmtree("low/checkpoints")
    assert "it was stopped before its first: isthmus resume low" in refused(use, capsys)
    assert "low has no checkpoint to go on from; train it again with --overwrite" in refused(go_on, capsys)


def test_what_a_model_cannot_do(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = "one/a.png"
    message = refused(["translate", "low", picture, "--out", "new"], capsys)
    assert "vae cannot translate; these can: latent-bridge" in message
    message = refused(["translate", "bridge", picture, "--to", "c", "--out", "new"], capsys)
    assert "has no domain 'c' to translate to; its domains are a (digits:0-1), b (digits:2-3)" in message
    assert "this model and its data have no figures of likelihood" in refused(
        ["evaluate", "bridge", "--groups", "likelihood"], capsys
    )


def test_resuming_what_is_complete(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for steps in ([], ["--steps", "12"], ["--steps", "5"]):
        assert "low is complete at step 12; give more, e.g. --steps 24" in refused(["resume", "low", *steps], capsys)
    assert "--steps must be at least 1, got -1" in refused(["resume", "low", "--steps", "-1"], capsys)


# --- outputs


def test_what_exists_is_not_overwritten(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "low exists; give another --out, --overwrite it, or isthmus resume low" in refused(
        [*TRAIN, "--out", "low"], capsys
    )
    for taken in ("pets", "notes", "notes/a.txt"):
        message = refused([*TRAIN, "--out", taken, "--overwrite"], capsys)
        assert f"{taken} is not a run folder, so --overwrite leaves it alone" in message
    assert main([*TRAIN, "--out", "empty"]) == 0  # an empty folder is free
    assert main([*TRAIN, "--out", "low", "--overwrite", "--steps", "3"]) == 0
    assert json.loads(Path("low/config.json").read_text())["run"]["steps"] == 3


def test_a_folder_of_runs_is_no_demo(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is one with runs of the same names as the demo's, or a demo to which something was added."""
    assert f"{here} exists" in refused(["demo", "--out", str(here)], capsys)
    for name in ("runs", "more"):
        Path(name).mkdir()
        for part in ("a", "b", "bridge"):
            shutil.copytree("low", f"{name}/{part}")
    Path("more/results.json").write_text("{}")
    Path("more/notes.txt").write_text("mine")
    shutil.copytree("pets", "mine/a")
    Path("mine/results.json").write_text("{}")
    overwrite = ["demo", "--overwrite", "--out"]
    for taken in (str(here), "runs", "low", "pets"):
        message = refused([*overwrite, taken], capsys)
        assert f"{taken} is not a demo's folder, so --overwrite leaves it alone" in message
    assert "more holds more than a demo (notes.txt), so --overwrite leaves it" in refused([*overwrite, "more"], capsys)
    assert "mine/a is not a run folder, so --overwrite leaves it alone" in refused([*overwrite, "mine"], capsys)


def test_places_that_cannot_be_written_to(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"cannot create {NOWHERE}/run" in refused([*TRAIN, "--out", f"{NOWHERE}/run"], capsys)
    message = refused(["sample", "low", "--out", f"{NOWHERE}/a.png"], capsys)
    assert f"cannot write {NOWHERE}/a.png" in message
    assert f"cannot write {NOWHERE}/" in refused(["demo", "--out", f"{NOWHERE}/demo"], capsys)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").chmod(0o500)
    assert "Permission denied" in refused([*TRAIN, "--out", "empty/run"], capsys)
