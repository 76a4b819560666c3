"""Folders and pairs: layouts, splits, and what is said of malformed ones."""

import random
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from data_helpers import fill, picture
from isthmus.data import read
from isthmus.data.files import list_folder
from isthmus.data.open import open_data, pairing
from isthmus.data.options import DataOptions
from isthmus.errors import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path / "cache"))


def opened(*specs, split="train", **options):
    return open_data(DataOptions(data=specs, **options), split)


def both(spec, **options):
    return opened(spec, **options)[0], opened(spec, split="test", **options)[0]


def names(count, prefix="", suffix=".png"):
    return [f"{prefix}{i:03d}{suffix}" for i in range(count)]


def test_a_flat_folder(tmp_path):
    root = fill(tmp_path / "p", names(30, suffix=".PNG"))
    fill(root, [".hidden.png", "__MACOSX/x.png", ".thumbs/y.png"])
    (root / "notes.txt").write_text("no picture")
    train, test = both(f"folder:{root}")
    assert train.spec == test.spec
    assert train.spec.shape == (3, 10, 12)
    assert train.spec.name == f"folder:{root}"
    assert train.labels is None
    assert sorted([*train.names, *test.names]) == names(30, suffix=".PNG")
    image = np.asarray(picture(train.names[3])).transpose(2, 0, 1)
    assert np.array_equal(train.pixels[3], image)


def test_class_folders(tmp_path):
    root = fill(tmp_path / "p", [*names(9, "10/"), *names(12, "2/"), *names(7, "2/deeper/x"), *names(8, "cat/")])
    train, test = both(f"folder:{root}")
    assert train.spec.classes == test.spec.classes == ("2", "10", "cat")
    for part in (train, test):
        assert [part.spec.classes[label] for label in part.labels] == [name.split("/")[0] for name in part.names]
    two, _ = both(f"folder:{root}:cat,10")
    assert two.spec.classes == ("10", "cat")
    assert {name.split("/")[0] for name in two.names} == {"10", "cat"}
    assert set(two.labels.tolist()) == {0, 1}
    with pytest.raises(DataError, match="asks for class dog; the classes are 2, 10, cat"):
        opened(f"folder:{root}:dog")


def test_pictures_beside_class_folders_mean_no_classes(tmp_path):
    root = fill(tmp_path / "p", [*names(5), *names(5, "more/")])
    train, test = both(f"folder:{root}")
    assert train.labels is None
    assert len(train) + len(test) == 10


@pytest.mark.parametrize("held", ["test", "Testing", "val", "validation"])
def test_a_split_of_its_own(tmp_path, held):
    root = fill(tmp_path / "p", [*names(5, "train/a/"), *names(4, "train/b/"), *names(3, f"{held}/a/")])
    train, test = both(f"folder:{root}")
    assert (len(train), len(test)) == (9, 3)
    assert train.spec.classes == test.spec.classes == ("a", "b")
    assert test.labels.tolist() == [0, 0, 0]


def test_val_stands_in_for_test_only_where_there_is_none(tmp_path):
    root = fill(tmp_path / "p", [*names(5, "train/"), *names(4, "val/"), *names(3, "test/")])
    assert [len(part) for part in both(f"folder:{root}")] == [5, 3]


def test_train_alone_is_split(tmp_path):
    root = fill(tmp_path / "p", names(20, "train/"))
    train, test = both(f"folder:{root}")
    assert len(train) + len(test) == 20
    assert train.labels is None


@pytest.mark.parametrize(("train", "held"), [("train", "test"), ("training", "testing"), ("Train_", "validation_")])
def test_joined_names_of_splits_and_domains(tmp_path, train, held):
    wanted = {f"{train}A": 6, f"{train}B": 5, f"{held}A": 3, f"{held}B": 2}
    root = fill(tmp_path / "p", [name for folder, count in wanted.items() for name in names(count, f"{folder}/")])
    a, b = opened(f"folder:{root}:A", f"folder:{root}:B")
    assert (len(a), len(b)) == (6, 5)
    assert {name.split("/")[0] for name in b.names} == {f"{train}B"}
    a, b = opened(f"folder:{root}:A", f"folder:{root}:B", split="test")
    assert (len(a), len(b)) == (3, 2)


