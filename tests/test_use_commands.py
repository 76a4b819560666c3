"""translate, sample, reconstruct: names are kept, nothing is overwritten or torn, errors are explained."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import isthmus
from command_line import files, put
from isthmus.apps.cli import main
from isthmus.apps.commands.interpolate import interpolate
from isthmus.apps.commands.reconstruct import reconstruct
from isthmus.apps.commands.sample import sample
from isthmus.apps.commands.translate import translate
from isthmus.apps.plan import numbered, plan, unique
from isthmus.apps.trained import Trained
from isthmus.data.pictures import to_array
from isthmus.data.read import read
from isthmus.errors import CapabilityError, ConfigError, DataError, IsthmusError, OutputError
from tiny_models import save_bridge, save_vae


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_vae(tmp_path_factory.mktemp("models") / "vae"))


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_bridge(tmp_path_factory.mktemp("models") / "bridge"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- translate


def test_one_picture_to_a_folder_or_a_file(bridge: str, here: Path) -> None:
    photo = put("photo.jpg")
    translate(bridge, (photo,), Path("out"), seed=0)
    translate(bridge, (photo,), Path("new/name.png"), seed=0)
    assert files("out") == ["photo.png"]
    assert np.array_equal(read("out/photo.png"), read("new/name.png"))
    assert np.array_equal(read("out/photo.png"), isthmus.load(bridge).translate([read(photo)], seed=0)[0])


def test_folders_are_walked_and_keep_their_shape(bridge: str, here: Path) -> None:
    for name in ("in/a.jpg", "in/deep/er/a.webp", "in/deep/b.png", "in/.hidden.png"):
        put(name)
    Path("in/notes.txt").write_text("not a picture")
    translate(bridge, (Path("in"),), Path("out"), to="b")
    assert files("out") == ["a.png", "deep/b.png", "deep/er/a.png"]


def test_a_second_run_does_not_read_what_the_first_wrote(bridge: str, here: Path) -> None:
    put("in/a.jpg")
    translate(bridge, (Path("in"),), Path("in/out"))
    translate(bridge, (Path("in"),), Path("in/out"), overwrite=True)
    assert files("in") == ["a.jpg", "out/a.png"]
    Path("in/a.jpg").unlink()
    with pytest.raises(DataError, match="no pictures but those in"):
        translate(bridge, (Path("in"),), Path("in/out"))


def test_results_may_lie_above_or_beside_the_pictures(bridge: str, here: Path) -> None:
    put("in/a.jpg")
    translate(bridge, (Path("in"),), Path())
    translate(bridge, (Path("in"),), Path("in"))
    assert files(".") == ["a.png", "in/a.jpg", "in/a.png"]


def test_several_draws_are_numbered_and_differ(bridge: str, here: Path) -> None:
    translate(bridge, (put("a.jpg"), put("b.jpg")), Path("out"), n=3, seed=0)
    assert files("out") == ["a-1.png", "a-2.png", "a-3.png", "b-1.png", "b-2.png", "b-3.png"]
    assert not np.array_equal(read("out/a-1.png"), read("out/a-2.png"))
    expected = isthmus.load(bridge).translate([Path("a.jpg"), Path("b.jpg")], n=3, seed=0)
    assert np.array_equal(read("out/b-2.png")[..., 0], np.asarray(expected[1][1]))


def test_names_that_clash_are_kept_apart(here: Path) -> None:
    names = ["a.jpg", "a.png", "A.webp", "b.jpg", "x/a.jpg", "x/c.jpg"]
    found = {here / "one" / name: Path(name) for name in names} | {here / "two" / "b.jpg": Path("b.jpg")}
    found[here / "three" / "b.jpg"] = Path("b.jpg")
    assert list(unique(found).values()) == [
        "a.jpg",
        "a.png",
        "A.webp",
        "b.jpg",
        "x/a",
        "x/c",
        "b.jpg~2",
        "b.jpg~3",
    ]


@pytest.mark.parametrize("draws", [1, 2, 11])
def test_no_two_pictures_share_an_output(draws: int, here: Path) -> None:
    names = ["a.jpg", "a.png", "a-1.jpg", "a-1-1.png", "a.jpg.png", "a~2.jpg", "sub/a.jpg", "a.jpg~2.png", "A.PNG"]
    inputs = [put(f"in/{name}") for name in names[:-1]] + [put("in2/a.jpg"), put("in2/A.png")]
    jobs = plan([*inputs, Path("in"), Path("in2")], Path("out"), numbered(draws), overwrite=False)
    outputs = [str(file).casefold() for job in jobs for file in job.outputs]
    assert len(jobs) == len(inputs)  # what is named twice counts once
    assert len(set(outputs)) == len(outputs) == draws * len(inputs)


def test_what_cannot_be_read_is_named_and_the_rest_is_done(
    bridge: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put("in/a.jpg")
    put("in/c.jpg")
    Path("in/b.jpg").write_bytes(b"this is no picture")
    Path("in/[red].png").write_bytes(b"")
    with pytest.raises(DataError, match="3 of 5 pictures could not be read"):
        translate(bridge, (Path("in"), Path("missing.png")), Path("out"))
    assert files("out") == ["a.png", "c.png"]
    shown = capsys.readouterr().err
    for name in ("in/b.jpg", "in/[red].png", "missing.png"):
        assert sum(name in line for line in shown.splitlines()) == 1


def test_exit_codes_of_the_command_line(bridge: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put("in/a.jpg")
    assert main(["translate", bridge, "in", "--to", "b", "--out", "out", "-n", "2", "--seed", "0"]) == 0
    assert files("out") == ["a-1.png", "a-2.png"]
    capsys.readouterr()
    assert main(["translate", bridge, "in/a.jpg", "--to", "b"]) == 0
    assert files("translated") == ["a.png"]
    assert capsys.readouterr().out == "translations are in translated\n"
    Path("in/b.jpg").write_bytes(b"")
    assert main(["translate", bridge, "in/a.jpg", "in/b.jpg", "--out", "other"]) == 2
    assert files("other") == ["a.png"]
    assert "in/b.jpg is an empty file" in capsys.readouterr().err
    assert main(["translate", bridge, "--out", "third"]) == 2
    assert "no pictures named" in capsys.readouterr().err


def test_nothing_is_overwritten_and_no_work_begun(bridge: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put("in/a.jpg")
    put("in/b.jpg")
    put("out/b.png")
    before = Path("out/b.png").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr("isthmus.apps.bulk.load", lambda *_: pytest.fail("work has begun"))
        with pytest.raises(OutputError, match=r"out/b.png exists; --overwrite it"):
            translate(bridge, (Path("in"),), Path("out"))
        put("sheet.png")
        with pytest.raises(OutputError, match=r"sheet.png exists"):
            translate(bridge, (Path("in"),), Path("new"), grid=Path("sheet.png"))
    assert files("out") == ["b.png"]
    assert Path("out/b.png").read_bytes() == before
    translate(bridge, (Path("in"),), Path("out"), overwrite=True)
    assert files("out") == ["a.png", "b.png"]
    assert Path("out/b.png").read_bytes() != before


def test_an_input_is_never_overwritten(bridge: str, vae: str, here: Path) -> None:
    put("in/a.png")
    put("in/b.png")
    with pytest.raises(OutputError, match="is one of the pictures to read"):
        translate(bridge, (Path("in/a.png"),), Path("in"), overwrite=True)
    with pytest.raises(OutputError, match="is one of the pictures to read"):
        translate(bridge, (Path("in"),), Path("out"), grid=Path("in/b.png"), overwrite=True)
    with pytest.raises(OutputError, match="is one of the pictures to read"):
        reconstruct(vae, (Path("in/a.png"),), out=Path("in/a.png"), overwrite=True)
    with pytest.raises(OutputError, match="is one of the pictures to read"):
        interpolate(vae, (Path("in/a.png"), Path("in/b.png")), out=Path("in/b.png"), overwrite=True)


def test_places_that_cannot_be_written_to(bridge: str, here: Path) -> None:
    photo, other = put("a.jpg"), put("b.jpg")
    with pytest.raises(ConfigError, match="one file, but 2 pictures"):
        translate(bridge, (photo, other), Path("out.png"))
    with pytest.raises(ConfigError, match="one file, but 4 pictures"):
        translate(bridge, (photo,), Path("out.png"), n=4)
    with pytest.raises(ConfigError, match=r"written as \.png"):
        translate(bridge, (photo,), Path("out.jpg"))
    with pytest.raises(ConfigError, match=r"--grid sheet.jpg .*\.png"):
        translate(bridge, (photo,), Path("out"), grid=Path("sheet.jpg"))
    with pytest.raises(ConfigError, match="at least 1"):
        translate(bridge, (photo,), Path("out"), n=0)
    Path("taken").write_text("")
    with pytest.raises(OutputError, match="taken is a file"):
        translate(bridge, (photo,), Path("taken"))
    with pytest.raises(OutputError, match=r"cannot write taken/below/a\.png"):
        translate(bridge, (photo,), Path("taken/below"))
    assert files(".") == ["a.jpg", "b.jpg", "taken"]


def test_a_full_disk_ends_in_a_sentence_and_tears_nothing(
    bridge: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = put("a.jpg")

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"cannot write out/a.png: No space left on device"):
        translate(bridge, (photo,), Path("out"))
    assert files("out") == []


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(64, 64), (101, 150)])
def test_files_keep_their_depth(channels: int, bits: int, size: tuple[int, int], bridge: str, here: Path) -> None:
    picture = put("a.png", channels, size, bits)
    dtype = np.uint8 if bits == 8 else np.uint16
    translate(bridge, (picture,), Path("out"), to="b")
    assert (read("out/a.png").shape, read("out/a.png").dtype) == ((20, 12, 1), dtype)
    translate(bridge, (picture,), Path("back"), to="a")
    assert (read("back/a.png").shape, read("back/a.png").dtype) == ((16, 24, 3), dtype)


def test_a_grid_shows_the_sources_above_their_translations(bridge: str, here: Path) -> None:
    for i in range(18):  # more than fit beside each other
        put(f"in/{i:02}.png", bits=16 if i % 2 else 8)
    translate(bridge, (Path("in"),), Path("out"), n=2, seed=0, grid=Path("sheet.png"))
    tile_h, tile_w, scale, pad = 20, 24, 2, 2  # the larger of both domains, enlarged to be seen
    sheet = read("sheet.png")
    assert sheet.shape == (6 * (tile_h * scale + pad) + pad, 16 * (tile_w * scale + pad) + pad, 3)
    blank = sheet[3 * (tile_h * scale + pad) + pad :, 2 * (tile_w * scale + pad) + pad :]
    assert (blank == 255).all()  # the second band has two pictures
    assert (sheet[pad : tile_h * scale, pad : tile_w * scale] != 255).any()


def test_the_best_checkpoint_can_be_asked_for(bridge: str, here: Path) -> None:
    with pytest.raises(IsthmusError, match="no checkpoint 'best'"):
        translate(bridge, (put("a.jpg"),), Path("out"), checkpoint="best")


def test_what_a_model_cannot_do(vae: str, bridge: str, here: Path) -> None:
    photo = put("a.jpg")
    with pytest.raises(CapabilityError, match="vae cannot translate"):
        translate(vae, (photo,), Path("out"))
    with pytest.raises(CapabilityError, match="latent-bridge cannot reconstruct"):
        reconstruct(bridge, (photo,), out=Path("out"))
    with pytest.raises(CapabilityError, match="latent-bridge cannot sample"):
        sample(bridge, Path("out"))
    with pytest.raises(CapabilityError, match="latent-bridge cannot give pictures a code"):
        interpolate(bridge, (photo, photo), out=Path("out.png"))
    with pytest.raises(ConfigError, match="no domain 'z'"):
        translate(bridge, (photo,), Path("out"), to="z")
    assert files(".") == ["a.jpg"]


def test_many_pictures_go_in_parts_with_the_draws_of_one_seed(
    bridge: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(5):
        put(f"in/{i}.png")
    monkeypatch.setattr("isthmus.apps.handle.PART_IMAGES", 2)
    translate(bridge, (Path("in"),), Path("out"), seed=3)
    expected = isthmus.load(bridge).translate([read(f"in/{i}.png") for i in range(5)], seed=3)
    assert all(np.array_equal(read(f"out/{i}.png"), expected[i]) for i in range(5))


# --- sample


def test_samples_in_one_sheet_or_single_files(vae: str, here: Path) -> None:
    sample(vae, Path("sheet.png"), n=9, seed=0)
    assert read("sheet.png").shape == (3 * (32 + 2) + 2, 3 * (48 + 2) + 2, 3)
    sample(vae, Path("out"), n=11, seed=0)
    sample(vae, Path("again"), n=11, seed=0)
    assert files("out") == [f"sample-{i:02}.png" for i in range(1, 12)]
    expected = isthmus.load(vae).sample(11, seed=0)
    for i, name in enumerate(files("out")):
        assert np.array_equal(read(f"out/{name}"), to_array(expected[i]))
        assert (Path("out") / name).read_bytes() == (Path("again") / name).read_bytes()


def test_single_samples_do_not_depend_on_how_they_are_parted(
    vae: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isthmus.apps.handle.PART_IMAGES", 2)
    sample(vae, Path("out"), n=5, seed=0)
    expected = isthmus.load(vae).sample(5, seed=0)
    assert [read(f"out/{name}").tolist() for name in files("out")] == [to_array(image).tolist() for image in expected]


def test_samples_of_classes(vae: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CapabilityError, match="all classes at once"):
        sample(vae, Path("x.png"), classes=("dog",))

    def drawn(self: Trained, n: int, classes: object = None, temperature: float = 1.0) -> list[torch.Tensor]:
        assert classes == ("cat", "dog")
        return [torch.zeros(n, *self.model.spec.shape)]

    monkeypatch.setattr(Trained, "drawn", drawn)
    sample(vae, Path("x.png"), n=4, classes=("cat", "dog"))
    assert read("x.png").shape == (2 * 34 + 2, 2 * 50 + 2, 3)  # a column for each class
    assert main(["sample", vae, "--out", "y.png", "-n", "4", "--classes", "cat", "dog"]) == 0


def test_samples_of_a_temperature(vae: str, here: Path) -> None:
    assert main(["sample", vae, "--out", "out", "-n", "3", "--seed", "0", "--temperature", "0.5"]) == 0
    expected = isthmus.load(vae).sample(3, seed=0, temperature=0.5)
    assert [read(f"out/{name}").tolist() for name in files("out")] == [to_array(image).tolist() for image in expected]


def test_samples_overwrite_nothing(vae: str, here: Path) -> None:
    sample(vae, Path("out"), n=2)
    with pytest.raises(OutputError, match=r"out/sample-1.png \(and 1 more\) exists"):
        sample(vae, Path("out"), n=3)
    sample(vae, Path("out"), n=3, overwrite=True)
    with pytest.raises(ConfigError, match="at least 1"):
        sample(vae, Path("none"), n=0)
    with pytest.raises(ConfigError, match=r"written as \.png"):
        sample(vae, Path("x.jpg"))


# --- reconstruct


def test_reconstructions_in_one_sheet_or_single_files(vae: str, here: Path) -> None:
    put("in/a.jpg")
    put("in/b.png", bits=16)
    reconstruct(vae, (Path("in"),), out=Path("sheet.png"))
    assert read("sheet.png").shape == (2 * (32 + 2) + 2, 2 * (48 + 2) + 2, 3)
    reconstruct(vae, (Path("in"),), out=Path("out"))
    assert files("out") == ["a.png", "b.png"]
    assert read("out/b.png").dtype == np.uint16
    model = isthmus.load(vae)
    original, rebuilt = model.fitted(Path("in/a.jpg"), model.model.spec), read("out/a.png")
    sheet = read("sheet.png")
    assert np.array_equal(sheet[2:34:2, 2:50:2], original)
    assert np.array_equal(sheet[36:68:2, 2:50:2], rebuilt)
    with pytest.raises(OutputError, match=r"sheet\.png exists"):
        reconstruct(vae, (Path("in"),), out=Path("sheet.png"))


def test_a_sheet_leaves_out_what_cannot_be_read(vae: str, here: Path) -> None:
    put("in/a.jpg")
    Path("in/b.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="1 of 2"):
        reconstruct(vae, (Path("in"),), out=Path("sheet.png"))
    assert read("sheet.png").shape == (2 * (32 + 2) + 2, 48 + 4, 3)
    with pytest.raises(DataError, match="1 of 1"):
        reconstruct(vae, (Path("in/b.jpg"),), out=Path("none.png"))
    assert not Path("none.png").exists()


# --- all of them


def test_help_and_planning_import_no_torch(here: Path) -> None:
    code = (
        "import sys, isthmus.apps.plan\n"
        "from isthmus.apps.cli import main\n"
        "for name in ('translate', 'sample', 'reconstruct', 'interpolate', 'swap', 'complete', 'score'):\n"
        "    try: main([name, '--help'])\n"
        "    except SystemExit as end: assert end.code == 0\n"
        "loaded = {'torch', 'torchvision', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for word in ("INPUT", "--grid", "--checkpoint", "--spherical", "--classes", "--keep", "--samples"):
        assert word in run.stdout
