"""Sounds: the mu-law, WAV files of every kind, folders of them, and models of sound on the command line."""

import io
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import wavfile

import isthmus
from isthmus.apps.cli import main
from isthmus.core import Spec
from isthmus.data import audio
from isthmus.data.images import to_bytes, to_unit
from isthmus.data.open import open_data
from isthmus.data.options import DataOptions
from isthmus.data.pictures import curves, grid
from isthmus.data.read import read
from isthmus.errors import ConfigError, DataError
from isthmus.models.autoencoders.vae import VAE
from isthmus.models.autoregressive.wavenet import WaveNet
from isthmus.training.checkpoint import save_model
from isthmus.training.settings import anchor

RATE = 8000


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tone(seconds=0.5, frequency=440.0, rate=RATE, phase=0.0, size=0.8):
    return (size * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate + phase)).astype(np.float32)


def put(name, wave, rate=RATE, dtype=np.int16):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    scale = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    wavfile.write(name, rate, (wave * scale).astype(dtype))
    return Path(name)


def folder(count=12, classes=("low", "high"), **changes):
    """Tones of two pitches, each of its own phase."""
    for i in range(count):
        for k, name in enumerate(classes):
            put(f"notes/{name}/{i}.wav", tone(frequency=220.0 * (k + 1), phase=i, **changes))
    return "audio:notes"


def opened(spec, split="train", **options):
    return open_data(DataOptions(data=(spec,), **options), split)[0]


def both(spec, **options):
    return opened(spec, **options), opened(spec, "test", **options)


# --- the mu-law


def test_the_mu_law_is_the_papers():
    x = np.linspace(-1, 1, 10_001)
    spread = audio.mu_law(x)
    assert spread[[0, 5000, 10_000]].tolist() == [-1, 0, 1]
    assert (np.diff(spread) > 0).all()
    assert np.allclose(spread, -spread[::-1])
    assert audio.mu_law(np.array([0.1]))[0] == pytest.approx(np.log(1 + 25.5) / np.log(256))
    assert np.allclose(audio.inverse_mu_law(spread), x, atol=1e-12)


def test_all_256_pixels_are_reached_and_come_back():
    codes = audio.to_pixels(np.arange(-32768, 32768) / 32768)
    assert (np.diff(codes.astype(int)) >= 0).all()
    assert np.array_equal(np.unique(codes), np.arange(256))
    every = np.arange(256, dtype=np.uint8)
    assert np.array_equal(audio.to_pixels(audio.to_wave(every)), every)
    image = to_unit(torch.from_numpy(every))
    assert np.allclose(audio.to_wave(image), audio.to_wave(every), atol=1e-6)
    assert np.array_equal(to_bytes(torch.from_numpy(audio.mu_law(audio.to_wave(image)))).numpy(), every)


def test_quiet_sounds_lose_little():
    x = np.linspace(-1, 1, 100_001)
    error = np.abs(audio.to_wave(audio.to_pixels(x)) - x)
    step = (
        2 / 255 * np.log(256) / 255 * (1 + 255 * np.abs(x))
    )  # of the samples at x, when the spread value moves by one
    assert (error <= 0.52 * step + 1e-7).all()
    assert error[np.abs(x) < 0.01].max() < 1e-3 < 2 / 255 / 2  # less than half a step of even values
    assert np.array_equal(audio.to_pixels(np.array([-7.0, 7.0])), [0, 255])  # clipped


# --- files


@pytest.mark.parametrize(
    ("dtype", "error"), [(np.uint8, 1 / 64), (np.int16, 1e-4), (np.int32, 1e-6), (np.float32, 0), (np.float64, 1e-7)]
)
def test_samples_of_every_kind(dtype, error):
    wave = tone()
    samples = np.rint(wave * 127 + 128).astype(np.uint8) if dtype == np.uint8 else wave
    path = Path("x.wav")
    if dtype == np.uint8:
        wavfile.write(path, 11_025, samples)
    else:
        put(path, wave, 11_025, dtype)
    rate, found = audio.read(path)
    assert rate == 11_025
    assert found.dtype == np.float32
    assert np.abs(found - wave).max() <= error