def test_the_split_law(tmp_path):
    """Over random folders: nothing on both sides, copies together, newcomers move nobody, names do not matter."""
    for seed in range(12):
        rng = random.Random(seed)
        root = fill(tmp_path / str(seed), names(rng.randint(2, 40), rng.choice(["", "a/", "a/b/"])), (4, 4))
        files = sorted(root.rglob("*.png"))
        for i in range(rng.randint(0, 5)):
            shutil.copy(rng.choice(files), root / f"copy{i}.png")
        fraction = rng.choice([0.1, 0.3, 0.5])
        train, test = both(f"folder:{root}", test_fraction=fraction)
        contents = [{(root / name).read_bytes() for name in part.names} for part in (train, test)]
        assert contents[0]
        assert contents[1]
        assert not contents[0] & contents[1]
        assert len(train) + len(test) == len(list(root.rglob("*.png")))
        if len(contents[0]) + len(contents[1]) > 20:  # of very few, the one that is held out is chosen among all
            fill(root, names(10, "new"), (4, 4))
            shutil.move(files[0], root / "renamed.png")
            after = [
                {(root / n).read_bytes() for n in part.names} for part in both(f"folder:{root}", test_fraction=fraction)
            ]
            assert contents[0] <= after[0]
            assert contents[1] <= after[1]


def test_the_fraction_held_out(tmp_path):
    root = fill(tmp_path / "p", names(400), (2, 2))
    for fraction in (0.1, 0.4):
        _, test = both(f"folder:{root}", test_fraction=fraction)
        assert abs(len(test) / 400 - fraction) < 3 * (fraction * (1 - fraction) / 400) ** 0.5


def test_size_and_channels_are_those_of_the_whole_folder(tmp_path):
    root = fill(tmp_path / "p", names(30), mode="L")
    fill(root, ["one.png"])
    train, test = both(f"folder:{root}")
    assert train.spec == test.spec
    assert train.spec.channels == 3
    grey, _ = both(f"folder:{root}", channels=1)
    assert grey.pixels.shape[1] == 1
    fill(root, ["large.png"], (40, 30))
    for split in ("train", "test"):
        with pytest.raises(DataError, match=r"widths 12 to 40 and heights 10 to 30.*--size"):
            opened(f"folder:{root}", split=split)
    assert both(f"folder:{root}", size="16x8", crop=0.25)[0].pixels.shape[1:] == (3, 10, 20)
    assert both(f"folder:{root}", size="16x8", channels=4)[1].spec.shape == (4, 8, 16)


def test_alpha_alone_does_not_make_colour(tmp_path):
    root = fill(tmp_path / "p", names(4), mode="LA")
    assert both(f"folder:{root}")[0].spec.channels == 1


