"""Image data sets from the Hugging Face hub, by the optional package `datasets`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.data.cache import digest
from isthmus.data.files import not_empty
from isthmus.data.listing import Files, held_out, read_headers
from isthmus.data.options import Source, Split, shorten
from isthmus.errors import DataError


def open_hub(source: Source, split: Split, fraction: float) -> Files:
    """One split of a data set with an image column, and with classes if it has a column of labels."""
    splits = load(source)
    test = next((name for name in ("test", "validation", "val") if name in splits), None)
    if "train" not in splits and len(splits) > 1:
        raise DataError(f"{source.text} has the splits {shorten(list(splits))} and none is called train")
    if "train" in splits and test is not None:
        both = [select(list_rows(splits[name], source.text), source) for name in ("train", test)]
        files = replace(both[split == "test"], whole=both[0].headers.join(both[1].headers))
    else:
        files = select(list_rows(next(iter(splits.values())), source.text), source)
        files = files.take(np.flatnonzero(held_out(files.headers.digest, fraction) == (split == "test")))
    return not_empty(files, split)


def select(files: Files, source: Source) -> Files:
    """Only the classes asked for."""
    return files.only(source.select(files.classes))


def load(source: Source) -> Any:
    """All splits, downloaded or from the local cache of `datasets`."""
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise DataError(f"{source.text} needs the package datasets: pip install datasets") from error
    try:
        return load_dataset(source.argument)
    except Exception as error:  # the hub, the network and the builders raise exceptions of many families
        raise DataError(f"{source.text} cannot be loaded: {error}; check the name and the network") from error


def list_rows(rows: Any, text: str) -> Files:
    """The rows of one split: the first image column, and the first column of class labels."""
    from datasets import ClassLabel, Image

    image = next((name for name, feature in rows.features.items() if isinstance(feature, Image)), None)
    if image is None:
        raise DataError(f"{text} has no column of images; its columns are {shorten(list(rows.features))}")
    label = next((name for name, feature in rows.features.items() if isinstance(feature, ClassLabel)), None)
    encoded = rows.select_columns([image]).cast_column(image, Image(decode=False))

    def blob(name: str) -> bytes:
        value = encoded[int(name)][image]
        return value["bytes"] if value["bytes"] is not None else Path(value["path"]).read_bytes()

    names = [str(i) for i in range(len(rows))]
    key = digest("hub", text, rows._fingerprint)
    classes = tuple(rows.features[label].names) if label else ()
    labels = np.asarray(rows[label], np.int64) if label else None
    headers = read_headers(key, names, blob)
    return Files(text, key, names, blob, headers, headers, labels, classes)
