"""Pairs: side by side, in two folders, of two folders by name, and what is said of malformed ones."""

from pathlib import Path

import numpy as np
import pytest
import torch

from data_helpers import both, fill, names, opened, picture
from isthmus.data.open import open_data, pairing
from isthmus.data.options import DataOptions
from isthmus.errors import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path / "cache"))


def halves(root, count, prefix=""):
    return fill(root, names(count, prefix), (24, 10))


def check_pairs(a, b, whole):
    """That example i of both comes from the same file, the left and the right half of it."""
    for i, name in enumerate(a.names):
        image = np.asarray(picture(whole(name), (24, 10))).transpose(2, 0, 1)
        assert np.array_equal(a.pixels[i], image[:, :, :12])
        assert np.array_equal(b.pixels[i], image[:, :, 12:])


def test_pairs_side_by_side(tmp_path):
    root = halves(tmp_path / "p", 20)
    for split in ("train", "test"):
        a, b = opened(f"pairs:{root}", split=split)
        assert a.names == b.names
        assert a.spec.shape == (3, 10, 12)
        check_pairs(a, b, lambda name: name)
    root = halves(halves(tmp_path / "q", 6, "train/"), 4, "test/")
    assert [len(d) for d in (*opened(f"pairs:{root}"), *opened(f"pairs:{root}", split="test"))] == [6, 6, 4, 4]


def test_pairs_in_the_other_direction(tmp_path):
    root = halves(tmp_path / "p", 12)
    a, b = opened(f"pairs:{root}")
    first, second = opened(f"pairs:{root}", direction="b2a")
    assert torch.equal(first.pixels, b.pixels)
    assert torch.equal(second.pixels, a.pixels)
    assert (first.spec.name, second.spec.name) == (b.spec.name, a.spec.name)


def test_a_direction_is_between_two_domains():
    with pytest.raises(DataError, match="exchanged needs two domains, got 1"):
        opened("digits", direction="b2a")


@pytest.mark.parametrize(
    "layout", ["{side}/{name}", "{split}/{side}/{name}", "{side}/{split}/{name}", "{split}{side}/{name}"]
)
def test_pairs_in_two_folders(tmp_path, layout):
    root = tmp_path / "p"
    for split, count in (("train", 12), ("test", 5)):
        for side, mode in (("A", "RGB"), ("B", "L")):
            places = [layout.format(split=split, side=side, name=f"{split}{i}.png") for i in range(count)]
            fill(root, places, mode=mode)
    own = "{split}" in layout
    for split, count in (("train", 12), ("test", 5)):
        a, b = opened(f"pairs:{root}", split=split)
        assert [name.split("/")[-1] for name in a.names] == [name.split("/")[-1] for name in b.names]
        assert (a.spec.channels, b.spec.channels) == (3, 1)
        assert "A" in a.names[0]
        assert "B" in b.names[0]
        if own:
            assert len(a) == count
            assert all(f"{split}" in name.split("/")[-1] for name in a.names)


def test_pairs_with_one_unnamed_side_and_other_suffixes(tmp_path):
    root = fill(tmp_path / "p", [*names(5, "train/", ".jpg"), *names(2, "test/", ".jpg")])
    fill(root, [*names(5, "train_labels/"), *names(2, "test_labels/")], mode="L")
    a, b = opened(f"pairs:{root}")
    assert (len(a), len(b)) == (5, 5)
    assert a.names[0] == "train/000.jpg"
    assert b.names[0] == "train_labels/000.png"


def test_pairs_stay_together_and_aligned(tmp_path):
    root = halves(tmp_path / "p", 12)
    options = DataOptions(data=(f"pairs:{root}",), crop=0.5, flip=True)
    domains = open_data(options, "train")
    epoch = pairing(options, domains)
    left, right = epoch(torch.Generator().manual_seed(0))
    assert torch.equal(left, right)
    assert sorted(left.tolist()) == list(range(len(domains[0])))


def test_a_damaged_half_takes_its_partner_along(tmp_path):
    root = fill(tmp_path / "p", [*names(40, "A/"), *names(40, "B/")])
    for name in ("A/002.png", "B/005.png"):
        data = (root / name).read_bytes()
        (root / name).write_bytes(data[: len(data) // 2])
    with pytest.warns(UserWarning, match="left out"):
        parts = [opened(f"pairs:{root}", split=split) for split in ("train", "test")]
    found = []
    for a, b in parts:
        assert [name[1:] for name in a.names] == [name[1:] for name in b.names]
        assert len(a.pixels) == len(a.names)
        for domain in (a, b):
            for i, name in enumerate(domain.names):
                assert np.array_equal(domain.pixels[i], np.asarray(picture(name)).transpose(2, 0, 1))
        found += a.names
    assert sorted(found) == [f"A/{i:03d}.png" for i in range(40) if i not in (2, 5)]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            ["A/1.png", "A/2.png", "B/1.png", "B/3.png"],
            "no partner of the same name for 2 pictures, e.g. .*A/2.png, .*B/3.png: rename",
        ),
        (["A/1.png", "B/1.png", "C/1.png"], "subfolders A, B, C; pairs are"),
        (["A/1.png", "B/1.png", "2.png"], "pictures and subfolders A, B; pairs are"),
        (["A/1.png", "A/1.jpg", "B/1.png"], "but for the suffix; rename one"),
        (["A/1.png", "A/2.png"], "subfolders A; pairs are"),
    ],
)
def test_malformed_pairs(tmp_path, files, message):
    root = fill(tmp_path / "p", files)
    with pytest.raises(DataError, match=message):
        opened(f"pairs:{root}")


