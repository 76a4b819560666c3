"""isthmus swap, complete and score: what sheets, files and tables hold, and what is refused."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from command_line import files, put
from isthmus.apps.cli import main
from isthmus.apps.commands.swap import swap
from isthmus.apps.trained import Trained
from isthmus.core import Model, Spec
from isthmus.data.images import Images
from isthmus.data.open import open_data
from isthmus.data.options import DataOptions
from isthmus.data.read import read
from isthmus.errors import ConfigError, OutputError
from isthmus.evaluation.likelihood import GREY_LEVEL
from tiny_models import RowDrawer, RowSwapper, save_vae

CLASSES = Spec(3, 32, 40, ("cat", "T-shirt/top", "dog"))  # large enough to be shown as it is
DRAWN = Spec(1, 32, 40)
GAP = 2  # between the pictures of a sheet


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stand_in(monkeypatch: pytest.MonkeyPatch, model: Model, **config: object) -> Trained:
    """What the commands load instead of a run folder."""
    trained = Trained(model, {"specs": [asdict(spec) for spec in model.specs], **config})
    monkeypatch.setattr("isthmus.apps.bulk.load", lambda *_: trained)
    return trained


@pytest.fixture
def swapper(here: Path, monkeypatch: pytest.MonkeyPatch) -> Trained:
    return stand_in(monkeypatch, RowSwapper().build(CLASSES))


@pytest.fixture
def drawer(here: Path, monkeypatch: pytest.MonkeyPatch) -> Trained:
    return stand_in(monkeypatch, RowDrawer().build(DRAWN))


def tiles(file: str, columns: int) -> list[list[np.ndarray]]:
    """The pictures of a sheet, row by row; each is 32 high and 40 wide."""
    pixels = read(file)
    height, width = 32 + GAP, 40 + GAP
    assert pixels.shape[1] == columns * width + GAP
    rows = (pixels.shape[0] - GAP) // height
    place = [[(GAP + y * height, GAP + x * width) for x in range(columns)] for y in range(rows)]
    return [[pixels[y : y + 32, x : x + 40] for y, x in row] for row in place]


def say(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    return line


# --- swap


def test_a_sheet_has_a_row_for_each_picture_and_a_column_for_each_class(swapper: Trained) -> None:
    put("in/a.png"), put("in/b.png")
    assert main(["swap", "run", "in", "--out", "sheet.png"]) == 0
    rows = tiles("sheet.png", 4)
    assert len(rows) == 2
    for name, (original, cat, top, dog) in zip("ab", rows, strict=True):
        assert np.array_equal(original, swapper.fitted(Path(f"in/{name}.png"), CLASSES))
        assert [row[0].mean() for row in (cat, top, dog)] == [0, 128, 255]
        assert all(np.array_equal(row[1:], original[1:]) for row in (cat, top, dog))
    assert main(["swap", "run", "in/a.png", "--out", "some.png", "--classes", "dog", "cat"]) == 0
    original, dog, cat = tiles("some.png", 3)[0]
    assert [row[0].mean() for row in (dog, cat)] == [255, 0]


def test_single_files_are_named_by_picture_and_class(swapper: Trained) -> None:
    put("in/a.jpg"), put("in/deep/b.png", bits=16)
    assert main(["swap", "run", "in", "--out", "out"]) == 0
    names = [f"{name}-{kind}.png" for name in ("a", "deep/b") for kind in ("T-shirt_top", "cat", "dog")]
    assert files("out") == names
    assert read("out/a-dog.png")[0].mean() == 255
    assert read("out/deep/b-dog.png").dtype == np.uint16
    before = Path("out/a-dog.png").read_bytes()
    with pytest.raises(OutputError, match=r"out/a-dog\.png exists; --overwrite it"):
        swap("run", (Path("in/a.jpg"),), out=Path("out"), classes=("dog",))
    assert Path("out/a-dog.png").read_bytes() == before
    assert main(["swap", "run", "in", "--out", "out", "--overwrite"]) == 0


def test_the_class_of_pictures_can_be_told(swapper: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    told: list[object] = []
    encode = swapper.model.encode  # type: ignore[attr-defined]
    swapper.model.encode = lambda image, label=None: (told.append(label), encode(image, label))[1]  # type: ignore[attr-defined]
    picture = str(put("a.png"))
    assert main(["swap", "run", picture, "--out", "one.png"]) == 0
    assert main(["swap", "run", picture, "--out", "two.png", "--label", "dog"]) == 0
    assert told == [None, torch.tensor([2])]
    assert main(["swap", "run", picture, "--out", "three.png", "--label", "pig"]) == 2
    assert say(capsys) == "error: no class pig; the classes are cat, T-shirt/top, dog"


def test_without_pictures_test_images_are_taken_with_their_classes(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    digits = Spec(1, 8, 8, ("5", "6", "7", "8", "9"))
    trained = stand_in(monkeypatch, RowSwapper().build(digits), data={"data": ["digits:5-9"]})
    told: list[int] = []
    encode = trained.model.encode  # type: ignore[attr-defined]
    trained.model.encode = lambda image, label: (told.extend(label.tolist()), encode(image, label))[1]  # type: ignore[attr-defined]
    monkeypatch.setattr(trained, "part", 3)
    command = ["swap", "run", "--out", "out", "-n", "7", "--seed", "1"]
    assert main(command) == 0
    (test,) = open_data(DataOptions(data=("digits:5-9",)), "test")
    index = torch.randperm(len(test), generator=torch.Generator().manual_seed(1))[:7]
    assert isinstance(test, Images)
    assert test.labels is not None
    assert told == test.labels[index].tolist()
    assert files("out") == sorted(f"test-{i}-{name}.png" for i in index.tolist() for name in digits.classes)
    i = int(index[4])
    assert np.array_equal(read(f"out/test-{i}-9.png")[1:, :, 0], test.pixels[i, 0, 1:])
    assert main(command) == 2
    assert "exists; --overwrite it" in say(capsys)


def test_what_cannot_be_swapped(
    swapper: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match="run does not say what data it was trained on: name pictures after it"):
        swap("run", out=Path("x.png"))
    with pytest.raises(ConfigError, match="-n is the number of test images, at least 1, got 0"):
        swap("run", out=Path("x.png"), n=0)
    with pytest.raises(ConfigError, match="no class pig"):
        swap("run", (put("a.png"),), out=Path("x.png"), classes=("pig",))
    with pytest.raises(ConfigError, match=r"written as \.png"):
        swap("run", (put("a.png"),), out=Path("x.jpg"))
    with pytest.raises(OutputError, match="is one of the pictures to read"):
        swap("run", (put("a.png"),), out=Path("a.png"), overwrite=True)
    assert main(["swap", "run", "a.png", "gone.png", "--out", "x.png"]) == 2  # and the other one is done
    assert "error: 1 of 2 pictures could not be read" in capsys.readouterr().err
    assert len(tiles("x.png", 4)) == 1
    stand_in(monkeypatch, RowSwapper().build(Spec(3, 32, 40, ("a b", "a_b"))))
    with pytest.raises(OutputError, match=r"two pictures would be written to out/a-a_b\.png"):
        swap("run", (Path("a.png"),), out=Path("out"))


def test_a_model_that_cannot_swap(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_vae(Path("vae"))
    assert main(["swap", "vae", str(put("a.png")), "--out", "x.png"]) == 2
    assert say(capsys).startswith("error: vae cannot swap classes; these can: ")
    assert main(["complete", "vae", "a.png", "--out", "x.png"]) == 2
    assert say(capsys).startswith("error: vae cannot complete; these can: ")
    assert files(here) == ["a.png", "vae/config.json", "vae/model.safetensors"]


# --- complete


@pytest.mark.parametrize(("command", "count"), [("complete", "--examples"), ("reconstruct", "-n")])
def test_without_pictures_test_images_are_completed_and_reconstructed(
    command: str, count: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = RowDrawer() if command == "complete" else RowSwapper()
    stand_in(monkeypatch, model.build(Spec(1, 8, 8, ("5", "6"))), data={"data": ["digits:5-6"]})
    arguments = [command, "run", "--out", "out", "--seed", "3", *(["-n", "1"] if command == "complete" else [])]
    assert main([*arguments, count, "5"]) == 0
    (test,) = open_data(DataOptions(data=("digits:5-6",)), "test")
    index = torch.randperm(len(test), generator=torch.Generator().manual_seed(3))[:5].tolist()
    assert files("out") == sorted(f"test-{i}.png" for i in index)
    assert main([*arguments, count, "0", "--overwrite"]) == 2
    assert f"{count} is the number of test images, at least 1, got 0" in say(capsys)


def test_a_row_shows_the_picture_what_is_kept_and_the_draws(drawer: Trained) -> None:
    put("a.png", bits=16), put("b.png", channels=1)
    command = ["complete", "run", "a.png", "b.png", "--out", "sheet.png", "-n", "3", "--seed", "0", "--part", "0.25"]
    assert main(command) == 0
    rows = tiles("sheet.png", 5)
    assert len(rows) == 2
    for original, kept, *draws in rows:
        assert np.array_equal(kept[:8], original[:8])
        assert (kept[8:] == 127).all()
        assert len(draws) == 3
        for draw in draws:
            assert np.array_equal(draw[:8], original[:8])
            assert not np.array_equal(draw[8:], original[8:])
        assert not np.array_equal(draws[0], draws[1])
    expected = drawer.complete([Path("a.png"), Path("b.png")], "top", 0.25, n=3, seed=0)
    assert np.array_equal(rows[1][3][..., 0], np.asarray(expected[1][1]))


def test_draws_in_files(drawer: Trained) -> None:
    put("in/a.png", bits=16)
    assert main(["complete", "run", "in", "--out", "out", "-n", "2", "--keep", "left"]) == 0
    assert files("out") == ["a-1.png", "a-2.png"]
    assert read("out/a-1.png").dtype == np.uint16
    assert main(["complete", "run", "in", "--out", "one", "-n", "1", "--temperature", "0", "--keep", "top-left"]) == 0
    assert (read("one/a.png")[16:] == 32768).all()
    assert (read("one/a.png")[:16, 20:] == 32768).all()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--part", "1.5"], "--part 1.5 of 40x32 pixels leaves none to draw"),
        (["--part", "0"], "--part 0 of 40x32 pixels leaves all to draw"),
        (["--keep", "bottom"], "this model starts at the top left; keep that corner"),
        (["-n", "0"], "-n is the number of draws, at least 1, got 0"),
        (["--temperature", "-2"], "--temperature must be 0 or more, got -2"),
        (["--out", "a.png"], "a.png is one of the pictures to read and would be overwritten; give another --out"),
    ],
)
def test_what_cannot_be_completed(
    options: list[str], says: str, drawer: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    put("a.png")
    assert main(["complete", "run", "a.png", *["--out", "x.png"] * ("--out" not in options), *options]) == 2
    assert say(capsys) == f"error: {says}"
    assert files(".") == ["a.png"]


# --- score


def scores(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, tuple[float, float]]:
    """Nats and bits per dimension by file, from the command's CSV."""
    assert main(["score", "run", *arguments, "--csv"]) == 0
    header, *rows = csv.reader(capsys.readouterr().out.splitlines())
    assert header == ["picture", "nats", "bits_per_dimension"]
    return {name: (float(nats), float(bits)) for name, nats, bits in rows}


