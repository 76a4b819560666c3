"""Videos through a translator: their rate, shape and sound are kept, and what breaks off or does not fit is named."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from command_line import files, put
from film_helpers import GREY, noise, of, shown, written
from isthmus.apps import video
from isthmus.apps.trained import Trained
from isthmus.errors import OutputError
from isthmus.training.checkpoint import whole_file

VIDEOS = [".mp4", ".mov", ".mkv", ".webm"]


@pytest.mark.parametrize("suffix", VIDEOS)
def test_a_video_keeps_its_kind_rate_and_length(suffix: str, tinted: Trained, here: Path) -> None:
    seconds = [Fraction(1001, 30000)] * 12
    source = written(f"film{suffix}", [np.full_like(GREY, 20 * i) for i in range(12)], seconds)
    assert of(str(source), "--out", "out", "--style", str(put("style.png"))) == 0
    made, came = shown(f"out/film{suffix}"), shown(source)
    assert [frame.start for frame in made] == [frame.start for frame in came]
    assert [frame.start for frame in came[::3]] == pytest.approx([n * 1001 / 30000 for n in range(0, 12, 3)], abs=5e-4)
    assert made[0].pixels.shape == (16, 24, 3)
    expected = list(tinted.film([frame.pixels for frame in came], style=Path("style.png")))
    assert max(np.abs(m.pixels.astype(int) - e).max() for m, e in zip(made, expected, strict=True)) <= 6


def test_frames_that_come_at_odd_times_come_at_them_again(tinted: Trained, here: Path) -> None:
    seconds = [Fraction(n, 1000) for n in (40, 40, 700, 10, 40)]
    written("film.mp4", [GREY] * 5, seconds)
    assert of("film.mp4", "--out", "out") == 0
    assert [frame.start for frame in shown("out/film.mp4")] == [sum(seconds[:i]) for i in range(5)]


def test_a_kind_that_is_only_read_becomes_mp4(tinted: Trained, here: Path) -> None:
    av = pytest.importorskip("av", reason="PyAV is an optional extra")
    with av.open("film.avi", "w") as container:
        stream = container.add_stream("mpeg4", rate=12)
        stream.height, stream.width, stream.pix_fmt = 40, 60, "yuv420p"
        for frame in noise(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    assert of("film.avi", "--out", "out") == 0
    assert files("out") == ["film.mp4"]
    assert [frame.seconds for frame in shown("out/film.mp4")] == [Fraction(1, 12)] * 5


def filmed(
    name: str, pictures: str, sound: str | None = None, layout: str = "mono", seconds: int = 2, aspect: str = "1"
) -> None:
    """Two seconds of pictures, with pixels `aspect` times as wide as high, and so many of sound, in such codecs."""
    av = pytest.importorskip("av", reason="PyAV is an optional extra")
    Path(name).parent.mkdir(exist_ok=True)
    with av.open(name, "w") as container:
        shown = container.add_stream(pictures, rate=10)
        shown.height, shown.width, shown.pix_fmt = 40, 60, "yuv420p"
        shown.codec_context.sample_aspect_ratio = Fraction(aspect)
        heard = container.add_stream(sound, rate=8000, layout=layout) if sound else None
        for frame in [GREY] * 20:
            container.mux(shown.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(shown.encode())
        if heard:
            wave = av.AudioFrame(format=heard.codec_context.format, layout=layout, samples=8000 * seconds)
            for plane in wave.planes:
                plane.update(np.random.default_rng(0).integers(0, 60, plane.buffer_size, np.uint8))
            wave.rate = 8000
            container.mux([*heard.encode(wave), *heard.encode()])


def packets(name: str) -> list[tuple[float, bytes]]:
    """When each piece of the sound is heard, and what is in it."""
    av = pytest.importorskip("av", reason="PyAV is an optional extra")
    with av.open(name) as container:
        return [(round(float(p.pts * p.time_base), 3), bytes(p)) for p in container.demux(audio=0) if p.size]


def test_sound_is_copied(tinted: Trained, here: Path) -> None:
    filmed("film.mp4", "libx264", "aac")
    assert of("film.mp4", "--out", "out") == 0
    assert packets("out/film.mp4") == packets("film.mp4")
    assert len(packets("film.mp4")) > 10
    assert of("film.mp4", "--out", "film.gif") == 0
    assert len(shown("film.gif")) == 1  # all frames are the same


def test_sound_without_places_is_copied_too(tinted: Trained, here: Path) -> None:
    filmed("film.avi", "mpeg4", "pcm_s16le", "stereo")
    assert of("film.avi", "--out", "out") == 0
    heard = [b"".join(data for _, data in packets(name)) for name in ("film.avi", "out/film.mp4")]
    assert heard[0] == heard[1]
    assert len(heard[0]) == 2 * 2 * 16000


def test_sound_that_another_kind_cannot_hold_is_named(
    tinted: Trained, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filmed("a.mp4", "libx264", "aac")
    filmed("b.avi", "mpeg4", "pcm_s16le", "stereo")
    data = Path("b.avi").read_bytes()
    Path("b.avi").write_bytes(data.replace(b"\x01\x00\x02\x00\x40\x1f", b"\xef\xbe\x02\x00\x40\x1f"))
    for name, out in (("a.mp4", "a.webm"), ("b.avi", "b.mp4")):
        assert of(name, "--out", out) == 0
        assert len(shown(out)) == 20
    assert capsys.readouterr().err.splitlines() == [
        "left out: sound of a.mp4, since webm cannot hold aac",
        "left out: sound of b.avi, since mp4 cannot hold an unknown codec",
    ]


def test_a_video_that_the_encoder_refuses_is_named_and_the_rest_is_done(
    tinted: Trained, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    filmed("in/a.avi", "mpeg4", "pcm_s16le", "stereo")
    written("in/b.mp4", noise(3), [Fraction(1, 10)] * 3)
    monkeypatch.setattr(video, "track", lambda file, stream: file.add_stream_from_template(stream))
    assert of("in", "--out", "out") == 2
    assert files("out") == ["b.mp4"]
    assert capsys.readouterr().err.startswith("left out: in/a.avi cannot be made such a video (Invalid argument); ")


def test_a_full_disk_is_no_fault_of_the_video(here: Path) -> None:
    av = pytest.importorskip("av", reason="PyAV is an optional extra")
    full = pytest.raises(OutputError, match=r"^cannot write film\.mp4: No space left on device$")
    with full, whole_file(Path("film.mp4")), video.explained(Path("film.avi")):
        raise av.error.OSError(28, "No space left on device")


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
@pytest.mark.parametrize("left", [0.03, 0.5])
def test_a_video_that_breaks_off_replaces_none(
    suffix: str, left: float, tinted: Trained, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = written(f"film{suffix}", noise(20), [Fraction(1, 10)] * 20).read_bytes()
    Path(f"film{suffix}").write_bytes(data[: int(len(data) * left)])
    Path("good.mp4").write_bytes(b"an older film")
    assert of(f"film{suffix}", "--out", "good.mp4", "--overwrite") == 2
    assert Path("good.mp4").read_bytes() == b"an older film"
    assert f"left out: film{suffix} breaks off after " in capsys.readouterr().err


def test_a_video_without_a_whole_picture_is_named(
    tinted: Trained, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filmed("film.mts", "libx264")
    Path("film.mts").write_bytes(Path("film.mts").read_bytes()[:600])  # a kind that does not say how long it is
    assert of("film.mts", "--out", "out.mp4") == 2
    assert "left out: film.mts holds no whole picture" in capsys.readouterr().err
    assert not Path("out.mp4").exists()


def test_pictures_need_not_last_as_long_as_the_sound(tinted: Trained, here: Path) -> None:
    filmed("film.mkv", "libx264", "aac", seconds=5)
    assert of("film.mkv", "--out", "out") == 0
    assert len(shown("out/film.mkv")) == 20
    assert packets("out/film.mkv") == packets("film.mkv")


@pytest.mark.parametrize("out", ["out.mp4", "out.webm", "out.gif"])
def test_pixels_that_are_not_square_are_made_so(out: str, tinted: Trained, here: Path) -> None:
    filmed("film.mp4", "libx264", aspect="2")
    assert shown("film.mp4")[0].pixels.shape == (40, 120, 3)
    assert of("film.mp4", "--tile", "--out", out) == 0
    assert shown(out)[0].pixels.shape == (40, 120, 3)
    filmed("nearly.mp4", "libx264", aspect="1.009")
    assert shown("nearly.mp4")[0].pixels.shape == (40, 60, 3)


def test_a_telephones_video_is_turned_upright(here: Path) -> None:
    frame = np.zeros((40, 60, 3), np.uint8)
    frame[:, :30] = 255
    data = bytearray(written("film.mp4", [frame] * 3, [Fraction(1, 10)] * 3).read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40  # after version, flags, times, track, length, layer and volume
    quarter = (0, 1 << 16, 0, -1 << 16, 0, 0, 40 << 16, 0, 1 << 30)  # a quarter turn clockwise
    data[matrix : matrix + 36] = b"".join(number.to_bytes(4, "big", signed=True) for number in quarter)
    Path("turned.mp4").write_bytes(data)
    seen = shown("turned.mp4")[0].pixels
    assert np.abs(seen.astype(int) - np.rot90(frame, -1)).max() < 40
    assert seen.shape == (60, 40, 3)
