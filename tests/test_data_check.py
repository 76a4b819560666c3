"""The report on data, and pictures for people."""

import io
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from data_helpers import fill
from isthmus.data.check import check, show
from isthmus.data.options import DataOptions
from isthmus.data.pictures import data_uri, grid, save_png, to_png_bytes
from isthmus.data.read import decode, read
from isthmus.errors import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path / "cache"))


def report_on(*specs, decode=False, **options):
    return check(DataOptions(data=specs, **options), decode)


def split(folder, counts):
    return [f"{part}/{label}/{i}.png" for part, n in counts.items() for label in folder for i in range(n)]


def test_clean_data_raise_no_concern(tmp_path):
    root = fill(tmp_path / "p", split("ab", {"train": 60, "test": 10}))
    report = report_on(f"folder:{root}", decode=True)
    assert report.warnings == []
    (domain,) = report.domains
    assert domain.splits["train"].count == 120
    assert domain.splits["test"].classes == {"a": 10, "b": 10}
    assert domain.splits["train"].sizes == {"12x10": 120}
    assert domain.splits["train"].modes == {"RGB 8 bit": 120}
    assert domain.splits["train"].widths == (12, 12, 12)


def concerns(tmp_path, change, **options):
    root = fill(tmp_path / "p", split("ab", {"train": 60, "test": 10}))
    change(root)
    return report_on(f"folder:{root}", **options).warnings


def truncate(file):
    file.write_bytes(file.read_bytes()[:200])


@pytest.mark.parametrize(
    ("change", "message", "options"),
    [
        (
            lambda p: (p / "train/a/x.png").write_text("x"),
            "1 train picture of 121 cannot be read, e.g. train/a/x.png",
            {},
        ),
        (lambda p: truncate(p / "test/a/3.png"), "1 test picture of 20 cannot be read", {"decode": True}),
        (
            lambda p: shutil.copy(p / "train/a/1.png", p / "train/b/y.png"),
            "1 train picture too many by exact copies",
            {},
        ),
        (lambda p: shutil.copy(p / "train/a/1.png", p / "test/a/y.png"), "1 test picture also in the training set", {}),
        (lambda p: fill(p, ["train/a/1 (1).png"]), r"names like copies, e.g. train/a/1", {}),
        (
            lambda p: fill(p, [f"train/b/m{i}.png" for i in range(600)], (2, 2)),
            "uneven train classes, 660 of b but 60",
            {},
        ),
        (lambda p: shutil.rmtree(p / "test/b"), "no test pictures of class b", {}),
        (lambda p: fill(p, ["train/a/z.png"], (40, 10)), "different sizes, widths 12 to 40", {}),
        (lambda p: fill(p, ["train/a/z.png"], mode="L"), "1 picture in grey among coloured ones", {}),
        (lambda p: fill(p, ["train/a/z.png"], mode="RGBA"), "transparent; they are laid on white", {}),
        (lambda p: Image.fromarray(np.zeros((10, 12), np.uint16)).save(p / "train/a/z.png"), "16 bits for each", {}),
        (lambda p: None, "smaller than the size 64x64", {"size": "64"}),
        (lambda p: [shutil.rmtree(p / "train/a")], "60 pictures to train with, which is few", {}),
    ],
)
def test_each_fault_is_found(tmp_path, change, message, options):
    import re

    found = concerns(tmp_path, change, **options)
    assert any(re.search(message, warning) for warning in found), found


def test_two_domains(tmp_path):
    a = fill(tmp_path / "a", [f"{i}.png" for i in range(150)])
    b = fill(tmp_path / "b", [f"other{i}.png" for i in range(2000)], (2, 2))
    text = " ".join(report_on(f"folder:{a}", f"folder:{b}").warnings)
    assert "the domains are uneven" in text
    assert "wrong folder" not in text
    shutil.rmtree(b)
    shutil.copytree(a, b)
    assert "are in" in (text := " ".join(report_on(f"folder:{a}", f"folder:{b}").warnings))
    assert "is one the wrong folder?" in text