def by_index(a, b, split="train", **options):
    return opened(f"folder:{a}", f"folder:{b}", split=split, pair="index", **options)


def test_two_folders_are_paired_by_name_before_they_are_split(tmp_path):
    a = fill(tmp_path / "a", [*names(20), *names(20, "more/")])
    b = fill(tmp_path / "b", [*names(20, suffix=".bmp"), *names(20, "more/", ".bmp")])
    alone, seen = both(f"folder:{a}"), []
    for split, first in zip(("train", "test"), alone, strict=True):
        for direction in ("a2b", "b2a"):
            domains = by_index(a, b, split, direction=direction)
            assert pairing(DataOptions(data=("folder:a", "folder:b"), pair="index"), domains) is not None
            one, other = domains if direction == "a2b" else reversed(domains)
            assert [Path(name).with_suffix(".bmp").as_posix() for name in one.names] == other.names
            assert sorted(one.names) == sorted(first.names)  # the first domain is split as it is by itself
            assert np.array_equal(other.pixels[-1], np.asarray(picture(other.names[-1])).transpose(2, 0, 1))
        seen += one.names
    assert len(seen) == 40


def test_a_damaged_picture_takes_its_partner_in_the_other_folder_along(tmp_path):
    a, b = fill(tmp_path / "a", names(40)), fill(tmp_path / "b", names(40, suffix=".bmp"))
    (a / "002.png").write_bytes((a / "002.png").read_bytes()[:100])
    (b / "005.bmp").write_bytes(b"")
    with pytest.warns(UserWarning, match="left out"):
        parts = [by_index(a, b, split) for split in ("train", "test")]
    for one, other in parts:
        assert [name[:3] for name in one.names] == [name[:3] for name in other.names]
        assert len(one) == len(other) == len(one.names)
    assert sorted(name for one, _ in parts for name in one.names) == [
        n for n in names(40) if n[:3] not in ("002", "005")
    ]


def test_folders_with_a_split_or_a_class_are_paired_below_it(tmp_path):
    root = fill(tmp_path / "p", [name for part in ("train", "test") for s in "AB" for name in names(4, f"{part}{s}/")])
    a, b = by_index(f"{root}:A", f"{root}:B", split="test")
    assert a.names == names(4, "testA/")
    assert b.names == names(4, "testB/")
    assert pairing(DataOptions(data=("folder:a", "folder:b"), pair="index"), (a, b)) is not None


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (names(3), names(4), "no partner of the same name for 1 picture, e.g. .*b/003.png: rename or remove"),
        (["1/x.png", "2/x.png"], ["1/x.png", "3/x.png"], "for 2 pictures, e.g. .*a/2/x.png, .*b/3/x.png"),
        (["train/1.png", "test/2.png"], ["train/2.png", "test/1.png"], "for 4 pictures"),
        (["1.png", "1.bmp"], ["1.png"], "a: 1.bmp has the name of another picture but for the suffix"),
    ],
)
def test_folders_that_cannot_be_paired_by_name(tmp_path, first, second, message):
    a, b = fill(tmp_path / "a", first), fill(tmp_path / "b", second)
    with pytest.raises(DataError, match=message):
        by_index(a, b)


def test_an_odd_width_is_no_pair(tmp_path):
    root = fill(tmp_path / "p", names(3), (13, 10))
    with pytest.raises(DataError, match="odd width"):
        opened(f"pairs:{root}")


def test_one_odd_width_among_pairs_is_left_out_by_name(tmp_path):
    root = fill(halves(tmp_path / "p", 20), ["odd.png"], (13, 10))
    for _ in range(2):  # from the files, and again from the cache
        with pytest.warns(UserWarning, match=r"1 of \d+ pictures left out: odd.png has an odd width"):
            a, b = opened(f"pairs:{root}")
        tests = opened(f"pairs:{root}", split="test")
        assert sorted([*a.names, *tests[0].names]) == names(20)
        assert [len(b), len(tests[1])] == [len(a), len(tests[0])]
        check_pairs(a, b, lambda name: name)
