"""isthmus interpolate: rows and films of every format."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import put
from isthmus.apps.bulk import sheet
from isthmus.apps.cli import main
from isthmus.apps.commands.interpolate import interpolate
from isthmus.apps.film import film
from isthmus.data.read import read
from isthmus.errors import ConfigError, DataError, OutputError
from tiny_models import save_generator, save_vae

FRAMES = [np.full((9, 11, 3), value, np.uint8) for value in (0, 100, 200)]


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_vae(tmp_path_factory.mktemp("models") / "vae"))


@pytest.fixture
def ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.chdir(tmp_path)
    return put("a.png"), put("b.png")


def frames(file: str) -> list[np.ndarray]:
    """Every picture of a film, in colour."""
    with Image.open(file) as image:
        found = []
        for i in range(image.n_frames):  # type: ignore[attr-defined]
            image.seek(i)
            found.append(np.asarray(image.convert("RGB")))
    return found


def test_a_row_leads_from_one_picture_to_the_other(vae: str, ends: tuple[Path, Path]) -> None:
    interpolate(vae, ends, out=Path("row.png"), steps=5)
    assert read("row.png").shape == (32 + 4, 5 * (48 + 2) + 2, 3)
    interpolate(vae, ends, out=Path("round.png"), steps=5, spherical=True)
    assert not np.array_equal(read("row.png"), read("round.png"))
    with pytest.raises(OutputError, match=r"row\.png exists"):
        interpolate(vae, ends, out=Path("row.png"))


def test_more_pictures_are_more_rows(vae: str, ends: tuple[Path, Path]) -> None:
    interpolate(vae, (*ends, put("c.png")), out=Path("rows.png"), steps=5)
    rows = read("rows.png")
    assert rows.shape == (2 * (32 + 2) + 2, 5 * (48 + 2) + 2, 3)
    assert np.array_equal(rows[2:34, 4 * 50 + 2 :], rows[36:68, 2 : 2 + 50])  # one ends where the next begins


def test_a_model_that_only_decodes_leads_between_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_generator(tmp_path / "run")
    assert main(["interpolate", "run", "--seeds", "3", "1", "4", "--steps", "4", "--out", "rows.png"]) == 0
    rows = read("rows.png")
    assert rows.shape == (2 * (32 + 2) + 2, 4 * (40 + 2) + 2, 1)
    tile = {i: rows[2 + 34 * y :, 2 + 42 * x :][:32, :40] for i, (y, x) in enumerate([(0, 0), (0, 3), (1, 0), (1, 3)])}
    for i, seed in enumerate(("3", "1", "1", "4")):  # the ends are what the seeds draw
        assert main(["sample", "run", "--seed", seed, "-n", "1", "--out", "one.png", "--overwrite"]) == 0
        assert np.array_equal(read("one.png")[2:34, 2:42], tile[i])
    assert main(["interpolate", "run", "--seeds", "3", "1", "--steps", "4", "--spherical", "--out", "round.png"]) == 0
    assert not np.array_equal(read("round.png")[:36], rows[:36])
    assert main(["interpolate", "run", "--seeds", "3", "1", "4", "--steps", "4", "--loop", "--out", "film.gif"]) == 0
    assert len(frames("film.gif")) == 2 * 7 - 2


def test_mistakes_with_seeds(
    vae: str, ends: tuple[Path, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    save_generator(tmp_path / "run")
    for arguments, says in (
        (["run", "a.png", "b.png"], "gan cannot give pictures a code and go back; name seeds in place of them"),
        (["run", "a.png", "b.png", "--seeds", "1"], "give pictures or --seeds to interpolate between, not both"),
        (["run", "--seeds", "1"], "needs START and END, at least two pictures or --seeds, got 1"),
        (["run"], "at least two pictures or --seeds, got 0"),
        (["run", "--seeds", "1", "x"], "x"),
    ):
        assert main(["interpolate", *arguments, "--out", "new.png"]) == 2
        assert says in capsys.readouterr().err
    assert not Path("new.png").exists()
    assert main(["interpolate", vae, "--seeds", "1", "2", "--out", "new.png"]) == 0  # what draws codes can do both


@pytest.mark.parametrize("suffix", [".gif", ".apng", ".webp"])
def test_films_show_the_same_in_every_format(suffix: str, vae: str, ends: tuple[Path, Path]) -> None:
    third = put("c.png")
    assert main(["interpolate", vae, *map(str, ends), str(third), "--steps", "4", "--out", f"film{suffix}"]) == 0
    interpolate(vae, (*ends, third), out=Path("rows.png"), steps=4)
    shown, rows = frames(f"film{suffix}"), read("rows.png")
    assert len(shown) == 7
    slack = 6 if suffix == ".gif" else 0  # of 256 colours for as much noise
    for i, frame in enumerate(shown):
        row, column = divmod(i, 3) if i < 6 else (1, 3)
        tile = rows[2 + 34 * row :, 2 + 50 * column :][:32, :48]
        assert np.abs(frame.astype(int) - tile).mean() <= slack
    with Image.open(f"film{suffix}") as image:
        assert image.info["loop"] == 0
    interpolate(vae, ends, out=Path(f"loop{suffix}"), steps=4, loop=True)
    there = frames(f"loop{suffix}")
    assert len(there) == 6
    assert np.array_equal(there[1], there[5])
    assert np.array_equal(there[2], there[4])


@pytest.mark.parametrize("suffix", [".gif", ".apng", ".webp"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_films_and_sheets_of_all_channels(channels: int, suffix: str, tmp_path: Path) -> None:
    images = [np.full((8, 8, channels), value, np.uint8) for value in (0, 120, 255)]
    (tmp_path / "film").write_bytes(film(images, suffix, 4))
    with Image.open(tmp_path / "film") as image:
        assert image.n_frames == 3  # type: ignore[attr-defined]
        image.load()
        assert image.info["duration"] == 250
    rows = [[np.zeros((8, 8, channels), np.uint8)], [np.full((4, 6, 1), 65535, np.uint16)]]
    (tmp_path / "sheet.png").write_bytes(sheet(rows))
    assert read(tmp_path / "sheet.png").shape[2] == channels


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_videos_are_what_players_want(channels: int, tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="PyAV is an optional extra")
    (tmp_path / "film.mp4").write_bytes(film([frame[..., [0] * channels] for frame in FRAMES], ".mp4", 8))
    with av.open(tmp_path / "film.mp4") as container:
        (stream,) = container.streams
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 8)
    assert [frame.shape for frame in shown] == [(10, 12, 3)] * 3
    if channels < 4:  # as alpha the same values make the frames paler
        assert np.abs([frame.mean() - wanted.mean() for frame, wanted in zip(shown, FRAMES, strict=True)]).max() < 3


def test_a_video_without_its_package_is_refused_before_any_work(
    ends: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)  # importing it fails
    with pytest.raises(
        ConfigError, match=r"film\.mp4 needs the package PyAV \(isthmus\[video\] has it\): pip install av; or end"
    ):
        interpolate("nowhere", ends, out=Path("film.mp4"))


def test_mistakes(vae: str, ends: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match=r"\.png, .* or for a film in \.gif, \.apng, \.webp, \.mp4"):
        interpolate(vae, ends, out=Path("film.avi"))
    with pytest.raises(ConfigError, match="at least two pictures or --seeds, got 1"):
        interpolate(vae, ends[:1], out=Path("film.gif"))
    with pytest.raises(ConfigError, match="--fps must be positive, got 0"):
        interpolate(vae, ends, out=Path("film.gif"), fps=0)
    with pytest.raises(ConfigError, match="--loop is for films"):
        interpolate(vae, ends, out=Path("row.png"), loop=True)
    with pytest.raises(DataError, match=r"missing\.png cannot be read"):
        interpolate(vae, (*ends, Path("missing.png")), out=Path("new.png"))
    assert main(["interpolate", vae, "a.png", "b.png", "--out", "one.png", "--steps", "1"]) == 2
    assert capsys.readouterr().err == "error: --steps must be at least 2, from the one end to the other, got 1\n"
    assert sorted(path.name for path in Path().iterdir()) == ["a.png", "b.png"]
