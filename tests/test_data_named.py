"""Public data sets: the bundled digits, both layouts of files, and the real ones where ISTHMUS_DATA has them."""

import gzip
import os
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch

from data_helpers import picture
from isthmus.data import named
from isthmus.data.gaussians import gaussian_grid, to_points
from isthmus.data.open import open_data
from isthmus.data.options import NAMED, DataOptions
from isthmus.errors import DataError
from isthmus.evaluation.modes import gaussian_modes

DATA = os.environ.get("ISTHMUS_DATA", "")
MNIST_TRAIN = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
MNIST_TEST = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def offline(monkeypatch):
    def refuse(name, root, split, download):
        raise OSError("no network here")

    monkeypatch.setattr(named, "torchvision_dataset", refuse)


def both(spec, **options):
    chosen = DataOptions(data=(spec,), **options)
    return open_data(chosen, "train")[0], open_data(chosen, "test")[0]


def test_every_name_is_known():
    assert tuple(named.SETS) == NAMED


def test_gaussians_are_the_grid_of_which_modes_are_counted():
    train, test = both("gaussians-25")
    assert (len(train), len(test)) == (25_000, 10_000)
    assert train.spec.shape == test.spec.shape == (1, 2, 1)
    assert np.bincount(train.labels).tolist() == [1000] * 25
    points, centres = to_points(train.batch(torch.arange(len(train))).image).numpy(), gaussian_grid()
    modes = gaussian_modes(points, centres)
    assert modes.covered == 25
    assert modes.high_quality > 0.98
    errors = points - centres[train.labels]
    assert abs(errors.mean()) < 0.001
    assert errors.std() == pytest.approx(0.05, rel=0.05)
    assert np.abs(points).max() < 5.1
    assert not np.array_equal(train.pixels[:10_000], test.pixels)


def test_digits():
    from sklearn.datasets import load_digits

    train, test = both("digits")
    assert (len(train), len(test)) == (1347, 450)
    assert train.spec == test.spec
    assert train.spec.shape == (1, 8, 8)
    assert (train.pixels.min(), train.pixels.max()) == (0, 255)
    data = load_digits()
    together = np.concatenate([train.pixels, test.pixels])[:, 0].astype(int)
    assert sorted(map(bytes, together.astype(np.uint8))) == sorted(
        map(bytes, np.round(data.images / 16 * 255).astype(np.uint8))
    )
    share = np.bincount(test.labels) / np.bincount(data.target)
    assert np.abs(share - 0.25).max() < 0.01


def test_digits_are_the_same_every_time(tmp_path, monkeypatch):
    first = both("digits")
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path / "other"))
    for a, b in zip(first, both("digits"), strict=True):
        assert np.array_equal(a.pixels, b.pixels)
        assert np.array_equal(a.labels, b.labels)


def test_classes_are_filtered_and_renumbered():
    whole, _ = both("digits")
    few, _ = both("digits:5-6,9")
    assert few.spec.classes == ("5", "6", "9")
    assert few.spec.name == "digits:5-6,9"
    chosen = np.isin(whole.labels, [5, 6, 9])
    assert np.array_equal(few.pixels, whole.pixels[chosen])
    assert [int(few.spec.classes[label]) for label in few.labels] == whole.labels[chosen].tolist()


def test_digits_in_another_form():
    train, test = both("digits", size="32x16", channels=3, crop=0.25)
    assert train.spec.shape == (3, 16, 32)
    assert train.pixels.shape == (1347, 3, 20, 40)
    assert test.spec == train.spec


def idx(array):
    return struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.mark.parametrize(
    ("name", "folder", "suffix"),
    [
        ("mnist", "MNIST/raw", ""),
        ("mnist", "mnist", ".gz"),
        ("fashion-mnist", "FashionMNIST/raw", ""),
        ("kmnist", "KMNIST/raw", ""),
    ],
)
def test_both_layouts_of_idx_files(tmp_path, offline, name, folder, suffix):
    place, random = tmp_path / "root" / folder, np.random.default_rng(0)
    place.mkdir(parents=True)
    expected = {}
    for split, word, n in (("train", "train", 30), ("test", "t10k", 20)):
        pixels = random.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        labels = np.arange(n, dtype=np.uint8) % 10
        expected[split] = pixels, labels
        for what, array in (("images-idx3", pixels), ("labels-idx1", labels)):
            data = gzip.compress(idx(array)) if suffix else idx(array)
            (place / f"{word}-{what}-ubyte{suffix}").write_bytes(data)
    for split, images in zip(expected, both(name, data_root=tmp_path / "root"), strict=True):
        assert np.array_equal(images.pixels[:, 0], expected[split][0])
        assert np.array_equal(images.labels, expected[split][1])


