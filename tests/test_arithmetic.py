"""isthmus arithmetic and isthmus traverse: codes that are added and changed, and what becomes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from command_line import put, said
from isthmus.apps import trained
from isthmus.apps.cli import main
from isthmus.core import Spec
from isthmus.core.operations import arithmetic, code_size, drawn_codes, quantiles, traverse
from isthmus.data.read import read
from isthmus.models.autoencoders.ae import AE
from isthmus.models.autoencoders.cvae import CVAE
from isthmus.models.gans.gan import GAN
from isthmus.training.checkpoint import save_model
from tiny_models import save_bridge, save_generator, save_vae

SPEC = Spec(1, 32, 40)  # large enough to be shown as it is
GAP = 2  # between the pictures of a sheet


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save_generator(tmp_path / "gan", SPEC)
    return tmp_path


def tiles(file: str) -> list[list[np.ndarray]]:
    """The pictures of a sheet, row by row; each is 32 high and 40 wide."""
    pixels = read(file)[..., 0]
    assert [(side - GAP) % size for side, size in zip(pixels.shape, (34, 42), strict=True)] == [0, 0]
    rows, columns = (pixels.shape[0] - GAP) // 34, (pixels.shape[1] - GAP) // 42
    return [[pixels[GAP + 34 * y :, GAP + 42 * x :][:32, :40] for x in range(columns)] for y in range(rows)]


def shows(tile: np.ndarray, image: torch.Tensor) -> bool:
    """Whether it is the image [1, height, width] in [-1, 1]."""
    return bool(np.abs(tile - ((image[0] + 1) * 127.5).numpy()).max() <= 1)


# --- operations


def test_means_are_added_and_subtracted_on_the_way_from_the_mean_of_the_start() -> None:
    start, plus, minus = torch.tensor([[0.0, 1], [2, 3]]), torch.tensor([[1.0, 1]]), torch.tensor([[4.0, 0], [0, 4]])
    expected = torch.tensor([[1.0, 2.0], [0.5, 1.5], [0.0, 1.0]])  # to 1 + 1 - 2, 2 + 1 - 2
    torch.testing.assert_close(arithmetic(start, plus, minus, 3), expected)
    nothing = torch.empty(0, 0)
    torch.testing.assert_close(arithmetic(start, plus, nothing, 2)[-1], torch.tensor([2.0, 3.0]))
    torch.testing.assert_close(arithmetic(start, nothing, minus, 2)[-1], torch.tensor([-1.0, 0.0]))


def test_drawn_codes_are_normal_with_a_class_where_codes_have_one() -> None:
    torch.manual_seed(0)
    codes = drawn_codes(GAN(latent=3, hidden=4).build(SPEC), 4000)
    assert codes.shape == (4000, 3)
    assert codes.mean(0).abs().max() < 0.1
    assert (codes.std(0) - 1).abs().max() < 0.05
    codes = drawn_codes(CVAE(latent=2, hidden=4).build(Spec(1, 8, 8, ("a", "b", "c"))), 300)
    assert codes.shape == (300, 5)
    assert set(map(tuple, codes[:, 2:].tolist())) == set(map(tuple, torch.eye(3).tolist()))


def test_a_traverse_changes_one_dimension_or_one_choice() -> None:
    code = torch.randn(6)
    codes = traverse(code, [4], 5)
    assert torch.equal(codes[:, [0, 1, 2, 3, 5]], code[[0, 1, 2, 3, 5]].expand(5, -1))
    torch.testing.assert_close(Normal(0.0, 1.0).cdf(codes[:, 4]), torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9]))
    assert torch.equal(codes[:, 4], quantiles(5))
    codes = traverse(code, [1, 2, 3], 5)
    assert torch.equal(codes[:, 1:4], torch.eye(3))
    assert torch.equal(codes[:, [0, 4, 5]], code[[0, 4, 5]].expand(3, -1))
    assert code_size(GAN(latent=7)) == 7


# --- arithmetic


def test_of_seeds_the_sheet_shows_the_codes_their_means_and_the_way_to_the_result(here: Path) -> None:
    assert main(["arithmetic", "gan", "1", "2", "--plus", "3", "4", "5", "--minus", "6", "--out", "sheet.png"]) == 0
    model = trained.load("gan")
    groups = [torch.stack([model.code_of(seed) for seed in seeds]) for seeds in ((1, 2), (3, 4, 5), (6,))]
    rows = tiles("sheet.png")
    assert [len(row) for row in rows] == [4] * 4
    for row, codes in zip(rows, groups, strict=False):
        for tile, image in zip(row, model.decode(codes), strict=False):
            assert shows(tile, image)
        assert shows(row[-1], model.decode(codes.mean(0)))
        assert all((tile == 255).all() for tile in row[len(codes) : -1])
    start, plus, minus = (codes.mean(0) for codes in groups)
    for i, tile in enumerate(rows[3]):
        assert shows(tile, model.decode(start + i / 3 * (plus - minus)))


def test_a_seed_stands_for_what_is_sampled_with_it(here: Path) -> None:
    assert main(["arithmetic", "gan", "7", "--plus", "8", "--out", "sheet.png"]) == 0
    for seed, row in (("7", 0), ("8", 1)):
        assert main(["sample", "gan", "--seed", seed, "-n", "1", "--out", f"{seed}.png"]) == 0
        assert np.array_equal(tiles(f"{seed}.png")[0][0], tiles("sheet.png")[row][0])


def test_of_pictures_their_codes_are_taken_and_seeds_may_stand_beside_them(here: Path) -> None:
    save_vae(here / "vae", SPEC)
    put("a.png", 1), put("b.png", 1)
    assert main(["arithmetic", "vae", "a.png", "--plus", "b.png", "--minus", "3", "--out", "sheet.png"]) == 0
    model = trained.load("vae")
    a, b, drawn = model.encode(Path("a.png")), model.encode(Path("b.png")), model.code_of(3)
    assert shows(tiles("sheet.png")[3][1], model.decode(a + b - drawn))
    assert shows(tiles("sheet.png")[0][0], model.decode(a))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gan", "1"], "nothing to add or to take away; give --plus, --minus or both"),
        (["gan", "--plus", "1"], "needs START"),
        (["gan", "1", "--plus", "a.png"], "gan cannot give pictures a code and go back; name seeds in place of them"),
        (["gan", "1", "--plus", "2", "--out", "sheet.jpg"], "ends in .png"),
        (["vae", "gone.png", "--plus", "1"], "gone.png cannot be read"),
        (["vae", "a.png", "--plus", "1", "--out", "a.png"], "is one of the pictures to read"),
        (["ae", "1", "--plus", "a.png"], "ae cannot draw codes; these can: "),
        (["bridge", "a.png", "--plus", "1"], "latent-bridge cannot"),
    ],
)
def test_what_makes_no_sense_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    save_vae(here / "vae", SPEC)
    save_bridge(here / "bridge")
    save_model(AE(latent=2, hidden=8, layers=1).build(SPEC), here / "ae")
    put("a.png", 1)
    before = Path("a.png").read_bytes()
    assert main(["arithmetic", *arguments, *([] if "--out" in arguments else ["--out", "sheet.png"])]) == 2
    (line,) = said(capsys).splitlines()
    assert message in line
    assert not Path("sheet.png").exists()
    assert Path("a.png").read_bytes() == before


def test_nothing_is_overwritten_unasked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["arithmetic", "gan", "1", "--plus", "2"], ["traverse", "gan"]):
        Path("sheet.png").write_text("")
        assert main([*command, "--out", "sheet.png"]) == 2
        assert "sheet.png exists" in said(capsys)
        assert main([*command, "--out", "sheet.png", "--overwrite"]) == 0
        assert Path("sheet.png").stat().st_size


# --- traverse


def test_each_row_is_a_dimension_and_each_column_a_value(here: Path) -> None:
    assert main(["traverse", "gan", "--dims", "2", "0", "--steps", "5", "--seed", "1", "--out", "sheet.png"]) == 0
    model, rows = trained.load("gan"), tiles("sheet.png")
    assert [len(row) for row in rows] == [5, 5]
    for row, dim in zip(rows, (2, 0), strict=True):
        for tile, value in zip(row, quantiles(5), strict=True):
            code = model.code_of(1)
            code[dim] = value
            assert shows(tile, model.decode(code))
    assert main(["traverse", "gan", "--out", "all.png"]) == 0
    rows = tiles("all.png")
    assert [len(row) for row in rows] == [10] * 4  # of all dimensions, since these are few, around 0
    code = torch.zeros(4)
    code[3] = quantiles(10)[9]
    assert shows(rows[3][9], model.decode(code))


def test_a_range_is_one_choice_with_a_column_for_each(here: Path) -> None:
    assert main(["traverse", "gan", "--dims", "1-3", "0", "--steps", "4", "--out", "sheet.png"]) == 0
    model, (choice, values) = trained.load("gan"), tiles("sheet.png")
    for i, tile in enumerate(choice[:3]):
        assert shows(tile, model.decode(torch.eye(4)[1 + i]))
    assert (choice[3] == 255).all()
    assert shows(values[0], model.decode(quantiles(4)[0] * torch.eye(4)[0]))


def test_classes_have_a_row_each_where_codes_have_one(here: Path) -> None:
    torch.manual_seed(0)
    model = CVAE(latent=2, hidden=8).build(Spec(1, 32, 40, ("cat", "dog")))
    save_model(model, here / "cvae")
    assert main(["traverse", "cvae", "--dims", "1", "--steps", "3", "--classes", "dog", "0", "--out", "s.png"]) == 0
    rows = tiles("s.png")
    for row, label in zip(rows, (1, 0), strict=True):
        for tile, value in zip(row, quantiles(3), strict=True):
            code = torch.cat([torch.tensor([0.0, value]), torch.eye(2)[label]])
            assert shows(tile, model.decode(code[None])[0].detach())
    assert main(["traverse", "cvae", "--dims", "1", "--steps", "3", "--out", "first.png"]) == 0
    assert np.array_equal(tiles("first.png")[0], rows[1])
    put("a.png", 1)
    assert main(["traverse", "cvae", "--picture", "a.png", "--out", "own.png"]) == 0
    assert [len(row) for row in tiles("own.png")] == [10, 10]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dims", "4"], "--dims are dimensions of 0 to 3, or ranges such as 3-7, got 4"),
        (["--dims", "2-4"], "got 2-4"),
        (["--dims", "3-1"], "got 3-1"),
        (["--dims", "x"], "got x"),
        (["--steps", "1"], "--steps must be at least 2, got 1"),
        (["--seed", "1", "--picture", "a.png"], "give --seed or --picture, not both"),
        (["--picture", "a.png"], "gan cannot give pictures a code"),
        (["--classes", "cat"], "gan cannot swap classes"),
        (["--out", "sheet.gif"], "ends in .png"),
    ],
)
def test_mistakes_of_traverse(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["traverse", "gan", "--out", "sheet.png", *arguments]) == 2
    (line,) = said(capsys).splitlines()
    assert message in line
    save_bridge(here / "bridge")
    assert main(["traverse", "bridge", "--out", "sheet.png"]) == 2
    assert "latent-bridge cannot decode; these can: " in said(capsys)
    assert not Path("sheet.png").exists()
