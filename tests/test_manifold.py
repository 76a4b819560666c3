"""isthmus manifold: a grid of equally probable codes in two dimensions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from isthmus.apps import trained
from isthmus.apps.cli import main
from isthmus.core import Spec
from isthmus.core.operations import code_size, manifold
from isthmus.data.pictures import to_array
from isthmus.data.read import read
from isthmus.models.autoencoders.ae import AE
from isthmus.models.autoencoders.cvae import CVAE
from isthmus.training.checkpoint import save_model
from tiny_models import save_bridge, save_vae

GAP = 2  # between the pictures of a sheet
CLASSES = Spec(1, 32, 40, ("cat", "dog"))  # large enough to be shown as it is


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tile(file: str, row: int, column: int) -> np.ndarray:
    """A picture of a sheet of pictures that are 32 high and 40 wide."""
    top, left = GAP + row * (32 + GAP), GAP + column * (40 + GAP)
    return read(file)[top : top + 32, left : left + 40]


def test_places_are_quantiles_of_the_normal_distribution() -> None:
    codes = manifold(5, 4, dims=(3, 1))
    assert codes.shape == (16, 5)
    probabilities = Normal(0.0, 1.0).cdf(codes)
    torch.testing.assert_close(probabilities[:4, 3], torch.tensor([0.125, 0.375, 0.625, 0.875]))  # to the right
    torch.testing.assert_close(probabilities[::4, 1], torch.tensor([0.875, 0.625, 0.375, 0.125]))  # upwards
    assert len(codes[:, [3, 1]].unique(dim=0)) == 16
    assert not codes[:, [0, 2, 4]].any()


def test_the_sheet_shows_what_the_codes_decode_to(here: Path) -> None:
    save_vae(here / "vae", CLASSES)
    assert main(["manifold", "vae", "--out", "all.png", "--steps", "3", "--dims", "2", "0"]) == 0
    assert read("all.png").shape == (3 * 34 + GAP, 3 * 42 + GAP, 1)
    model = trained.load("vae").model
    corner = torch.tensor([[Normal(0.0, 1.0).icdf(torch.tensor(1 / 6)).item(), 0, 0, 0]])  # bottom left: both low
    corner[0, 2] = corner[0, 0]
    expected = to_array(model.decode(corner)[0].detach())
    assert np.abs(tile("all.png", 2, 0).astype(int) - expected).max() <= 1


def test_a_code_with_a_class_shows_that_class(here: Path) -> None:
    torch.manual_seed(0)
    model = CVAE(latent=2, hidden=8).build(CLASSES)
    assert code_size(model) == 4
    save_model(model, here / "cvae")
    for name, label in (("cat", 0), ("dog", 1)):
        assert main(["manifold", "cvae", "--out", f"{name}.png", "--steps", "3", "--label", name]) == 0
        expected = to_array(model.decode(model.swap(torch.zeros(1, 4), torch.tensor([label])))[0].detach())
        assert np.abs(tile(f"{name}.png", 1, 1).astype(int) - expected).max() <= 1
    assert not np.array_equal(read("cat.png"), read("dog.png"))
    assert main(["manifold", "cvae", "--out", "first.png", "--steps", "3"]) == 0
    assert np.array_equal(read("first.png"), read("cat.png"))


def test_what_has_codes_and_no_prior_shows_them_too(here: Path) -> None:
    save_model(AE(latent=2, hidden=8, layers=1).build(CLASSES), here / "ae")
    assert main(["manifold", "ae", "--out", "all.png", "--steps", "2"]) == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--dims", "0", "4"], "0 to 3, got 0 4"),
        (["--dims", "1", "1"], "got 1 1"),
        (["--dims", "1"], "got 1"),
        (["--steps", "1"], "at least 2"),
        (["--label", "cat"], "have no class"),
        (["--out", "all.jpg"], r"ends in .png"),
    ],
)
def test_what_makes_no_sense_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    save_vae(here / "vae", CLASSES)
    assert main(["manifold", "vae", "--out", "all.png", *more]) == 2
    assert message in capsys.readouterr().err
    assert not Path("all.png").exists()


def test_a_model_without_codes_says_which_have_them(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_bridge(here / "bridge")
    assert main(["manifold", "bridge", "--out", "all.png"]) == 2
    assert "these can: ae" in capsys.readouterr().err
    Path("taken.png").write_text("")
    assert main(["manifold", "bridge", "--out", "taken.png"]) == 2
    assert "exists" in capsys.readouterr().err
