"""isthmus augment: a data set of new pictures by class, which training reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from command_line import SHORT, SMALL, files, said
from isthmus import __version__
from isthmus.apps import trained
from isthmus.apps.cli import main
from isthmus.core import Spec
from isthmus.data.audio import read as read_sound
from isthmus.data.open import open_data
from isthmus.data.options import DataOptions
from isthmus.data.read import read, write
from isthmus.models.autoencoders.cvae import CVAE
from isthmus.models.autoregressive.wavenet import WaveNet
from isthmus.training.checkpoint import save_model
from tiny_models import save_bridge, save_generator, save_vae

CLASSES = Spec(1, 12, 10, ("cat", "T-shirt/top", "dog"), "folder:/home/somebody/clothes")


def save_cvae(folder: Path | str, spec: Spec = CLASSES) -> None:
    torch.manual_seed(0)
    model = CVAE(latent=2, hidden=8).build(spec)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    save_model(model, Path(folder))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save_cvae("run")
    return tmp_path


def augment(*more: str) -> int:
    return main(["augment", "run", "--out", "out", *more])


def test_each_class_has_its_folder_with_as_many_pictures_of_it(here: Path) -> None:
    assert augment("-n", "3", "--seed", "5") == 0
    names = [f"{folder}/generated-{i}.png" for folder in ("T-shirt_top", "cat", "dog") for i in (1, 2, 3)]
    assert files("out") == sorted([*names, "generated.json"])
    drawn = trained.load("run").sample(9, classes=["cat", "T-shirt/top", "dog"], seed=5)
    expected = ((drawn + 1) * 127.5).round()[:, 0].numpy()
    for i, folder in enumerate(("cat", "T-shirt_top", "dog")):
        for k in range(3):
            picture = read(f"out/{folder}/generated-{k + 1}.png")[..., 0]
            assert np.abs(picture.astype(int) - expected[3 * k + i]).max() <= 1
    assert len({Path("out", name).read_bytes() for name in names}) == 9


def test_what_is_written_says_how_it_was_made_and_no_more(here: Path) -> None:
    assert main(["augment", str(here / "run"), "--out", "out", "-n", "2", "--temperature", "0.5"]) == 0
    assert json.loads(Path("out/generated.json").read_text()) == {
        "classes": {"cat": "cat", "T-shirt_top": "T-shirt/top", "dog": "dog"},
        "of_each_class": 2,
        "seed": 0,
        "temperature": 0.5,
        "model": "cvae",
        "run": "run",
        "checkpoint": "last",
        "trained_on": "folder:clothes",
        "isthmus": __version__,
    }


def test_training_and_the_check_of_data_read_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert augment("-n", "12") == 0
    assert main(["data", "check", "folder:out", "--decode", "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)["domains"]
    counts = [part["classes"] for part in report["splits"].values()]
    assert {name: sum(count[name] for count in counts) for name in counts[0]} == {
        "T-shirt_top": 12,
        "cat": 12,
        "dog": 12,
    }
    (train,), (test,) = (open_data(DataOptions(data=("folder:out",)), split) for split in ("train", "test"))
    assert train.spec.classes == ("T-shirt_top", "cat", "dog")
    assert len(train) + len(test) == 36
    command = ["train", "cvae", "--data", "folder:out", "--out", "new", *SMALL, *SHORT, "--validation", "0"]
    assert main(command) == 0


def test_the_seed_and_the_classes_can_be_chosen(here: Path) -> None:
    for out, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert main(["augment", "run", "--out", out, "-n", "2", "--classes", "dog", "0", "--seed", seed]) == 0
    names = ["cat/generated-1.png", "cat/generated-2.png", "dog/generated-1.png", "dog/generated-2.png"]
    assert files("a") == [*names, "generated.json"]
    assert all(Path("a", name).read_bytes() == Path("b", name).read_bytes() for name in names)
    assert not any(Path("a", name).read_bytes() == Path("c", name).read_bytes() for name in names)


def test_pictures_that_are_there_stay_and_generated_ones_are_replaced_only_if_asked(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("out/cat").mkdir(parents=True)
    write("out/cat/real.png", np.zeros((12, 10, 1), np.uint8))
    assert augment("-n", "3") == 0
    before = {name: Path("out", name).read_bytes() for name in files("out")}
    assert augment("-n", "2") == 2
    assert said(capsys) == "error: out/generated.json (and 9 more) exists; --overwrite it, or give another --out"
    assert {name: Path("out", name).read_bytes() for name in files("out")} == before
    assert augment("-n", "1", "--classes", "cat", "--overwrite", "--seed", "1") == 0
    assert files("out") == ["cat/generated-1.png", "cat/real.png", "generated.json"]
    assert Path("out/cat/real.png").read_bytes() == before["cat/real.png"]
    assert Path("out/cat/generated-1.png").read_bytes() != before["cat/generated-1.png"]


def test_nothing_is_lost_where_the_model_cannot(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert augment("-n", "1") == 0
    before = {name: Path("out", name).read_bytes() for name in files("out")}
    save_vae(Path("vae"))
    assert main(["augment", "vae", "--out", "out", "--overwrite"]) == 2
    assert "vae draws from all classes at once and cannot be asked for one" in said(capsys)
    assert {name: Path("out", name).read_bytes() for name in files("out")} == before


def test_mistakes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_generator(Path("gan"))
    save_bridge(Path("bridge"))
    save_cvae("twins", Spec(1, 12, 10, ("a b", "A_b")))
    Path("file").write_text("")
    for arguments, message in (
        (["run", "--out", "out", "-n", "0"], "-n is the number of pictures of each class, at least 1, got 0"),
        (["run", "--out", "out", "--classes", "pig"], "no class pig; the classes are cat, T-shirt/top, dog"),
        (["run", "--out", "out", "--temperature", "-1"], "temperature must be 0 or more"),
        (["run", "--out", "file"], "--out file is a file; give a folder"),
        (["run", "--out", "new.png"], "written as .png; give such a name, or a folder"),
        (["gan", "--out", "out"], "this gan was trained without classes"),
        (["bridge", "--out", "out"], "latent-bridge cannot sample; these can: "),
        (["twins", "--out", "out"], "the classes a b and A_b would have the same folder, A_b"),
        (["nowhere", "--out", "out"], "there is no run folder nowhere"),
    ):
        assert main(["augment", *arguments]) == 2
        (line,) = said(capsys).splitlines()
        assert line.startswith("error: ")
        assert message in line
        assert not Path("out").exists()


def test_names_that_would_be_hidden_are_not(here: Path) -> None:
    save_cvae("hidden", Spec(1, 12, 10, (".a", "b")))
    assert main(["augment", "hidden", "--out", "out", "-n", "2"]) == 0
    (train,) = open_data(DataOptions(data=("folder:out",)), "train")
    assert train.spec.classes == ("_a", "b")


def test_sounds_are_written_as_sounds(here: Path) -> None:
    spec = Spec(1, 1, 40, ("low", "high"), "tones", rate=8000)
    torch.manual_seed(0)
    model = WaveNet(layers=2, blocks=1, features=4, hidden=8, conditional=True).build(spec)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)
    save_model(model, Path("tones"))
    assert main(["augment", "tones", "--out", "out", "-n", "2"]) == 0
    assert files("out") == [
        "generated.json",
        "high/generated-1.wav",
        "high/generated-2.wav",
        "low/generated-1.wav",
        "low/generated-2.wav",
    ]
    assert read_sound("out/low/generated-1.wav")[0] == 8000
    (train,) = open_data(DataOptions(data=("audio:out",), test_fraction=0.3), "train")
    assert train.spec.classes == ("high", "low")
