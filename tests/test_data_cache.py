"""What is decoded once stays decoded, is renewed when the files change, and is never seen half done."""

import errno
import multiprocessing
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_helpers import fill
from isthmus.data import cache, decoding
from isthmus.data.open import open_data
from isthmus.data.options import DataOptions
from isthmus.errors import DataError


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path):
    return fill(tmp_path / "pictures", [f"{i}.png" for i in range(40)])


@pytest.fixture
def decoded(monkeypatch):
    """The number of pictures decoded so far, as the length of a list."""
    seen, bring = [], decoding.bring
    monkeypatch.setattr(decoding, "bring", lambda *a: seen.append(1) or bring(*a))
    return seen


def opened(root, **options):
    return open_data(DataOptions(data=(f"folder:{root}",), **options), "train")[0]


def test_decoded_once(root, decoded):
    first = opened(root)
    assert len(decoded) == len(first)
    again = opened(root)
    assert len(decoded) == len(first)
    assert np.array_equal(first.pixels, again.pixels)


def test_folders_of_equal_names_sizes_and_times_are_not_taken_for_each_other(tmp_path):
    for folder, shade in (("a", 0), ("b", 255)):
        (tmp_path / folder).mkdir()
        for i in range(8):
            file = tmp_path / folder / f"{i}.bmp"
            Image.new("L", (4, 4), abs(shade - i)).save(file)
            os.utime(file, ns=(1, 1))
    a, b = open_data(DataOptions(data=(f"folder:{tmp_path / 'a'}", f"folder:{tmp_path / 'b'}")), "train")
    assert a.pixels.max() < 8
    assert b.pixels.min() > 247


def test_a_folder_is_the_same_by_any_path(root, decoded, tmp_path, monkeypatch):
    count = len(opened(root))
    (tmp_path / "link").symlink_to(root, target_is_directory=True)
    opened(tmp_path / "link")
    monkeypatch.chdir(tmp_path)
    opened(Path("pictures"))
    assert len(decoded) == count


@pytest.mark.parametrize("options", [{"size": "9"}, {"channels": 1}, {"size": "9x9", "fit": "pad"}, {"crop": 0.3}])
def test_another_form_is_another_entry(root, decoded, options):
    opened(root)
    before = len(decoded)
    opened(root, **options)
    assert len(decoded) > before


@pytest.mark.parametrize("change", ["touch", "content", "rename", "remove", "add"])
def test_changed_files_are_decoded_again(root, decoded, change):
    opened(root)
    before, file = len(decoded), root / "7.png"
    if change == "touch":
        os.utime(file, ns=(1, 1))
    elif change == "content":
        shutil.copy(root / "8.png", file)
    elif change == "rename":
        file.rename(root / "seven.png")
    elif change == "remove":
        file.unlink()
    else:
        fill(root, ["new.png"])
    opened(root)
    assert len(decoded) > before


def test_what_is_done_to_pixels_stays_private(root):
    first = opened(root)
    kept = first.pixels.clone()
    first.pixels.zero_()
    assert np.array_equal(opened(root).pixels, kept)


def test_a_build_that_fails_leaves_nothing(place):
    def build(folder: Path) -> bool:
        (folder / "half.npy").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.remember("key", build, Path.iterdir)
    assert list(place.iterdir()) == []


def test_what_killed_builders_left_is_removed_after_a_day(place):
    def age(path: Path, hours: int) -> None:
        os.utime(path, (time.time() - hours * 3600,) * 2)

    for name, folder_age, file_age in [("a", 25, 25), ("b", 25, 23), ("c", 23, 25), ("my.photos", 25, 25)]:
        folder = place / (name if "." in name else f"{name * 32}.{name * 32}")
        folder.mkdir(parents=True)
        (folder / "pixels.npy").touch()
        age(folder / "pixels.npy", file_age)
        age(folder, folder_age)
    cache.remember_arrays("key", lambda: {"a": np.arange(3)})
    assert sorted(path.name[0] for path in place.glob("*.*")) == ["b", "c", "m"]


def test_the_first_of_two_builders_wins(place):
    def slow(folder: Path) -> bool:
        (folder / "a").write_text("slow")
        cache.remember("key", fast, read)
        return True

    def fast(folder: Path) -> bool:
        (folder / "a").write_text("fast")
        return True

    def read(folder: Path) -> str:
        return (folder / "a").read_text()

    assert cache.remember("key", slow, read) == "fast"
    assert len(list(place.iterdir())) == 1


TEARS = {
    "gone": Path.unlink,
    "empty": lambda file: file.write_bytes(b""),
    "short": lambda file: os.truncate(file, file.stat().st_size - 1),
    "zeros": lambda file: file.write_bytes(bytes(file.stat().st_size)),
}