@pytest.mark.parametrize("levels", [0, 2, 256])
def test_nats_and_bits_of_each_picture(
    levels: int, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put("in/a.png", 1, (32, 40)), put("in/b.png", 1, (32, 40))
    trained = stand_in(monkeypatch, RowDrawer(levels=levels).build(DRAWN))
    found = scores(capsys, "in", "--seed", "3")
    assert [*found] == ["in/a.png", "in/b.png"]
    nats = trained.score([Path("in/a.png"), Path("in/b.png")], seed=3)
    for (ours, bits), expected in zip(found.values(), nats.tolist(), strict=True):
        assert ours == expected
        level = 0 if levels else 32 * 40 * math.log(GREY_LEVEL)  # a density is per unit, a probability per level
        assert bits == pytest.approx(-(expected + level) / (32 * 40 * math.log(2)))


def test_json_and_table_have_the_mean_and_what_is_meant(drawer: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    put("in/a.png"), put("in/b.png")
    assert main(["score", "run", "in", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["meaning"] == "the log-likelihood, of pixels with 256 levels"
    a, b = found["pictures"]
    assert (a["picture"], b["picture"]) == ("in/a.png", "in/b.png")
    for name in ("nats", "bits_per_dimension"):
        assert found["mean"][name] == pytest.approx((a[name] + b[name]) / 2)
    assert main(["score", "run", "in"]) == 0
    shown = capsys.readouterr().out
    for row in (a, b, found["mean"]):
        line = next(line for line in shown.splitlines() if line.startswith(row["picture"]))
        assert line.split()[1:] == [f"{row['nats']:,.2f}", f"{row['bits_per_dimension']:.4f}"]


def test_the_most_probable_come_first_if_asked(drawer: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(6):
        put(f"in/{i}.png", 1)
    plain, ranked = scores(capsys, "in"), scores(capsys, "in", "--sort")
    assert [*plain] == [f"in/{i}.png" for i in range(6)] != [*ranked]
    assert sorted(plain, key=plain.__getitem__, reverse=True) == [*ranked]
    assert plain == ranked


def test_a_bound_is_called_one_and_tightened(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_vae(Path("run"))
    put("in/a.png"), put("in/b.png")
    assert main(["score", "run", "in", "--json"]) == 0
    loose = json.loads(capsys.readouterr().out)
    assert main(["score", "run", "in", "--json", "--samples", "200"]) == 0
    tight = json.loads(capsys.readouterr().out)
    assert loose["meaning"] == (
        "a lower bound of the log-likelihood, of pixels that are on or off; what is between is rounded"
    )
    assert tight["meaning"].startswith("a lower bound of the log-likelihood by 200 samples, ")
    assert tight["mean"]["nats"] > loose["mean"]["nats"]
    assert main(["score", "run", "in", "--json", "--samples", "200"]) == 0
    assert json.loads(capsys.readouterr().out) == tight  # by its seed
    assert main(["score", "run", "in", "--samples", "0"]) == 2
    assert say(capsys) == "error: --samples must be positive, got 0"


def test_what_cannot_be_scored(drawer: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    put("in/a.png")
    Path("in/b.png").write_bytes(b"")
    assert main(["score", "run", "in", "--csv"]) == 2  # and the others are
    told = capsys.readouterr()
    assert told.out.splitlines()[1].startswith("in/a.png,")
    assert told.err.splitlines()[-1].startswith("error: 1 of 2 pictures could not be read, e.g. in/b.png is an empty")
    assert main(["score", "run", "in/b.png"]) == 2
    assert capsys.readouterr().out == ""
    for arguments, says in (
        (["in", "--json", "--csv"], "--json and --csv are two ways to print the same; give one of them"),
        (["in/a.png", "--samples", "5"], "tiny-models has no bound that samples could tighten; leave them out"),
        ([], "no pictures named: give files or folders"),
    ):
        assert main(["score", "run", *arguments]) == 2
        assert say(capsys) == f"error: {says}"
