"""Folders: layouts, splits, and what is said of malformed ones."""

import random
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from data_helpers import both, fill, names, opened, picture
from isthmus.data import read
from isthmus.data.files import list_folder
from isthmus.errors import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path / "cache"))


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