def test_two_domains_that_are_paired_by_name_are_split_alike(tmp_path):
    a, b = (
        fill(tmp_path / side, [f"{i}.{suffix}" for i in range(60)]) for side, suffix in (("a", "png"), ("b", "bmp"))
    )
    splits = [domain.splits for domain in report_on(f"folder:{a}", f"folder:{b}", pair="index").domains]
    assert splits[0]["test"].count == splits[1]["test"].count
    (b / "0.bmp").unlink()
    with pytest.raises(DataError, match="no partner of the same name"):
        report_on(f"folder:{a}", f"folder:{b}", pair="index")


def test_unreadable_files_are_not_taken_for_copies(tmp_path):
    roots = [fill(tmp_path / side, [f"{side}{i}.png" for i in range(150)]) for side in "ab"]
    for root in roots:
        (root / "bad1.png").write_bytes(b"")
        (root / "bad2.png").write_bytes(b"")
    warnings = report_on(*(f"folder:{root}" for root in roots)).warnings
    assert len(warnings) == 2
    assert all("2 train pictures of" in warning for warning in warnings)


def test_pairs_side_by_side_are_not_taken_for_copies(tmp_path):
    root = fill(tmp_path / "p", [f"{i}.png" for i in range(150)], (24, 10))
    report = report_on(f"pairs:{root}")
    assert report.warnings == []
    assert [domain.splits["train"].sizes.keys() for domain in report.domains] == [{"12x10"}, {"12x10"}]


def test_a_report_is_plain_and_can_be_printed(tmp_path):
    root = fill(tmp_path / "p", [f"[x]{label}/{i}.png" for label in "ab" for i in range(9)])
    (root / "[x]a" / "bad.png").write_text("x")
    report = report_on(f"folder:{root}")
    again = json.loads(json.dumps(report.to_dict()))
    assert again["domains"][0]["splits"]["train"]["count"] == report.domains[0].splits["train"].count
    console = Console(file=io.StringIO(), width=200)
    show(report, console)
    text = console.file.getvalue()
    for part in ("[x]a", "unreadable", "bad.png", "few", "12x10"):
        assert part in text


def test_what_is_not_there_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no folder"):
        report_on(f"folder:{tmp_path / 'nothing'}")


def test_named_sets_too():
    report = report_on("digits:0-1")
    assert report.domains[0].splits["train"].modes == {"L 8 bit": report.domains[0].splits["train"].count}
    assert set(report.domains[0].splits["test"].classes) == {"0", "1"}


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_grids(channels):
    images = torch.rand(5, channels, 40, 50) * 2 - 1
    sheet = grid(images, columns=3, padding=2)
    assert sheet.dtype == torch.uint8
    assert sheet.shape == (channels, 2 + 2 * 42, 2 + 3 * 52)
    expected = ((images[4] + 1) * 127.5).round().to(torch.uint8)
    assert torch.equal(sheet[:, 44:84, 54:104], expected)
    assert (sheet[:, :2] == 255).all()
    assert (sheet[:, 44:, 106:] == 255).all()
    assert torch.equal(grid(expected[None], 1, padding=0), expected)


def test_small_images_are_enlarged():
    images = torch.arange(64, dtype=torch.uint8).reshape(1, 1, 8, 8)
    sheet = grid(images, 1, padding=0)
    assert sheet.shape == (1, 32, 32)
    assert torch.equal(sheet[0, ::4, ::4], images[0, 0])
    assert torch.equal(sheet[0, 3::4, 3::4], images[0, 0])
    assert grid(images, 1, padding=0, scale=1).shape == (1, 8, 8)


def test_pictures_are_files_and_addresses(tmp_path):
    image = torch.rand(3, 6, 7) * 2 - 1
    save_png(image, tmp_path / "new" / "a.png")
    pixels = ((image + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
    assert np.array_equal(read(tmp_path / "new" / "a.png"), pixels)
    assert np.array_equal(decode(to_png_bytes(image), "x"), pixels)
    deep = np.random.default_rng(0).integers(0, 65536, (5, 4, 3), dtype=np.uint16)
    assert np.array_equal(decode(to_png_bytes(deep), "x"), deep)
    import base64

    head, _, body = data_uri(pixels).partition(",")
    assert head == "data:image/png;base64"
    assert np.array_equal(decode(base64.b64decode(body), "x"), pixels)
