"""Translators as people use them, by the command line: what goes wrong elsewhere, tried once each.

Films have a file of their own (test_translate_films), and so have tiles (test_tiles) and single commands.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import isthmus
import tiny
from command_line import files, put, said
from isthmus.apps.cli import main
from isthmus.apps.handle import PART_VALUES
from isthmus.data.read import read
from isthmus.evaluation import reference
from isthmus.evaluation.features import AutoencoderFeatures
from isthmus.evaluation.judge import Recipe
from isthmus.models.catalog import catalog
from isthmus.training.trainer import Trainer

TWO_WAYS, PAIRED, STYLED, CLASSES = "cyclegan", "pix2pix", "munit", "stargan"
RUN = ["--size", "24x16", "--batch-size", "3", "--threads", "1", "--accelerator", "cpu", "--sample-every", "0"]
SHAPE = 16, 24
PEAK = """
import resource, sys
from isthmus.apps.cli import main
code = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(code)
"""


def train(name: str, out: Path | str, data: list[str], *more: str, steps: int = 4) -> int:
    """A few steps of a small model."""
    small = [
        word
        for option in catalog()[name].options
        if option.name in tiny.SMALL
        for word in (f"--{option.name.replace('_', '-')}", str(tiny.SMALL[option.name]))
    ]
    return main(["train", name, "--data", *data, "--out", str(out), "--steps", str(steps), *small, *RUN, *more])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of two domains, in colour and grey, and translators between them."""
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for i in range(60):
            kind = ("cat", "dog")[i % 2]
            put(f"a/{kind}/{i}.jpg", size=(20 + i, 31))
            put(f"b/{i}.png", size=(33, 40 + i))
            put(f"grey/a/{i}.png", 1)
            put(f"grey/b/{i}.png", 1)
            part = "test" if i % 3 == 0 else "train"
            put(f"pairs/{part}A/{i}.png")
            put(f"pairs/{part}B/{i}.png")
        assert train(TWO_WAYS, "run", ["folder:a", "folder:b"]) == 0
        assert train(TWO_WAYS, "grey/run", ["folder:grey/a", "folder:grey/b"]) == 0
    return root


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Only the runs: the pictures that they learnt from are gone."""
    shutil.copytree(made / "run", tmp_path / "run")
    shutil.copytree(made / "grey" / "run", tmp_path / "grey")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def error(capsys: pytest.CaptureFixture[str]) -> str:
    """The last thing that was said, which is one sentence."""
    line = said(capsys).splitlines()[-1]
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


# --- training


def losses(run: Path) -> list[dict[str, float]]:
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [{key: value for key, value in row.items() if "/" in key} for row in rows]


@pytest.mark.parametrize("name", [TWO_WAYS, STYLED])
def test_a_resumed_run_is_the_unbroken_one(
    name: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its optimisers, its pool of images, and its place in the schedule: the rate falls from the middle on."""
    monkeypatch.chdir(made)
    data = ["folder:a", "folder:b"]
    often = ["--log-every", "1", "--checkpoint-every", "3", "--validation", "0"]
    assert train(name, tmp_path / "whole", data, *often, steps=6) == 0
    left = iter(range(4))

    def cut(self: Trainer) -> None:
        next(left)
        rounds(self)

    rounds = Trainer.round
    monkeypatch.setattr(Trainer, "round", cut)
    with pytest.raises(StopIteration):
        train(name, tmp_path / "broken", data, *often, steps=6)
    monkeypatch.setattr(Trainer, "round", rounds)
    assert main(["resume", str(tmp_path / "broken")]) == 0
    found = losses(tmp_path / "broken")
    assert len(found) == 6
    assert found == losses(tmp_path / "whole")
    one, other = (tmp_path / run / "model.safetensors" for run in ("whole", "broken"))
    assert one.read_bytes() == other.read_bytes()