def test_zipped_pictures(tmp_path, offline):
    place = tmp_path / "cifar10-jpg"
    place.mkdir()
    with zipfile.ZipFile(place / "cifar10_jpg_subset.zip", "w") as archive:
        for split, n in (("train", 3), ("test", 2)):
            for label in named.CIFAR10:
                for i in range(n):
                    path = f"cifar10/{split}/{label}/{i}.png"
                    with archive.open(path, "w") as file:
                        picture(path, (32, 32)).save(file, "PNG")
    train, test = both("cifar10:cat,dog", data_root=tmp_path)
    assert (len(train), len(test)) == (6, 4)
    expected = np.asarray(picture("cifar10/train/cat/0.png", (32, 32))).transpose(2, 0, 1)
    assert np.array_equal(train.pixels[0], expected)


@pytest.mark.parametrize("name", [name for name in NAMED if named.SETS[name].layouts[0].files("train")])
def test_absent_data_say_where_they_were_looked_for(tmp_path, offline, name):
    with pytest.raises(DataError) as raised:
        both(name, data_root=tmp_path)
    message = str(raised.value)
    for part in (name, str(tmp_path), "--data-root", "ISTHMUS_DATA"):
        assert part in message
    assert "\n" not in message


def test_damaged_data_are_named(tmp_path, offline):
    (tmp_path / "mnist").mkdir()
    for word in ("train", "t10k"):
        for what in ("images-idx3", "labels-idx1"):
            (tmp_path / "mnist" / f"{word}-{what}-ubyte.gz").write_bytes(b"torn")
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz.* may be damaged"):
        both("mnist", data_root=tmp_path)


def test_torchvision_is_asked_to_download(tmp_path, monkeypatch):
    asked = []

    def pretend(name, root, split, download):
        asked.append((name, download))
        (root / "MNIST/raw").mkdir(parents=True)
        for what, array in (("images-idx3", np.zeros((2, 28, 28), np.uint8)), ("labels-idx1", np.zeros(2, np.uint8))):
            (root / f"MNIST/raw/train-{what}-ubyte").write_bytes(idx(array))

    monkeypatch.setattr(named, "torchvision_dataset", pretend)
    (train,) = open_data(DataOptions(data=("mnist",), data_root=tmp_path), "train")
    assert asked == [("MNIST", True)]
    assert len(train) == 2


def test_the_last_of_each_class():
    labels = np.array([0, 1, 0, 1, 0, 0, 1, 1])
    assert np.flatnonzero(named.last_of_each(labels, 0.25)).tolist() == [5, 7]


def real(folder):
    return pytest.mark.skipif(
        not os.path.isdir(os.path.join(DATA, folder)) if DATA else True, reason=f"ISTHMUS_DATA has no {folder}"
    )


@real("mnist")
def test_real_mnist():
    train, test = both("mnist")
    assert train.pixels.shape == (60000, 1, 28, 28)
    assert np.bincount(train.labels).tolist() == MNIST_TRAIN
    assert np.bincount(test.labels).tolist() == MNIST_TEST
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    few = both("mnist:5-9")[1]
    assert np.bincount(few.labels).tolist() == MNIST_TEST[5:]


@real("mnist")
def test_mnist_opens_fast_the_second_time(monkeypatch):
    """It is neither unpacked nor copied, and no other library is waited for."""
    open_data(DataOptions(data=("mnist",)), "train")
    code = (
        "import sys, gzip; gzip.decompress = None; "
        "from isthmus.data.open import open_data; from isthmus.data.options import DataOptions; "
        "(train,) = open_data(DataOptions(data=('mnist',)), 'train'); "
        "assert len(train) == 60000; "
        "assert not {'sklearn', 'torchvision', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))


@real("fashion-mnist")
def test_real_fashion_mnist():
    train, test = both("fashion-mnist:Trouser,7")
    assert train.spec.classes == ("Trouser", "Sneaker")
    assert np.bincount(train.labels).tolist() == [6000, 6000]
    assert np.bincount(test.labels).tolist() == [1000, 1000]


@real("usps")
def test_real_usps():
    train, test = both("usps")
    assert np.bincount(train.labels).tolist() == [800] * 10
    assert np.bincount(test.labels).tolist() == [300] * 10
    assert train.spec.shape == (1, 16, 16)


@real("olivetti")
def test_real_olivetti():
    train, test = both("olivetti")
    assert np.bincount(train.labels).tolist() == [8] * 40
    assert np.bincount(test.labels).tolist() == [2] * 40


@real("mnist-m")
@real("mnist")
def test_real_mnist_m_is_mnist_in_colour():
    train, test = both("mnist-m")
    grey, _ = both("mnist")
    assert (len(train), len(test)) == (8000, 1000)
    assert train.spec.shape == (3, 32, 32)
    assert np.array_equal(train.labels, grey.labels[:8000])


@real("cifar10-jpg")
def test_real_cifar10():
    train, test = both("cifar10")
    assert np.bincount(train.labels).tolist() == [1000] * 10
    assert np.bincount(test.labels).tolist() == [500] * 10


@real("chars74k-digits")
def test_real_chars74k():
    train, test = both("chars74k-digits")
    assert len(train) + len(test) == 593
    assert min(np.bincount(test.labels)) >= 5
