"""What the participants of a study chose: their files of results, and the figures that follow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.data.cache import Array
from isthmus.errors import DataError
from isthmus.evaluation.agreement import krippendorff_alpha, over_raters
from isthmus.evaluation.intervals import wilson


@dataclass(frozen=True, eq=False)
class Results:
    """The trials of one participant that count, in the order of the pairs."""

    file: Path
    participant: str
    study: Mapping[str, Any]
    b: Array  # bool [pairs], whether the picture of B was chosen
    left: Array  # bool [pairs], whether the left one was
    milliseconds: Array  # float [pairs]


def read_results(file: Path) -> Results:
    """Read the file that the page saved. Raises DataError for any other."""
    data = file.read_bytes()
    if not data:
        raise DataError(f"{file} is an empty file")
    try:
        content = json.loads(data)
        study, trials = content["study"], content["trials"]
        texts = [study["id"], study["mode"], study["question"], *study["names"]]
        counted = sorted((trial for trial in trials if not trial["practice"]), key=lambda trial: trial["pair"])
        left = np.array([("right", "left").index(trial["choice"]) for trial in counted], bool)
        a_is_left = np.array([("b", "a").index(trial["left"]) for trial in counted], bool)
        milliseconds = np.array([trial["milliseconds"] for trial in counted], np.float64)
        if not (
            content["format"] == 1
            and len(texts) == 5
            and all(isinstance(text, str) for text in texts)
            and [trial["index"] for trial in trials] == list(range(study["trials"]))
            and [trial["pair"] for trial in counted] == list(range(study["practice"], study["trials"]))
            and ((milliseconds >= 0) & (milliseconds < np.inf)).all()
        ):
            raise ValueError
        return Results(file, str(content["participant"]), study, left != a_is_left, left, milliseconds)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f"{file} is not a whole file of results, as the page of a study saves it") from None


@dataclass(frozen=True)
class Row:
    """The figures of some answers."""

    participant: str
    trials: int
    rate: float  # of B
    interval: tuple[float, float]
    left: float
    milliseconds: float  # the median

    @classmethod
    def of(cls, participant: str, results: Sequence[Results]) -> Row:
        b, left, milliseconds = (
            np.concatenate([getattr(r, name) for r in results]) for name in ("b", "left", "milliseconds")
        )
        interval = wilson(int(b.sum()), len(b))
        return cls(participant, len(b), float(b.mean()), interval, float(left.mean()), float(np.median(milliseconds)))


@dataclass(frozen=True)
class Score:
    """The figures of a study; the last two are None for a single participant."""

    study: Mapping[str, Any]
    participants: Sequence[Row]
    pooled: Row  # its interval takes all answers as independent
    over_participants: tuple[float, float] | None
    alpha: float | None  # Krippendorff's; also None where all choices are the same

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def score(files: Sequence[Path]) -> Score:
    """The figures of one study. Raises DataError for files of two studies, or two of one participant."""
    results = [read_results(file) for file in files]
    first, seen = results[0], dict[str, Path]()
    for r in results:
        if r.study != first.study:
            raise DataError(f"{r.file} and {first.file} are of two studies; score each study by itself")
        if r.participant in seen:
            raise DataError(f"{r.file} and {seen[r.participant]} are of one participant; leave out one of them")
        seen[r.participant] = r.file
    rows, pooled = [Row.of(r.participant, [r]) for r in results], Row.of("all", results)
    if len(results) == 1:
        return Score(first.study, rows, pooled, None, None)
    alpha = krippendorff_alpha(np.stack([r.b for r in results]))
    interval = over_raters(np.array([row.rate for row in rows]))
    return Score(first.study, rows, pooled, interval, None if np.isnan(alpha) else alpha)
