"""What a translator writes and what it leaves alone: examples, sheets, pictures of one's own, transparency."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from command_line import files, put, said
from isthmus.apps import bulk
from isthmus.apps.cli import main
from isthmus.apps.forms import with_alpha
from isthmus.apps.trained import Trained
from isthmus.core import Spec
from isthmus.data.read import read, write
from isthmus.errors import ConfigError
from tiny_models import Noisy, Tinted

SIDE = Spec(3, 16, 24, (), "folder:side")


@pytest.fixture
def tinted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """What every run folder holds, where nothing else lies yet."""
    model = Trained(Tinted().build(SIDE, SIDE), {})
    monkeypatch.setattr(bulk, "load", lambda *_: model)
    monkeypatch.chdir(tmp_path)
    return model


def of(*arguments: str) -> int:
    return main(["translate", "run", *arguments])


def test_examples_of_a_style_are_never_replaced(tinted: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    example, source = put("boots/red.png"), put("in/red.png")
    content = example.read_bytes()
    for refused, says in (
        (["--out", "boots"], "--out boots is the folder of --style"),
        (["--out", "boots/red.png"], "boots/red.png is one of the pictures to read"),
        (["--grid", "boots/red.png"], "boots/red.png is one of the pictures to read"),
    ):
        assert of(str(source), "--style", "boots", *refused, "--overwrite") == 2
        assert says in said(capsys)
    assert example.read_bytes() == content
    assert of(str(source), "--style", "boots", "--out", "boots/drawn", "--seed", "0") == 0
    first = read("boots/drawn/red.png")
    assert of(str(source), "--style", "boots", "--out", "boots/drawn", "--overwrite") == 0
    assert np.array_equal(read("boots/drawn/red.png"), first)  # results are no examples


@pytest.mark.parametrize("out", ["same.png", "out"])
def test_a_sheet_does_not_replace_what_is_written(
    out: str, tinted: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    put("same.jpg")
    grid = out if out.endswith(".png") else "out/same.png"
    assert of("same.jpg", "--out", out, "--grid", grid) == 2
    assert f"two pictures would be written to {grid}" in said(capsys)
    assert not Path(grid).exists()


def test_pictures_in_the_output_folder_are_named(tinted: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    put("in/own/1.png")
    put("in/2.png")
    assert of("in", "--out", "in/own") == 0
    assert "left out: of in, since they lie in --out in/own: own/1.png" in said(capsys)
    assert files("in") == ["2.png", "own/1.png", "own/2.png"]


@pytest.mark.parametrize("name", ["x.mp4", "x.avi", "x.jpg"])
def test_a_picture_is_no_film_and_no_folder_is_called_so(
    name: str, tinted: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    assert of(str(put("a.png")), "--out", name) == 2
    assert f"--out {name}: pictures are written as .png; give such a name, or a folder" in said(capsys)
    assert not Path(name).exists()


@pytest.mark.parametrize("tile", [[], ["--tile"]])
def test_examples_are_encoded_once(tile: list[str], tinted: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, style = [], Tinted.style
    monkeypatch.setattr(Tinted, "style", lambda self, image, of: (seen.extend(image), style(self, image, of))[1])
    tinted.part = 2
    for i in range(5):
        put(f"in/{i}.png")
    for i in range(3):
        put(f"like/{i}.png")
    assert of("in", "--style", "like", "--out", "out", "-n", "4", *tile) == 0
    assert len(seen) == 3


def test_a_style_can_be_kept(tinted: Trained) -> None:
    example, image = (np.full((16, 24, 3), value, np.uint8) for value in (200, 90))
    style = tinted.style_of([example, example // 2])
    assert style.ndim == 1
    assert np.array_equal(tinted.translate(image, style=style), tinted.translate(image, style=[example, example // 2]))
    with pytest.raises(ConfigError, match="no styles"):
        Trained(Noisy().build(SIDE, SIDE), {}).style_of(example)


def test_a_sheet_of_tiled_pictures_is_of_the_models_size(tinted: Trained) -> None:
    put("in/a.png", size=(400, 300))
    put("in/b.png", size=(50, 700))
    assert of("in", "--tile", "--out", "out", "--grid", "sheet.png") == 0
    assert read("out/a.png").shape[:2] == (400, 300)
    assert max(read("sheet.png").shape) < 6 * SIDE.width  # two of them side by side, drawn larger


@pytest.mark.parametrize("tile", [[], ["--tile"]])
def test_what_is_half_clear_is_laid_on_white_once(tile: list[str], tinted: Trained) -> None:
    """A model that leaves colours alone leaves transparent ones alone."""
    colours = np.random.default_rng(0).integers(0, 256, (*SIDE.shape[1:], 4)).astype(np.uint8)
    colours[..., 3] = np.linspace(255, 30, 24).astype(np.uint8)
    write("in.png", colours)
    tinted.model.restyle = lambda image, to, style: image
    assert of("in.png", "--out", "out.png", *tile) == 0
    made = read("out.png").astype(int)
    assert np.array_equal(made[..., 3], colours[..., 3])
    assert (np.abs(made[..., :3] - colours[..., :3]) * colours[..., 3:] <= 255).all()  # a level on white, no more


def test_alpha_is_brought_to_the_size_of_the_result() -> None:
    result, alpha = 2 * torch.rand(3, 8, 12) - 1, torch.full((1, 4, 6), 0.5)
    made = with_alpha(result, alpha)
    assert made.shape == (4, 8, 12)
    torch.testing.assert_close(made[3], torch.full((8, 12), 0.5))
    assert with_alpha(result[:1], alpha).shape == (1, 8, 12)
    hidden = with_alpha(result, -torch.ones(1, 8, 12))
    assert torch.equal(hidden[:3], result)
