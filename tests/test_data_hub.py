"""Data sets of the Hugging Face hub, with a local stand-in for it."""

import sys

import numpy as np
import pytest

from data_helpers import picture
from isthmus.data import hub
from isthmus.data.open import open_data
from isthmus.data.options import DataOptions
from isthmus.errors import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path / "cache"))


def dataset(counts, labelled=True):
    datasets = pytest.importorskip("datasets", reason="the package datasets is not installed")
    features = {"caption": datasets.Value("string"), "photo": datasets.Image()}
    features |= {"kind": datasets.ClassLabel(names=["cat", "dog"])} if labelled else {}
    return datasets.DatasetDict(
        {
            split: datasets.Dataset.from_dict(
                {"caption": [""] * n, "photo": [picture(f"{split}{i}") for i in range(n)]}
                | ({"kind": [i % 2 for i in range(n)]} if labelled else {}),
                features=datasets.Features(features),
            )
            for split, n in counts.items()
        }
    )


def both(monkeypatch, data, spec="hf:owner/name"):
    monkeypatch.setattr(hub, "load", lambda source: data)
    return [open_data(DataOptions(data=(spec,)), split)[0] for split in ("train", "test")]


@pytest.mark.parametrize("held", ["test", "validation"])
def test_splits_and_labels(monkeypatch, held):
    train, test = both(monkeypatch, dataset({"train": 10, held: 4}))
    assert (len(train), len(test)) == (10, 4)
    assert train.spec == test.spec
    assert train.spec.classes == ("cat", "dog")
    assert train.labels.tolist() == [i % 2 for i in range(10)]
    assert np.array_equal(test.pixels[1], np.asarray(picture(f"{held}1")).transpose(2, 0, 1))


def test_without_a_split_or_labels(monkeypatch):
    train, test = both(monkeypatch, dataset({"train": 30}, labelled=False))
    assert len(train) + len(test) == 30
    assert train.labels is None
    assert {bytes(x.numpy().data) for x in train.pixels}.isdisjoint(bytes(x.numpy().data) for x in test.pixels)


def test_classes(monkeypatch):
    train, test = both(monkeypatch, dataset({"train": 10, "test": 4}), "hf:owner/name:dog")
    assert (len(train), len(test)) == (5, 2)
    assert train.spec.classes == ("dog",)


def test_what_it_cannot_use(monkeypatch):
    data = dataset({"train": 2})
    with pytest.raises(DataError, match="no column of images; its columns are caption, kind"):
        both(monkeypatch, data.remove_columns("photo"))
    with pytest.raises(DataError, match="splits a, b and none is called train"):
        both(monkeypatch, dataset({"a": 2, "b": 2}))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match="needs the package datasets: pip install datasets"):
        open_data(DataOptions(data=("hf:owner/name",)), "train")
