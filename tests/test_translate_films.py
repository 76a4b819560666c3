"""Films through a translator: their kind and times are kept, in one style, in bounded memory.

What videos alone have is in test_translate_videos.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from command_line import files, put
from film_helpers import GREY, SIDE, noise, of, shown, written
from isthmus.apps import bulk
from isthmus.apps.cli import main
from isthmus.apps.film import Film, Frame, is_film
from isthmus.apps.trained import Trained
from isthmus.core import Spec
from isthmus.errors import ConfigError
from tiny_models import Noisy, Tinted

# --- animations


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".apng", ".png"])
@pytest.mark.parametrize("loop", [0, 3])
def test_an_animation_stays_one_with_its_times(suffix: str, loop: int, tinted: Trained, here: Path) -> None:
    seconds = [Fraction(n, 100) for n in (4, 10, 4, 200)]  # the last frame is held
    written(f"in/film{suffix}", noise(4), seconds, loop)
    assert of("in", "--out", "out", "--seed", "0") == 0
    assert files("out") == [f"film{suffix}"]
    made = shown(f"out/film{suffix}")
    assert [frame.seconds for frame in made] == seconds
    expected = list(tinted.film([frame.pixels for frame in shown(f"in/film{suffix}")], seed=0))
    slack = 8 if suffix == ".gif" else 0  # of 256 colours
    for frame, wanted in zip(made, expected, strict=True):
        assert np.abs(frame.pixels.astype(int) - wanted).mean() <= slack
    with Image.open(f"out/film{suffix}") as image:
        assert image.info["loop"] == loop


def test_a_gif_that_is_shown_once_is_shown_once(tinted: Trained, here: Path) -> None:
    written("film.gif", noise(2), [Fraction(1, 10)] * 2, loop=None)
    assert of("film.gif", "--out", "out") == 0
    with Image.open("out/film.gif") as image:
        assert "loop" not in image.info


def test_what_is_clear_stays_clear_in_every_frame(tinted: Trained, here: Path) -> None:
    frames = [np.dstack([GREY, np.zeros((40, 60), np.uint8)]) for _ in range(3)]
    for i, frame in enumerate(frames):
        frame[:, 20 * i : 20 * i + 20, 3] = 255  # it moves, and what it leaves is clear again
    for suffix in (".gif", ".webp", ".apng"):
        written(f"film{suffix}", frames, [Fraction(1, 10)] * 3)
        assert of(f"film{suffix}", "--tile", "--out", "out") == 0
        for i, frame in enumerate(shown(f"out/film{suffix}")):
            assert np.array_equal(frame.pixels[..., 3], frames[i][..., 3]), suffix


def test_frames_of_no_time_are_seen_in_a_video(tinted: Trained, here: Path) -> None:
    frames = [np.full_like(GREY, 60 * i) for i in range(4)]
    written("film.gif", frames, [Fraction(n, 100) for n in (0, 20, 0, 0)])
    assert of("film.gif", "--out", "out") == 0
    assert [frame.seconds for frame in shown("out/film.gif")] == [0, Fraction(1, 5), 0, 0]
    written("film.mp4", frames[:1], [Fraction(1)])  # else the package is not there
    assert of("film.gif", "--out", "out.mp4") == 0
    assert [frame.start for frame in shown("out.mp4")] == [Fraction(n, 10) for n in (0, 1, 3, 4)]


@pytest.mark.parametrize("suffix", [".webp", ".apng"])
def test_an_animation_is_turned_upright(suffix: str, here: Path) -> None:
    lying = [Image.fromarray(frame) for frame in noise(2)]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    options = {"lossless": True} if suffix == ".webp" else {"format": "PNG"}
    lying[0].save(f"film{suffix}", save_all=True, append_images=lying[1:], exif=exif, **options)
    for frame, image in zip(shown(f"film{suffix}"), lying, strict=True):
        assert np.array_equal(frame.pixels, np.rot90(np.asarray(image), -1))


def test_pictures_that_do_not_move_are_no_films(tinted: Trained, here: Path) -> None:
    for suffix in ("gif", "webp", "png"):
        put(f"in/still-{suffix}.{suffix}")
    Path("in/broken.gif").write_bytes(b"GIF89a")
    assert not any(map(is_film, Path("in").iterdir()))
    assert of("in", "--out", "out") == 2
    assert files("out") == ["still-gif.png", "still-png.png", "still-webp.png"]


# --- one style, bounded memory


def test_a_film_has_one_style_and_the_next_one_another(tinted: Trained, here: Path) -> None:
    frames = [GREY + i for i in range(5)]  # or Pillow would make one of them
    for name in ("a", "b"):
        written(f"in/{name}.webp", frames, [Fraction(1, 10)] * 5)
    assert of("in", "-n", "2", "--out", "out", "--seed", "1") == 0
    assert files("out") == ["a-1.webp", "a-2.webp", "b-1.webp", "b-2.webp"]
    colours = {name: [frame.pixels[0, 0].astype(int) for frame in shown(f"out/{name}")] for name in files("out")}
    for name, seen in colours.items():
        assert max(np.abs(seen[0] - colour).max() for colour in seen) <= 3, name
    assert len({tuple(seen[0]) for seen in colours.values()}) == 4
    assert of("in", "-n", "2", "--out", "again", "--seed", "1") == 0
    assert all(Path(f"out/{name}").read_bytes() == Path(f"again/{name}").read_bytes() for name in files("out"))


@pytest.mark.parametrize("tile", [False, True])
def test_a_random_model_without_styles_draws_the_same_for_all_frames(tile: bool) -> None:
    noisy = Trained(Noisy().build(SIDE, SIDE), {})
    frames = [np.full((16, 24, 3), 100, np.uint8)] * (noisy.part + 3 if not tile else 3)
    first, *others = noisy.film(iter(frames), tile=tile, seed=3)
    assert np.ptp(first) > 20
    assert all(np.array_equal(first, other) for other in others)
    assert not np.array_equal(first, next(noisy.film(frames, tile=tile, seed=4)))


def test_frames_of_a_model_without_chance_go_through_in_parts(tinted: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(Noisy, "translate", lambda self, image, to: (sizes.append(len(image)), -image)[1])
    plain = Trained(Noisy().build(SIDE, SIDE), {})
    plain.part = 4
    assert len(list(plain.film([GREY] * 10))) == 10
    assert sizes == [1, 1, 4, 4, 2]  # of the first two it learns that


def test_as_much_of_a_film_is_in_memory_as_goes_through_the_model(
    tinted: Trained, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tinted.part, count = 4, 200
    read, done, most = 0, 0, 0

    def frames() -> Iterator[Frame]:
        nonlocal read, most
        for i in range(count):
            read += 1
            most = max(most, read - done)
            yield Frame(GREY, Fraction(i, 10), Fraction(1, 10))

    class Counting:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def add(self, frame: Frame) -> None:
            nonlocal done
            done += 1

        def close(self) -> None: ...

    class Opened:
        def __init__(self, path: Path) -> None: ...

        def __enter__(self) -> Film:
            return Film(frames(), None, Fraction(1, 10))

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(bulk, "reading", Opened)
    monkeypatch.setattr(bulk, "writing", Counting)
    bulk.carry_film(tinted, Path("film.webp"), Path("out.webp"))
    assert read == done == count
    assert tinted.part < most <= 4 * tinted.part + 4


def test_tiles_keep_a_films_size(tinted: Trained, here: Path) -> None:
    written("film.webp", noise(3), [Fraction(1, 10)] * 3)
    assert of("film.webp", "--tile", "--out", "out") == 0
    assert [frame.pixels.shape for frame in shown("out/film.webp")] == [(40, 60, 3)] * 3


# --- where to, and what goes wrong


def test_one_film_to_one_file_of_any_kind(tinted: Trained, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written("a.mp4", noise(7), [Fraction(1, 30)] * 7)
    assert of("a.mp4", "--out", "new/b.gif") == 0
    made = shown("new/b.gif")
    assert len(made) == 7
    assert made[-1].start + made[-1].seconds == Fraction(23, 100)  # a GIF counts hundredths, and no error adds up
    assert of("new/b.gif", "--out", "c.webm") == 0
    assert len(shown("c.webm")) == 7
    assert of("a.mp4", "c.webm", "--out", "d.mp4") == 2
    assert of(str(put("still.png")), "--out", "d.gif") == 2
    assert of("a.mp4", "--out", "c.webm") == 2
    assert of("a.mp4", "--overwrite", "--out", "a.mp4") == 2
    errors = capsys.readouterr().err.splitlines()
    for line, says in zip(errors, ("one file, but 2", "written as .png", "c.webm exists", "to read"), strict=True):
        assert says in line


def test_films_pictures_and_notes_in_one_folder(
    tinted: Trained, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written("in/film.gif", noise(2), [Fraction(1, 10)] * 2)
    written("in/deep/film.mp4", noise(2), [Fraction(1, 10)] * 2)
    put("in/deep/film.jpg")
    put("in/photo.jpg")
    for name in ("in/notes.txt", "in/deep/list.csv", "in/.hidden"):
        Path(name).write_text("no picture")
    assert of("in", "--out", "in/out", "--grid", "sheet.png") == 0
    assert files("in/out") == ["deep/film.jpg.png", "deep/film.mp4.mp4", "film.gif", "photo.png"]
    said = capsys.readouterr().err.splitlines()
    assert said == ["left out: of in, since they are no pictures or films: deep/list.csv, notes.txt"]


def test_a_torn_video_is_named_and_the_rest_is_done(
    tinted: Trained, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("in/a.mp4", "in/b.mp4"):
        written(name, noise(8), [Fraction(1, 10)] * 8)
    data = Path("in/a.mp4").read_bytes()
    Path("in/a.mp4").write_bytes(data[: len(data) // 2])
    written("in/c.gif", noise(4), [Fraction(1, 10)] * 4)
    data = Path("in/c.gif").read_bytes()
    Path("in/c.gif").write_bytes(data[: len(data) // 2])
    put("in/d.png")
    assert of("in", "--out", "out") == 2
    assert files("out") == ["b.mp4", "d.png"]
    said = capsys.readouterr().err.splitlines()
    assert [line.split(" cannot be decoded")[0] for line in said[:2]] == ["left out: in/a.mp4", "left out: in/c.gif"]
    assert said[2].startswith("error: 2 of 4 pictures could not be read")


def test_a_video_without_its_package_is_refused_before_any_work(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)  # importing it fails
    Path("in").mkdir()
    Path("in/film.mp4").write_bytes(b"any")
    put("in/photo.png")
    assert main(["translate", "nowhere", "in", "--out", "out"]) == 2
    needs = "error: in/film.mp4 needs the package PyAV (isthmus[video] has it): pip install av\n"
    assert capsys.readouterr().err == needs
    assert not Path("out").exists()


def test_an_unknown_domain_is_refused_at_once(tinted: Trained) -> None:
    with pytest.raises(ConfigError, match="no domain 'z'"):
        tinted.film([], to="z")
    with pytest.raises(ConfigError, match="leave out --tile"):
        Trained(Tinted().build(SIDE, Spec(3, 8, 8)), {}).film([], tile=True)


def test_tensors_are_frames_too(tinted: Trained) -> None:
    frames = torch.zeros(3, *SIDE.shape)
    made = torch.stack([*tinted.film(frames, seed=0)])
    assert made.shape == frames.shape
    assert torch.equal(made[0], made[2])