@pytest.mark.parametrize("tear", TEARS)
def test_a_torn_entry_is_built_again(root, place, decoded, tear):
    pixels = opened(root).pixels.clone()
    files = [file.relative_to(place) for file in place.rglob("*") if file.is_file()]
    assert len(files) > 8
    for file in files:  # of the headers, and of the pictures
        TEARS[tear](place / file)
        assert np.array_equal(opened(root).pixels, pixels)
    before = len(decoded)
    opened(root)
    assert len(decoded) == before
    assert len(list(place.iterdir())) == 2


def test_emptied_entries_are_built_again(root, place):
    pixels = opened(root).pixels.clone()
    for file in [file for file in place.rglob("*") if file.is_file()]:
        file.unlink()
    assert np.array_equal(opened(root).pixels, pixels)


def test_arrays_of_which_one_is_gone(place):
    def built():
        return cache.remember_arrays("key", lambda: {"a": np.arange(3), "b.weight": np.ones(2)})

    built()
    next(place.rglob("a.npy")).unlink()
    assert {name: array.tolist() for name, array in built().items()} == {"a": [0, 1, 2], "b.weight": [1, 1]}


def test_a_torn_entry_that_cannot_be_removed(place, monkeypatch):
    def built():
        return cache.remember_arrays("key", lambda: {"a": np.arange(3)})["a"].tolist()

    built()
    next(place.rglob("a.npy")).write_bytes(b"")
    monkeypatch.setattr(cache.shutil, "rmtree", lambda *a, **k: None)  # as of another user
    assert built() == [0, 1, 2]


def test_files_are_on_the_disk_before_an_entry_has_its_name(place, monkeypatch):
    seen, fsync = [], os.fsync
    monkeypatch.setattr(cache.os, "fsync", lambda handle: seen.append(len(list(place.glob("*.*")))) or fsync(handle))
    cache.remember_arrays("key", lambda: {"a": np.arange(3)})
    assert seen == [1, 1]


def build_in_process(root, barrier, results):
    barrier.wait()
    results.put(int(opened(root, size="8").pixels.sum()))


def test_two_processes_build_at_once(root, place):
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    workers = [context.Process(target=build_in_process, args=(root, barrier, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    sums = [results.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert sums == [int(opened(root, size="8").pixels.sum())] * 2
    assert all("." not in entry.name for entry in place.iterdir())  # no partial entries are left


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    with pytest.warns(UserWarning, match="cannot be written, using"):
        assert cache.root().parent == tmp_path / "temporary"
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="cannot be written"), pytest.raises(DataError, match="set ISTHMUS_CACHE"):
        cache.root()


def test_a_full_disk_is_noticed_before(root, monkeypatch):
    opened(root)
    monkeypatch.setattr(decoding.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(DataError, match=r"needs .* GB in the cache .* make room"):
        opened(root, size="50")


def test_a_disk_that_is_full_after_all_is_named(root, place, monkeypatch):
    def full(handle, offset, size):
        assert size == os.fstat(handle).st_size
        raise OSError(errno.ENOSPC, "No space left on device")

    opened(root)
    entries = len(list(place.iterdir()))
    monkeypatch.setattr(decoding.os, "posix_fallocate", full, raising=False)
    with pytest.raises(DataError, match=r"needs .* GB in the cache .* make room"):
        opened(root, size="50")
    assert len(list(place.iterdir())) == entries


def test_a_disk_that_promises_no_room(root, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(decoding.os, "posix_fallocate", refuse, raising=False)
    assert len(opened(root))


@pytest.mark.parametrize("count", [10, 100_000])
def test_rows_are_dropped_in_place(tmp_path, count):
    file, whole = tmp_path / "pixels.npy", np.arange(count * 6).astype(np.uint8).reshape(count, 1, 2, 3)
    np.save(file, whole)
    before, kept = file.stat(), np.array([0, 2, 3, count - 1])
    decoding.drop(file, kept)
    assert np.array_equal(np.load(file), whole[kept])
    assert file.stat().st_ino == before.st_ino
    assert file.stat().st_size == before.st_size - 6 * (count - 4)


def test_binarised_pixels(tmp_path):
    root = tmp_path / "grey"
    root.mkdir()
    levels = (0, 64, 128, 255)
    for i in range(8):
        Image.fromarray(np.repeat(np.array([levels], np.uint8), 2000, 0) // (1 if i else 2)).save(root / f"{i}.png")
    plain, black_white = opened(root), opened(root, binarise=True)
    assert set(black_white.pixels.unique().tolist()) == {0, 255}
    expected = plain.pixels.float().mean((0, 1, 2)) / 255
    assert (black_white.pixels.float().mean((0, 1, 2)) / 255 - expected).abs().max() < 0.02
    shutil.rmtree(cache.root())
    assert np.array_equal(opened(root, binarise=True).pixels, black_white.pixels)
    assert not np.array_equal(black_white.pixels[-1], black_white.pixels[-2])


def test_binarise_is_for_grey(root):
    with pytest.raises(DataError, match="--channels 1"):
        opened(root, binarise=True)