def test_damaged_files_are_left_out_by_name(tmp_path):
    root = fill(tmp_path / "p", [*names(20, "a/"), *names(20, "b/")])
    data = (root / "a/000.png").read_bytes()
    (root / "a/bad.png").write_bytes(data[: len(data) // 2])
    (root / "b/empty.jpg").write_bytes(b"")
    for _ in range(2):  # from the files, and again from the cache
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            train, test = both(f"folder:{root}")
        text = " ".join(str(warning.message) for warning in caught)
        assert "a/bad.png" in text
        assert "b/empty.jpg" in text
        assert len(train) + len(test) == 40
        for part in (train, test):
            assert [part.spec.classes[i] for i in part.labels] == [name[0] for name in part.names]
            for i, name in enumerate(part.names):
                assert np.array_equal(part.pixels[i], np.asarray(picture(name)).transpose(2, 0, 1))


def test_files_that_may_not_be_read_are_left_out(tmp_path, monkeypatch):
    root, read_bytes = fill(tmp_path / "p", names(20)), Path.read_bytes

    def refuse(path):
        if path.name in ("003.png", "004.png"):
            raise PermissionError(13, "Permission denied")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.warns(UserWarning, match=r"00\d.png cannot be read: Permission denied"):
        train, test = both(f"folder:{root}")
    assert sorted([*train.names, *test.names]) == [name for name in names(20) if name not in ("003.png", "004.png")]
    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what went wrong with the disk is not remembered
        train, test = both(f"folder:{root}")
    assert sorted([*train.names, *test.names]) == names(20)


@pytest.mark.parametrize(
    ("owner", "function", "error"),
    [(Path, "read_bytes", OSError(5, "Input/output error")), (read, "shallow", MemoryError())],
)
def test_what_fails_once_while_decoding_is_not_remembered(tmp_path, monkeypatch, owner, function, error):
    root = fill(tmp_path / "p", [*names(4, "train/"), "test/a.png"])
    opened(f"folder:{root}", split="test")  # after which the headers of all are known
    real, calls = getattr(owner, function), []

    def fail_once(*arguments):
        calls.append(1)
        if len(calls) == 1:
            raise error
        return real(*arguments)

    monkeypatch.setattr(owner, function, fail_once)
    with pytest.warns(UserWarning, match="1 of 4 pictures left out"):
        assert len(opened(f"folder:{root}")[0]) == 3
    for _ in range(2):
        assert len(opened(f"folder:{root}")[0]) == 4
    assert len(calls) == 8  # what was read well is remembered


def test_one_long_message_does_not_widen_the_others(tmp_path):
    root, long = fill(tmp_path / "p", names(30)), f"{'x' * 200}.png"
    (root / long).write_bytes(b"broken")
    error = list_folder(root, "p").headers.error
    assert [text for text in error if text] == [f"{long} is not a picture in a format that can be read"]
    assert error.nbytes < 1000
    assert sum(file.stat().st_size for file in (tmp_path / "cache").rglob("error*")) < 1000


MALFORMED = {
    "missing": (lambda root: None, "there is no folder"),
    "file": (lambda root: root.write_text("x"), "is a file; name the folder"),
    "empty": (lambda root: root.mkdir(), "is empty: put pictures there"),
    "others": (lambda root: (root.mkdir(), (root / "a.txt").write_text("x")), r"only other files \(.txt\)"),
    "wrong": (
        lambda root: (root / "x" / "y").mkdir(parents=True),
        r"its subfolders \(x\) hold no pictures: is it the right",
    ),
    "broken": (
        lambda root: (root.mkdir(), (root / "a.png").write_text("x"), (root / "b.png").write_text("y")),
        "none of",
    ),
    "sizes": (lambda root: (fill(root, ["a.png"]), fill(root, ["b.png"], (5, 5))), "different sizes"),
    "beside": (lambda root: fill(root, ["train/a.png", "test/b.png", "spare/c.png"]), r"also spare beside them: move"),
    "loose": (lambda root: fill(root, ["train/a.png", "test/b.png", "c.png"]), "also c.png beside them"),
    "joined, loose": (
        lambda root: fill(root, [*(f"{part}{side}/1.png" for part in ("train", "test") for side in "AB"), "c.png"]),
        "has testA/ and testB/ and trainA/ and trainB/, but also c.png beside them: move",
    ),
    "joined, beside": (
        lambda root: fill(root, ["trainA/1.png", "valA/1.png", "spare/c.png"]),
        "has trainA/ and valA/, but also spare beside them: move",
    ),
    "testing": (lambda root: fill(root, ["test/a.png", "test/b.png"]), r"has test/ but no train/"),
    "classes": (lambda root: fill(root, ["a.png", "b.png"]), "asks for classes, but these data have none"),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_every_malformed_folder_has_its_own_message(tmp_path, kind):
    root = tmp_path / "p"
    make, message = MALFORMED[kind]
    make(root)
    with pytest.raises(DataError, match=message) as raised:
        opened(f"folder:{root}{':x' if kind == 'classes' else ''}")
    assert "\n" not in str(raised.value)
    assert str(root) in str(raised.value)


def test_a_single_picture_cannot_be_split(tmp_path):
    root = fill(tmp_path / "p", ["a.png"])
    shutil.copy(root / "a.png", root / "b.png")
    assert len(opened(f"folder:{root}")[0]) == 2
    with pytest.raises(DataError, match="no picture for testing"):
        opened(f"folder:{root}", split="test")


def test_links_are_followed_and_loops_are_not(tmp_path):
    fill(tmp_path / "elsewhere", names(3))
    root = fill(tmp_path / "p", names(3, "a/"))
    (root / "b").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (root / "a" / "loop").symlink_to(root, target_is_directory=True)
    train, test = both(f"folder:{root}")
    assert len(train) + len(test) == 6


def test_links_that_lead_nowhere_are_passed_over(tmp_path):
    root = fill(tmp_path / "p", names(6, "a/"))
    (root / "itself").symlink_to(root / "itself")
    (root / "a" / "broken.png").symlink_to(tmp_path / "nothing")
    train, test = both(f"folder:{root}")
    assert sorted([*train.names, *test.names]) == names(6, "a/")
    shutil.rmtree(root / "a")
    with pytest.raises(DataError, match="is empty"):
        opened(f"folder:{root}")


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
