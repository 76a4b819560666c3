"""isthmus encode: codes and features of pictures in a file, and what a linear classifier makes of features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import isthmus
from command_line import put, said
from isthmus.apps.cli import main
from isthmus.core import Spec
from isthmus.errors import CapabilityError
from isthmus.evaluation.classification import linear_hits
from isthmus.models.gans.bigan import BiGAN
from isthmus.models.gans.dcgan import DCGAN
from isthmus.training.checkpoint import save_model
from tiny_models import save_generator, save_vae

SPEC = Spec(1, 16, 24)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("photos/one.png", "photos/more/two.png", "photos/three.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        put(name, channels=1)
    return tmp_path


def save(model: isthmus.core.Model, folder: str) -> None:
    torch.manual_seed(0)
    save_model(model.build(SPEC), Path(folder))


def test_codes_and_features_stand_beside_names(here: Path) -> None:
    save(BiGAN(latent=3, hidden=8), "run")
    assert main(["encode", "run", "photos", "--out", "found.npz"]) == 0
    model, found = isthmus.load("run"), np.load("found.npz")
    assert sorted(found) == ["codes", "features", "names"]
    assert sorted(found["names"]) == ["more/two.png", "one.png", "three.png"]
    pictures = [Path("photos", name) for name in found["names"]]
    np.testing.assert_allclose(found["codes"], model.encode(pictures), atol=1e-6)
    np.testing.assert_allclose(found["features"], model.describe(pictures), atol=1e-6)
    assert found["features"].shape == (3, 8)


def test_what_a_model_lacks_is_left_out(here: Path) -> None:
    save(DCGAN(latent=3, features=2), "features")
    save_vae(here / "codes", SPEC)
    for run in ("features", "codes"):
        assert main(["encode", run, "photos/one.png", "--out", f"{run}.npz"]) == 0
        assert sorted(np.load(f"{run}.npz")) == sorted([run, "names"])


def test_a_model_without_either_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_generator(here / "run", SPEC)
    assert main(["encode", "run", "photos", "--out", "found.npz"]) == 2
    assert "neither codes nor features" in said(capsys)
    with pytest.raises(CapabilityError, match="dcgan"):
        isthmus.load(here / "run").describe(here / "photos/one.png")


@pytest.mark.parametrize(("out", "message"), [("found.txt", "npz"), ("old.npz", "--overwrite")])
def test_files_that_cannot_be_written(out: str, message: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_vae(here / "run", SPEC)
    Path("old.npz").write_bytes(b"old")
    assert main(["encode", "run", "photos", "--out", out]) == 2
    assert message in said(capsys)
    assert Path("old.npz").read_bytes() == b"old"


def test_unreadable_pictures_are_named_and_left_out(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_vae(here / "run", SPEC)
    Path("photos/broken.png").write_bytes(b"nothing")
    assert main(["encode", "run", "photos", "--out", "found.npz"]) == 2
    assert "broken.png" in said(capsys)
    assert len(np.load("found.npz")["names"]) == 3


def test_a_linear_classifier_needs_what_is_linear() -> None:
    """Quadrants by the sign of a product are no linear matter, unless the product is a feature."""
    torch.manual_seed(0)
    x, y = torch.randn(2, 500, 2)
    signs = [(points.prod(1) > 0).long() for points in (x, y)]
    assert linear_hits(x, signs[0], y, signs[1]).mean() < 0.65
    x, y = (torch.cat([points, points.prod(1, keepdim=True)], dim=1) for points in (x, y))
    assert linear_hits(x, signs[0], y, signs[1]).mean() > 0.95