def test_24_bits():
    wave = tone()
    whole = np.rint(wave.astype(np.float64) * (2**23 - 1)).astype("<i4")
    body = whole.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    form = b"".join(n.to_bytes(k, "little") for n, k in ((1, 2), (1, 2), (RATE, 4), (3 * RATE, 4), (3, 2), (24, 2)))
    content = b"WAVEfmt " + (16).to_bytes(4, "little") + form + b"data" + len(body).to_bytes(4, "little") + body
    rate, found = audio.decode(b"RIFF" + len(content).to_bytes(4, "little") + content, "x")
    assert rate == RATE
    assert np.abs(found - wave).max() < 1e-6


def test_channels_are_averaged():
    left, right = tone(), tone(frequency=100)
    put("x.wav", np.stack([left, right], 1), dtype=np.float32)
    assert np.allclose(audio.read("x.wav")[1], (left + right) / 2)


def test_what_is_written_is_read_again():
    image = to_unit(torch.arange(256, dtype=torch.uint8)).view(1, 1, 1, 256)
    rate, wave = audio.decode(audio.encode(image, 22_050), "x")
    assert rate == 22_050
    assert np.array_equal(audio.to_pixels(wave), np.arange(256))
    assert np.array_equal(audio.fit(wave, rate, Spec(1, 1, 300, rate=22_050))[0, :256, 0], np.arange(256))


def test_another_rate_keeps_the_pitch():
    for rate in (44_100, 16_000, 6000):
        wave = audio.resampled(tone(1.0, rate=rate), rate, RATE)
        assert len(wave) == RATE
        assert np.abs(np.fft.rfft(wave)).argmax() == 440
        assert np.abs(wave - tone(1.0))[200:-200].max() < 0.01


def test_what_is_no_sound_is_named():
    for data, reason in (
        (b"", "is an empty file"),
        (b"RIFFxxxx", "cannot be read"),
        (b"not a sound at all", "cannot be read"),
        (put("e.wav", np.zeros(0)).read_bytes(), "holds no sound"),
        (put("n.wav", tone() * np.nan, dtype=np.float32).read_bytes(), "holds samples that are not finite"),
    ):
        with pytest.raises(DataError, match=f"^me {reason}"):
            audio.decode(data, "me")


