"""Public data sets by name: where their files may lie under the data root, and how each layout is read.

Two kinds of layout are known: those of torchvision, which can also download, and archives as they are passed around.
Decoding happens once; afterwards the pixels are memory-mapped from the cache.
"""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.data import worlds
from isthmus.data.cache import Array, digest, remember_arrays, stamp
from isthmus.data.listing import Arrays
from isthmus.data.options import Source, Split
from isthmus.errors import DataError

Decoded = tuple[Array, Array]  # uint8 pixels [n, H, W] or [n, H, W, C], labels [n]


@dataclass(frozen=True)
class Layout:
    """Files under the data root that together hold one split, and the function that decodes them."""

    files: Callable[[Split], tuple[str, ...]]
    decode: Callable[[Path, Split], Decoded]


@dataclass(frozen=True)
class Named:
    """A public data set: the first layout whose files exist is used, else torchvision downloads it where it can."""

    classes: tuple[str, ...]
    layouts: tuple[Layout, ...]
    torchvision: str | None = None  # the class of torchvision.datasets that downloads it
    rate: int = 0  # of sounds, in samples per second


def idx(folder: str, suffix: str = "") -> Layout:
    """The format of MNIST and its relatives."""

    def files(split: Split) -> tuple[str, ...]:
        word = "train" if split == "train" else "t10k"
        return tuple(f"{folder}/{word}-{what}-ubyte{suffix}" for what in ("images-idx3", "labels-idx1"))

    def read(file: Path) -> Array:
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        shape = np.frombuffer(data, ">i4", count=data[3], offset=4)  # byte 3 of the header is the number of dimensions
        return np.frombuffer(data, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)

    def decode(root: Path, split: Split) -> Decoded:
        images, labels = files(split)
        return read(root / images), read(root / labels)

    return Layout(files, decode)


def by_torchvision(name: str, train: tuple[str, ...], test: tuple[str, ...]) -> Layout:
    """Files that torchvision has downloaded and reads itself."""

    def decode(root: Path, split: Split) -> Decoded:
        data = torchvision_dataset(name, root, split, download=False)
        if name == "SVHN":
            return data.data.transpose(0, 2, 3, 1), data.labels
        return data.data, np.asarray(data.targets)

    return Layout(lambda split: train if split == "train" else test, decode)


def torchvision_dataset(name: str, root: Path, split: Split, download: bool) -> Any:
    from torchvision import datasets

    which = {"split": split} if name == "SVHN" else {"train": split == "train"}
    return getattr(datasets, name)(str(root), download=download, **which)


def zipped(file: str, examples: Callable[[zipfile.ZipFile, Split], Mapping[str, int]]) -> Layout:
    """Pictures of equal size in a zip archive; `examples` gives the members of a split with their labels."""

    def decode(root: Path, split: Split) -> Decoded:
        from isthmus.data.read import decode as decode_picture
        from isthmus.data.read import to_channels

        with zipfile.ZipFile(root / file) as archive:
            members = examples(archive, split)
            pictures = [to_channels(decode_picture(archive.read(name), name), 3) for name in members]
        return np.stack(pictures), np.array(list(members.values()))

    return Layout(lambda split: (file,), decode)


def matlab(file: str, unpack: Callable[[dict[str, Array]], Decoded], test: float) -> Layout:
    """A MATLAB file without a split: the last examples of each class are the test set."""

    def decode(root: Path, split: Split) -> Decoded:
        from scipy.io import loadmat

        pixels, labels = unpack(loadmat(root / file))
        chosen = last_of_each(labels, test) == (split == "test")
        return pixels[chosen], labels[chosen]

    return Layout(lambda split: (file,), decode)


def last_of_each(labels: Array, fraction: float) -> Array:
    """Whether an example is among the last `fraction` of its class."""
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        chosen[members[len(members) - round(len(members) * fraction) :]] = True
    return chosen