def test_a_loss_that_is_no_number_stops_training(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(made)
    assert train(TWO_WAYS, tmp_path / "run", ["folder:a", "folder:b"], "--lr", "1e30", "--log-every", "1") == 2
    assert "became nan by step" in error(capsys)
    assert all(
        parameter.isfinite().all() for parameter in isthmus.load(tmp_path / "run", "step-00000000").model.parameters()
    )


def test_wrong_folders_are_refused(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(made)
    (made / "empty").mkdir(exist_ok=True)
    for name, data, says in (
        (TWO_WAYS, ["folder:a", "folder:nowhere"], "there is no folder nowhere"),
        (TWO_WAYS, ["folder:a", "folder:empty"], "empty is empty: put pictures there"),
        (TWO_WAYS, ["folder:a"], "is trained on"),
        (PAIRED, ["folder:a", "folder:b"], "learns from pairs: give pairs:FOLDER, or two data sets with --pair"),
        (CLASSES, ["folder:b"], "put the images in class folders"),
    ):
        assert train(name, "new", data) == 2
        assert says in error(capsys)
    assert not (made / "new").exists()


def test_one_folder_for_two_domains_is_told(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made)
    shutil.copytree("a", tmp_path / "copy")
    for i, other in enumerate(("a", tmp_path / "copy")):
        with pytest.warns(UserWarning, match=r"(\d+) of the \1 pictures .* too: is one the wrong folder\?"):
            assert train(TWO_WAYS, tmp_path / f"run{i}", ["folder:a", f"folder:{other}"], steps=1) == 0


# --- translating


def test_one_folder_is_enough_and_no_option_is_said_again(here: Path) -> None:
    for name in ("in/a.jpg", "in/deep/b.webp", "in/deep/c.tif"):
        put(name)
    assert main(["translate", "run", "in", "--out", "out"]) == 0
    assert main(["translate", "run", "out", "--to", "a", "--out", "back"]) == 0
    assert files("out") == files("back") == ["a.png", "deep/b.png", "deep/c.png"]
    assert read("out/a.png").shape == (*SHAPE, 3)


def test_two_lines_of_python(here: Path) -> None:
    put("cat.jpg")
    model = isthmus.load("run")
    picture = model.translate("cat.jpg")
    assert (type(picture), picture.size) == (Image.Image, SHAPE[::-1])


@pytest.mark.parametrize("size", [(16, 24), (24, 16), (7, 90), (101, 33)])
def test_sizes_that_are_not_square(size: tuple[int, int], here: Path) -> None:
    put("in/a.png", size=size)
    assert main(["translate", "run", "in", "--out", "fitted"]) == 0
    assert main(["translate", "run", "in", "--tile", "--out", "tiled"]) == 0
    assert read("fitted/a.png").shape == (*SHAPE, 3)
    assert read("tiled/a.png").shape == (*size, 3)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("run", "channels", "kept"), [("run", 3, 3), ("run", 4, 4), ("grey", 1, 1), ("run", 1, 3)])
@pytest.mark.parametrize("tile", [[], ["--tile"]])
def test_channels_alpha_and_bits_stay(
    tile: list[str], run: str, channels: int, kept: int, bits: int, here: Path
) -> None:
    put("a.png", channels, (33, 45) if tile else SHAPE, bits)
    assert main(["translate", run, "a.png", "--out", "out", *tile]) == 0
    came, made = read("a.png"), read("out/a.png")
    assert (made.shape, made.dtype) == ((*came.shape[:2], kept), came.dtype)
    if channels == 4:
        assert np.array_equal(made[..., 3], came[..., 3])
    if bits == 16:
        assert len(np.unique(made)) > 256


def test_large_pictures_go_through_in_parts_of_the_trained_size(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, sizes = catalog()[TWO_WAYS].load(), []
    plain = kind.translate

    def watched(self: Any, image: Any, to: str) -> Any:
        sizes.append(image.shape)
        return plain(self, image, to)

    monkeypatch.setattr(kind, "translate", watched)
    put("a.png", size=(200, 310))
    assert main(["translate", "run", "a.png", "--tile", "--out", "out"]) == 0
    assert {size[1:] for size in sizes} == {(3, *SHAPE)}
    assert max(size.numel() for size in sizes) <= PART_VALUES
    assert sum(len(size) > 1 for size in sizes) > 0


def test_large_pictures_take_the_memory_of_pictures_and_not_of_networks(here: Path) -> None:
    """The peak of a process of its own; maps of a whole picture would be added to it."""
    peaks = []
    for size in (SHAPE, (1000, 1500)):
        put("a.png", size=size)
        command = [sys.executable, "-c", PEAK, "translate", "run", "a.png", "--tile", "--overwrite", "--out", "out"]
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
        peaks.append(1024 * int(done.stdout.splitlines()[-1]))
    assert peaks[1] - peaks[0] < 100 * 1000 * 1500


def test_what_cannot_be_read_is_named_and_the_rest_is_done(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("in/a.jpg", "in/b.jpg", "in/c.png"):
        put(name)
    Path("in/b.jpg").write_bytes(Path("in/b.jpg").read_bytes()[:200])
    Path("in/notes.txt").write_text("no picture")
    assert main(["translate", "run", "in", "--out", "out"]) == 2
    assert files("out") == ["a.png", "c.png"]
    notes, torn, end = said(capsys).splitlines()
    assert notes == "left out: of in, since they are no pictures or films: notes.txt"
    assert torn.startswith("left out: in/b.jpg cannot be decoded: ")
    assert end.startswith("error: 1 of 3 pictures could not be read, e.g. in/b.jpg")


def test_folders_that_hold_no_run_and_no_pictures(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put("in/a.jpg")
    Path("notes").mkdir()
    Path("notes/a.txt").write_text("no picture")
    for run, inputs, says in (
        ("in", "in", "in is not a run folder: it has no config.json"),
        ("run", "notes", "notes holds no pictures or films, only other files (.txt)"),
        ("run", "nowhere", "1 of 1 pictures could not be read, e.g. nowhere"),
    ):
        assert main(["translate", run, inputs, "--out", "out"]) == 2
        assert says in error(capsys)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("name", "data", "to", "kinds"),
    [
        (STYLED, ["folder:a", "folder:b"], "b", 8),
        ("bicyclegan", ["pairs:pairs"], "b", 8),
        ("funit", ["folder:a"], "example", 2),  # without an example the look of a class that it knows
        ("stargan-v2", ["folder:a"], "dog", 8),
    ],
)
def test_styles_are_drawn_or_taken_from_a_picture(
    name: str, data: list[str], to: str, kinds: int, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made)
    assert train(name, tmp_path / "run", data, "--lr", "0.01") == 0
    monkeypatch.chdir(tmp_path)
    given = ["translate", "run", str(put("picture.png")), "--to", to]
    assert main([*given, "-n", "8", "--seed", "0", "--out", "drawn"]) == 0
    assert files("drawn") == [f"picture-{i}.png" for i in range(1, 9)]
    assert len({read(f"drawn/{file}").tobytes() for file in files("drawn")}) == kinds
    one, two = (str(put(f"like/{name}.jpg")) for name in ("this", "that"))
    for out, style in (("this", [one]), ("again", [one]), ("both", [one, two]), ("folder", ["like"])):
        assert main([*given, "--style", *style, "--out", f"{out}.png"]) == 0
    this, again, both, folder = (read(f"{out}.png") for out in ("this", "again", "both", "folder"))
    assert np.array_equal(this, again)
    assert np.array_equal(both, folder)
    assert this.shape == both.shape == (*SHAPE, 3)
    assert not np.array_equal(this, both)


@pytest.mark.parametrize(("data", "to"), [(["folder:a"], ["cat", "dog"]), (["folder:a", "folder:c"], ["dog", "sun"])])
def test_one_generator_carries_to_every_class(
    data: list[str], to: list[str], made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also to those of another data set than the picture's."""
    monkeypatch.chdir(made)
    for i in range(24):
        put(f"c/{('sun', 'rain')[i % 2]}/{i}.png")
    assert train(CLASSES, tmp_path / "run", data, "--lr", "0.01") == 0
    monkeypatch.chdir(tmp_path)
    put("in/a.jpg")
    for label in to:
        assert main(["translate", "run", "in", "--to", label, "--out", label]) == 0
    one, other = (read(f"{label}/a.png") for label in to)
    assert one.shape == other.shape == (*SHAPE, 3)
    assert not np.array_equal(one, other)


def test_pairs_are_learnt_in_the_direction_that_is_asked_for(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is coloured becomes grey where the pairs' second pictures come first, and no way leads back."""
    monkeypatch.chdir(made)
    for i in range(12):
        put(f"shades/A/{i}.png", 1)
        put(f"shades/B/{i}.png")
    assert train(PAIRED, tmp_path / "run", ["pairs:shades"], "--direction", "b2a") == 0
    monkeypatch.chdir(tmp_path)
    put("in/a.jpg")
    assert main(["translate", "run", "in", "--to", "b", "--out", "out"]) == 0
    assert read("out/a.png").shape == (*SHAPE, 1)
    assert main(["translate", "run", "in", "--to", "a", "--out", "back"]) == 2
    assert "its domains are b (pairs:shades (A))" in error(capsys)


# --- measuring


@pytest.mark.parametrize(
    ("name", "data", "groups"),
    [
        (
            TWO_WAYS,
            ["folder:a", "folder:b"],
            {"a_to_b": "frechet_distance", "b_to_a": "frechet_distance", "cycles": "a"},
        ),
        (PAIRED, ["pairs:pairs"], {"a_to_b": "psnr"}),
        (STYLED, ["folder:a", "folder:b"], {"a_to_b": "kernel_distance", "cycles": "b", "styles": "diversity_b"}),
        (CLASSES, ["folder:a"], {"domains": "accuracy", "cycles": "a"}),
    ],
)
def test_each_kind_of_translator_is_measured(
    name: str,
    data: list[str],
    groups: dict[str, str],
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(made)
    monkeypatch.setattr(reference, "QUICK", Recipe(steps=10, features=4))
    learnt = AutoencoderFeatures.learnt
    monkeypatch.setattr(AutoencoderFeatures, "learnt", lambda images: learnt(images, steps=10))
    assert train(name, tmp_path / "run", [*data, "--test-fraction", "0.4"], steps=2) == 0
    assert main(["evaluate", str(tmp_path / "run"), "--draws", "2"]) == 0
    shown = capsys.readouterr().out
    found = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    for group, figure in groups.items():
        assert any(figure in key for key in found[group])
        assert group.replace("_", " ") in shown