def test_tags_and_a_missing_end_do_no_harm():
    whole = put("x.wav", tone()).read_bytes()
    tagged = whole + b"id3 " + (4).to_bytes(4, "little") + b"abcd"
    for data, samples in ((tagged, 4000), (whole[:1044], 500)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert np.array_equal(audio.decode(data, "x")[1], audio.decode(whole, "x")[1][:samples])


# --- folders


def test_a_folder_of_classes():
    spec = folder()
    train, test = both(spec)
    assert train.spec == test.spec == Spec(1, 1, 4000, ("high", "low"), spec, RATE)
    assert str(train.spec) == "4000 samples at 8000 Hz, 2 classes"
    assert len(train) + len(test) == 24
    assert not {*train.names} & {*test.names}
    for part in (train, test):
        assert [part.spec.classes[label] for label in part.labels] == [name.split("/")[0] for name in part.names]
    wave = audio.read(f"notes/{train.names[3]}")[1]
    assert np.array_equal(train.pixels[3, 0, 0], audio.to_pixels(wave))
    assert np.abs(audio.to_wave(train.batch(torch.tensor([3])).image) - wave).max() < 0.02
    low, _ = both("audio:notes:low")
    assert low.spec.classes == ("low",)
    assert set(low.labels.tolist()) == {0}


def test_pieces_of_a_file_stay_on_one_side():
    train, test = both(folder(), seconds=0.125)
    assert train.spec.width == 1000
    assert len(train) + len(test) == 24 * 4
    assert not {*train.names} & {*test.names}
    name = train.names[0]
    mine = train.pixels[[i for i, other in enumerate(train.names) if other == name]]
    assert np.array_equal(mine.flatten(), audio.to_pixels(audio.read(f"notes/{name}")[1]))


def test_splits_and_no_classes():
    for i in range(3):
        put(f"s/train/{i}.wav", tone(phase=i))
        put(f"s/test/{i}.WAV", tone(phase=-i))
    train, test = both("audio:s")
    assert [*train.names] == [f"train/{i}.wav" for i in range(3)]
    assert [*test.names] == [f"test/{i}.WAV" for i in range(3)]
    assert train.labels is None


def test_what_cannot_be_used_is_named_and_left_out():
    folder()
    Path("notes/low/bad.wav").write_bytes(b"RIFF")
    Path("notes/low/empty.wav").touch()
    put("notes/low/short.wav", tone(0.1))
    with pytest.warns(UserWarning, match=r"3 of .* sounds left out: low/bad.wav .*empty.wav is .*short.wav has only"):
        found = opened("audio:notes", seconds=0.5)
    assert len({*found.names, *opened("audio:notes", "test", seconds=0.5).names}) == 24


def test_different_lengths_and_rates_are_to_be_settled():
    folder()
    put("notes/low/long.wav", tone(0.7))
    with pytest.raises(DataError, match=r"different lengths, 0.5 to 0.7 seconds: .* --seconds 0.5"):
        opened("audio:notes")
    put("notes/low/long.wav", tone(0.5, rate=16_000), 16_000)
    with pytest.raises(DataError, match=r"different rates, 8000 Hz, 16000 Hz: .* --rate 8000"):
        opened("audio:notes")
    assert len(opened("audio:notes", rate=8000)) + len(opened("audio:notes", "test", rate=8000)) == 25
    assert opened("audio:notes", rate=4000, seconds=0.25).spec.shape == (1, 1, 1000)


@pytest.mark.parametrize("option", ["rate", "seconds"])
def test_options_that_make_no_sense(option):
    with pytest.raises(ConfigError, match=f"{option} must be positive"):
        DataOptions(**{option: -1})


def test_folders_without_sounds():
    with pytest.raises(DataError, match='"audio:nowhere": there is no folder nowhere'):
        opened("audio:nowhere")
    Path("some").mkdir()
    Path("some/x.mp3").touch()
    with pytest.raises(DataError, match=r"some holds no sounds, only other files \(.mp3\); sounds are .wav"):
        opened("audio:some")
    put("one/x.wav", tone())
    with pytest.raises(DataError, match="at least two different files"):
        both("audio:one")
    Path("bad").mkdir()
    Path("bad/x.wav").touch()
    with pytest.raises(DataError, match=r"none of 1 sounds can be read, e.g. x.wav is an empty file"):
        opened("audio:bad")
    with pytest.raises(DataError, match="lacks what follows the colon: audio:PATH"):
        opened("audio:")


def test_options_of_pictures_leave_sounds_alone():
    spec = folder()
    plain = opened(spec)
    changed = opened(spec, size="16", channels=3, crop=0.5, flip=True, binarise=True)
    index, generator = torch.arange(4), torch.Generator()
    assert torch.equal(plain.batch(index, generator).image, changed.batch(index, generator).image)


def test_sounds_are_read_once(monkeypatch):
    spec = folder()
    first = opened(spec)
    monkeypatch.setattr(audio, "decode", None)
    assert torch.equal(opened(spec).pixels, first.pixels)


def test_folders_of_equal_names_sizes_and_times_are_not_taken_for_each_other():
    for folder, size in (("loud", 0.9), ("quiet", 0.1)):
        for i in range(6):
            os.utime(put(f"{folder}/{i}.wav", tone(phase=i, size=size)), ns=(1, 1))
    loud, quiet = opened("audio:loud"), opened("audio:quiet")
    assert np.abs(audio.to_wave(loud.pixels.numpy())).max() > 0.8
    assert np.abs(audio.to_wave(quiet.pixels.numpy())).max() < 0.2


def test_run_folders_name_the_folder_whole():
    assert anchor("audio:notes") == f"audio:{Path('notes').absolute()}"


# --- synthesised tones


def test_tones_repeat_at_their_pitch():
    train, test = both("tones")
    assert (len(train), len(test)) == (1200, 150)
    assert train.spec == Spec(1, 1, 800, ("80Hz", "100Hz", "160Hz"), "tones", 8000)
    for part in (train, test):
        assert part.labels.bincount().tolist() == [len(part) // 3] * 3
        for label, period in enumerate((100, 80, 50)):
            sounds = part.pixels[part.labels == label][:, 0, 0]
            assert torch.equal(sounds[:, period:], sounds[:, :-period])
            assert not torch.equal(sounds[:, 20:], sounds[:, :-20])
    assert not {bytes(x.numpy()) for x in train.pixels} & {bytes(x.numpy()) for x in test.pixels}
    assert opened("tones:80Hz").spec.classes == ("80Hz",)
    assert opened("tones:1-2").spec.classes == ("100Hz", "160Hz")


# --- as pictures


def test_a_curve_is_drawn_where_the_signal_is():
    ramp = torch.linspace(-1, 1, 1000).view(1, 1, 1, 1000)
    picture = curves(ramp)
    assert picture.shape == (1, 1, 64, 256)
    ink = (picture[0, 0, :, 8:-8] == 0).float()
    height = (ink * torch.arange(64)[:, None]).sum(0) / ink.sum(0)
    assert (height.diff() <= 0).all()
    assert (height[0], height[-1]) == (63, 0)
    assert (ink.sum(0) <= 2).all()
    assert torch.equal(curves(to_bytes(ramp)), picture)
    assert curves(torch.zeros(2, 1, 1, 3)).shape == (2, 1, 64, 256)  # fewer samples than columns
    jump = curves(torch.tensor([-1.0, 1.0]).repeat_interleave(500).view(1, 1, 1, 1000))
    assert ((jump == 0).sum(2) == 64).any(), "a jump is a line from top to bottom"
    assert grid(ramp.expand(6, -1, -1, -1), 3).shape == (1, 2 + 2 * 66, 2 + 3 * 258)


# --- in use


@pytest.fixture
def net(here):
    torch.manual_seed(0)
    model = WaveNet(layers=2, blocks=1, features=4, hidden=8, conditional=True)
    save_model(model.build(Spec(1, 1, 200, ("low", "high"), "audio:notes", RATE)), here / "net")
    return "net"


@pytest.fixture
def vae(here):
    torch.manual_seed(0)
    save_model(VAE(latent=2, hidden=8).build(Spec(1, 1, 200, (), "audio:notes", RATE)), here / "vae")
    return "vae"


def run(*arguments):
    return main([*map(str, arguments)])


def samples(path):
    return wavfile.read(path)


def test_training_with_previews(capsys):
    spec = folder(4)
    more = ["--layers", 2, "--blocks", 1, "--features", 4, "--hidden", 8, "--threads", 1, "--accelerator", "cpu"]
    steps = ["--steps", 2, "--batch-size", 4, "--sample-every", 2, "--seconds", "0.02", "--conditional"]
    assert run("train", "wavenet", "--data", spec, "--out", "run", *more, *steps) == 0
    height, width, _ = read("run/samples/step-00000002.png").shape
    assert (height, width % 258) == (2 + 2 * 66, 2)
    assert run("evaluate", "run") == 0
    assert run("data", "check", spec, "--seconds", "0.1") == 0
    assert "audio:notes" in capsys.readouterr().out


def test_samples_are_written_as_sounds(net):
    assert run("sample", net, "--out", "one.wav", "-n", 3, "--classes", "low", "--seed", 0) == 0
    rate, one = samples("one.wav")
    assert (rate, one.dtype, len(one)) == (RATE, np.int16, 600)
    assert run("sample", net, "--out", "many", "-n", 3, "--classes", "low", "--seed", 0) == 0
    many = [samples(f"many/sample-{i}.wav")[1] for i in (1, 2, 3)]
    assert np.array_equal(np.concatenate(many), one)
    drawn = isthmus.load(net).sample(3, "low", seed=0)
    assert np.array_equal(audio.to_pixels(one / 32767), to_bytes(drawn).flatten())
    assert run("sample", net, "--out", "curves.png", "-n", 4) == 0
    assert read("curves.png").shape == (2 + 2 * 66, 2 + 2 * 258, 1)
    assert run("sample", net, "--out", "many", "-n", 3) == 2  # they are there


def test_a_beginning_is_continued(net):
    put("x.wav", tone(0.025, rate=16_000), 16_000)
    assert run("complete", net, "x.wav", "--keep", "left", "--out", "go.wav", "-n", 1) == 0
    _, wave = samples("go.wav")
    given = audio.to_wave(audio.to_pixels(audio.resampled(tone(0.025, rate=16_000), 16_000, RATE)))
    assert np.abs(wave[:100] / 32767 - given[:100]).max() < 1e-3
    assert np.abs(wave[100:] / 32767 - given[100:]).max() > 0.1
    assert run("complete", net, "x.wav", "--keep", "left", "--out", "many", "-n", 2) == 0
    assert sorted(path.name for path in Path("many").iterdir()) == ["x-1.wav", "x-2.wav"]
    assert run("score", net, "x.wav") == 0


def test_sounds_go_through_codes(vae):
    put("x.wav", tone(0.025))
    put("y.wav", tone(0.5, 100))
    assert run("reconstruct", vae, "x.wav", "y.wav", "--out", "out") == 0
    made = isthmus.load(vae).reconstruct(["x.wav", tone(0.5, 100)])
    for name, wave in zip("xy", made, strict=True):
        assert wave.shape == (200,)
        assert np.abs(samples(f"out/{name}.wav")[1] / 32767 - wave).max() < 0.02
    assert run("reconstruct", vae, "x.wav", "--out", "one.wav") == 0
    assert run("reconstruct", vae, "x.wav", "y.wav", "--out", "sheet.png") == 0
    assert run("interpolate", vae, "x.wav", "y.wav", "--steps", 3, "--out", "between.wav") == 0
    assert len(samples("between.wav")[1]) == 600
    assert run("interpolate", vae, "x.wav", "y.wav", "--steps", 3, "--out", "between.gif") == 0


def test_a_short_sound_is_followed_by_silence(vae):
    wave = audio.fit(tone(0.01), RATE, isthmus.load(vae).model.spec)[0, :, 0]
    assert np.array_equal(wave[:80], audio.to_pixels(tone(0.01)))
    assert (wave[80:] == 128).all()


def test_sounds_and_pictures_are_told_apart(vae, capsys):
    save_model(VAE(latent=2, hidden=8).build(Spec(1, 4, 5)), Path("pictures"))
    put("x.wav", tone(0.025))
    assert run("sample", "pictures", "--out", "x2.wav") == 2
    assert "the model makes pictures, which are written as .png" in capsys.readouterr().err
    assert run("reconstruct", "pictures", "x.wav", "--out", "out") == 2
    assert "x.wav is not a picture" in capsys.readouterr().err
    Path("broken.wav").write_bytes(b"RIFF")
    assert run("reconstruct", vae, "x.wav", "broken.wav", "--out", "out") == 2
    assert "broken.wav cannot be read" in capsys.readouterr().err
    assert Path("out/x.wav").exists()


def test_samples_are_floats(vae):
    model = isthmus.load(vae)
    assert model.reconstruct(tone(0.025)).dtype == np.float32
    with pytest.raises(DataError, match="array of floats"):
        model.reconstruct(np.arange(200))


def test_the_file_of_a_sound_is_what_players_expect():
    content = audio.encode(torch.zeros(1, 1, 10), RATE)
    assert content[:4] == b"RIFF"
    rate, wave = wavfile.read(io.BytesIO(content))
    assert (rate, wave.tolist()) == (RATE, [0] * 10)