def sklearn_digits(root: Path, split: Split) -> Decoded:
    """The 8x8 digits that come with scikit-learn: 1347 for training, 450 for testing, classes in proportion."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    pixels = np.round(data.images * (255 / 16)).astype(np.uint8)
    train, test = train_test_split(np.arange(len(pixels)), test_size=450, stratify=data.target, random_state=0)
    index = train if split == "train" else test
    return pixels[index], data.target[index]


def tones(root: Path, split: Split) -> Decoded:
    """Synthesised tones of 0.1 seconds, 1200 for training and 150 for testing, equally many of each pitch.

    A tone repeats a waveform of its own, which takes one of four values at random every 5 samples: what comes next is
    chance for who does not remember the period before, and certain for who does.
    """
    from isthmus.data.audio import to_pixels

    random = np.random.default_rng(split == "test")
    labels = np.arange(1200 if split == "train" else 150) % len(PITCHES)
    waves = []
    for label in labels:
        period = TONE_RATE // PITCHES[label]
        wave = np.tile(np.repeat(random.integers(4, size=period // 5), 5), 2 + TONE_SAMPLES // period)
        waves.append(wave[random.integers(period) :][:TONE_SAMPLES] / 3 - 0.5)
    return to_pixels(np.stack(waves))[:, None], labels


def gaussians(root: Path, split: Split) -> Decoded:
    """Points of 25 Gaussians, 25,000 for training and 10,000 for testing, equally many of each."""
    from isthmus.data.gaussians import gaussian_points

    return gaussian_points(25_000 if split == "train" else 10_000, seed=split == "test")


def mixture(root: Path, split: Split) -> Decoded:
    """Points of a narrow and a wide Gaussian on a line, 20,000 for training and 2,000 for testing."""
    from isthmus.data.mixture import mixture_points

    return mixture_points(20_000 if split == "train" else 2_000)


def modes(count: int) -> Callable[[Path, Split], Decoded]:
    """Points of so many Gaussians on a circle, 10,000 for training and 2,000 for testing, equally many of each."""
    from isthmus.data.gaussians import points_at, ring

    return lambda root, split: points_at(ring(count), 10_000 if split == "train" else 2_000, seed=split == "test")


def textured(part: int) -> Callable[[Path, Split], Decoded]:
    """Maps of regions (0), or the pictures that belong to them (1), 5,000 for training and 500 for testing."""

    def decode(root: Path, split: Split) -> Decoded:
        from isthmus.data.textures import textures

        pixels = textures(5_000 if split == "train" else 500, seed=split == "test")[part]
        return pixels, np.zeros(len(pixels), np.int64)

    return decode


def made_of(name: str, make: Callable[[Array, Array, Split], Decoded]) -> tuple[Layout, ...]:
    """The layouts of the set `name`, whose pixels and labels of a split become others."""

    def made(layout: Layout) -> Layout:
        return Layout(layout.files, lambda root, split: make(*layout.decode(root, split), split))

    return tuple(map(made, SETS[name].layouts))


def inked(pixels: Array, labels: Array, split: Split) -> Decoded:
    return worlds.inked(pixels, seed=split == "test")


def on_grounds(pixels: Array, labels: Array, split: Split) -> Decoded:
    return worlds.on_grounds(pixels, seed=split == "test")


def twins(pixels: Array, labels: Array, split: Split) -> Decoded:
    """The labels say whether the left shape is an accessory."""
    accessories = [FASHION.index(name) for name in ("Sandal", "Sneaker", "Bag", "Ankle boot")]
    return worlds.twins(pixels, seed=split == "test"), np.isin(labels, accessories).astype(int)


def mnist_m(archive: zipfile.ZipFile, split: Split) -> Mapping[str, int]:
    lines = archive.read(f"mnist_m/{split}_labels.txt").decode().splitlines()
    return {f"mnist_m/{split}/{name}": int(label) for name, label in (line.split() for line in lines)}


def cifar10(archive: zipfile.ZipFile, split: Split) -> Mapping[str, int]:
    names = [name for name in archive.namelist() if f"/{split}/" in name and not name.endswith("/")]
    return {name: CIFAR10.index(name.split("/")[-2]) for name in sorted(names)}


def chars74k(archive: zipfile.ZipFile, split: Split) -> Mapping[str, int]:
    names = sorted(name for name in archive.namelist() if "/good/" in name and not name.endswith("/"))
    labels = [int(name.split("/")[-2]) for name in names]
    chosen = last_of_each(np.array(labels), 0.2) == (split == "test")
    return {name: label for name, label, keep in zip(names, labels, chosen, strict=True) if keep}


def usps(file: dict[str, Array]) -> Decoded:
    return file["fea"].reshape(-1, 16, 16), file["gnd"].ravel().astype(np.int64) - 1


def olivetti(file: dict[str, Array]) -> Decoded:
    return file["faces"].T.reshape(400, 64, 64).transpose(0, 2, 1), np.repeat(np.arange(40), 10)


TEN = tuple("0123456789")
PITCHES, TONE_RATE, TONE_SAMPLES = (80, 100, 160), 8000, 800
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
KMNIST = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")

CIFAR10_FILES = by_torchvision(
    "CIFAR10",
    train=tuple(f"cifar-10-batches-py/data_batch_{i}" for i in range(1, 6)),
    test=("cifar-10-batches-py/test_batch",),
)
SETS = {
    "digits": Named(TEN, (Layout(lambda split: (), sklearn_digits),)),
    "mnist": Named(TEN, (idx("MNIST/raw"), idx("mnist", ".gz")), "MNIST"),
    "fashion-mnist": Named(FASHION, (idx("FashionMNIST/raw"), idx("fashion-mnist", ".gz")), "FashionMNIST"),
    "kmnist": Named(KMNIST, (idx("KMNIST/raw"), idx("kmnist", ".gz")), "KMNIST"),
    "usps": Named(
        TEN, (by_torchvision("USPS", ("usps.bz2",), ("usps.t.bz2",)), matlab("usps/USPS.mat", usps, 3 / 11)), "USPS"
    ),
    "svhn": Named(TEN, (by_torchvision("SVHN", ("train_32x32.mat",), ("test_32x32.mat",)),), "SVHN"),
    "cifar10": Named(CIFAR10, (CIFAR10_FILES, zipped("cifar10-jpg/cifar10_jpg_subset.zip", cifar10)), "CIFAR10"),
    "mnist-m": Named(TEN, (zipped("mnist-m/mnist_m_subset.zip", mnist_m),)),
    "olivetti": Named(tuple(map(str, range(40))), (matlab("olivetti/olivettifaces.mat", olivetti, 0.2),)),
    "chars74k-digits": Named(TEN, (zipped("chars74k-digits/chars74k_digits_48.zip", chars74k),)),
    "tones": Named(tuple(f"{pitch}Hz" for pitch in PITCHES), (Layout(lambda split: (), tones),), rate=TONE_RATE),
    "gaussians-25": Named(tuple(map(str, range(25))), (Layout(lambda split: (), gaussians),)),
    "mixture": Named(("narrow", "wide"), (Layout(lambda split: (), mixture),)),
}

SETS |= {
    "mnist-coloured": Named(TEN, made_of("mnist", lambda x, y, split: (worlds.coloured(x), y)), "MNIST"),
    "mnist-domains": Named(tuple(worlds.DOMAINS), made_of("mnist", lambda x, y, split: worlds.in_domains(x)), "MNIST"),
    "mnist-inks": Named(tuple(worlds.LOOKS), made_of("mnist", inked), "MNIST"),
    "mnist-hues": Named(tuple(worlds.GROUNDS), made_of("mnist", on_grounds), "MNIST"),
    "outlines": Named(FASHION, made_of("fashion-mnist", lambda x, y, split: (worlds.outlines(x), y)), "FashionMNIST"),
    "fillings": Named(
        tuple(worlds.FILLINGS),
        made_of("fashion-mnist", lambda x, y, split: worlds.fillings(x, seed=split == "test")),
        "FashionMNIST",
    ),
    "twins": Named(("clothes", "accessories"), made_of("fashion-mnist", twins), "FashionMNIST"),
    "fashion-edges": Named(FASHION, made_of("fashion-mnist", lambda x, y, split: (worlds.edges(x), y)), "FashionMNIST"),
    "modes-5": Named(tuple("01234"), (Layout(lambda split: (), modes(5)),)),
    "modes-10": Named(TEN, (Layout(lambda split: (), modes(10)),)),
    "texture-maps": Named(("map",), (Layout(lambda split: (), textured(0)),)),
    "textures": Named(("picture",), (Layout(lambda split: (), textured(1)),)),
}


def open_named(source: Source, split: Split, root: Path) -> Arrays:
    """One split of a public data set, only the classes asked for."""
    data = SETS[source.kind]
    layout = find(source.kind, split, root) or download(source.kind, split, root)
    files = [root / file for file in layout.files(split)]

    def build() -> dict[str, Array]:
        try:
            pixels, labels = layout.decode(root, split)
        except (OSError, EOFError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            where = ", ".join(map(str, files))
            raise DataError(f"{source.kind} cannot be read, {where} may be damaged: {error}") from error
        pixels = pixels[..., None] if pixels.ndim == 3 else pixels
        pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        return {"pixels": pixels.astype(np.uint8, copy=False), "labels": labels.astype(np.int64)}

    key = digest(source.kind, split, stamp(*files))
    arrays = remember_arrays(key, build)
    listing = Arrays(source.text, key, arrays["pixels"], np.asarray(arrays["labels"]), data.classes, rate=data.rate)
    return listing.only(source.select(data.classes))


def find(name: str, split: Split, root: Path) -> Layout | None:
    """The first layout of which all files are there."""
    layouts = SETS[name].layouts
    return next((x for x in layouts if all((root / file).is_file() for file in x.files(split))), None)


def download(name: str, split: Split, root: Path) -> Layout:
    """Have torchvision download the data set, if it is one that it knows and the network is there."""
    reason = "it has to be fetched by hand"
    if (known := SETS[name].torchvision) is not None:
        try:
            torchvision_dataset(known, root, split, download=True)
        except (OSError, RuntimeError) as error:
            reason = f"downloading it failed: {str(error).partition(chr(10))[0].rstrip(':') or type(error).__name__}"
    layout = find(name, split, root)
    if layout is None:
        wanted = " or ".join(str(root / x.files(split)[0]) for x in SETS[name].layouts)
        raise DataError(
            f"{name} is not there ({reason}): looked for {wanted}; if you have it elsewhere, say where with "
            "--data-root or ISTHMUS_DATA"
        )
    return layout
