"""Studies with people as judges: the statistics, the page that is made, the figures, and what is refused."""

from __future__ import annotations

import base64
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from command_line import said
from data_helpers import fill
from isthmus.apps.cli import main
from isthmus.errors import DataError
from isthmus.evaluation import krippendorff_alpha, over_raters
from study_helpers import TRIALS, alpha_by_counting, draw_sets, make, plan_of

# --- statistics

MISSING = math.nan
ALPHAS = {  # sections A, B and C of Krippendorff (2011)
    "binary": ([[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]], 0.095),
    "nominal": ([[0, 0, 1, 1, 3, 2, 2, 2, 4, 3, 3, 0], [1, 0, 1, 1, 1, 2, 2, 2, 4, 3, 3, 3]], 0.692),
    "incomplete": (
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, MISSING, MISSING, MISSING],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, MISSING, 3],
            [MISSING, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, MISSING],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, MISSING],
        ],
        0.743,
    ),
}


@pytest.mark.parametrize(("ratings", "expected"), ALPHAS.values(), ids=ALPHAS)
def test_alpha_of_the_published_examples(ratings: Any, expected: float) -> None:
    assert krippendorff_alpha(np.array(ratings)) == pytest.approx(expected, abs=5e-4)
    assert alpha_by_counting(ratings) == pytest.approx(expected, abs=5e-4)


def test_alpha_of_random_incomplete_ratings() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        ratings = random.integers(0, 3, (4, 9)).astype(float)
        ratings[random.random((4, 9)) < 0.4] = MISSING
        assert krippendorff_alpha(ratings) == pytest.approx(alpha_by_counting(ratings))


def test_alpha_at_its_ends() -> None:
    assert krippendorff_alpha(np.array([[0, 1, 1], [0, 1, 1]])) == 1
    assert krippendorff_alpha(np.array([[0, 1, 0, 1], [1, 0, 1, 0]])) == pytest.approx(1 - 1 / (32 / 56))
    assert math.isnan(krippendorff_alpha(np.ones((3, 4))))
    for lonely in (np.ones((1, 4)), np.array([[1, MISSING], [MISSING, 0]])):
        with pytest.raises(DataError, match="needs two raters on the same pairs"):
            krippendorff_alpha(lonely)


def test_the_interval_over_raters() -> None:
    half = 4.302653 * 0.05 / math.sqrt(3)  # a printed table of Student's t, two degrees of freedom
    assert over_raters(np.array([0.45, 0.5, 0.55])) == pytest.approx((0.5 - half, 0.5 + half))
    assert over_raters(np.array([0.0, 1.0])) == (0, 1)
    with pytest.raises(DataError, match="two of them"):
        over_raters(np.array([0.5]))


# --- making a page


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    return draw_sets(tmp_path)


def test_a_page_follows_from_its_seed(sets: Path) -> None:
    first = make(sets).read_text()
    assert make(sets, "--overwrite").read_text() == first
    plan, other = plan_of(sets / "s.html"), plan_of(make(sets, "--overwrite", "--seed", "1"))
    assert plan["id"] != other["id"]
    assert sorted(i for pair in plan["pairs"] for i in pair) == list(range(2 * TRIALS))
    assert len({a < b for a, b in plan["pairs"]}) == 2  # places do not tell the sets


def test_nothing_comes_from_elsewhere(sets: Path) -> None:
    html = make(sets).read_text()
    assert not re.search(r'(src|href)="(?!data:)|url\(|@import|https?://', html.replace("{ href: url", ""))
    assert "default-src 'none'" in html


def test_pictures_as_they_are_or_at_one_size(sets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of any mode and size, also of data sets; where size or colour tells the sets apart, a note says so."""
    fill(sets / "odd", [f"{i}.png" for i in range(5)], size=(50, 21), mode="RGBA")
    fill(sets / "odd", [f"{i}.tif" for i in range(5, 9)], size=(50, 21), mode="CMYK")
    out = ["--out", str(sets / "o.html"), "--trials", "8", "--practice", "1", "--overwrite"]
    assert main(["study", str(sets / "red"), f"folder:{sets / 'odd'}", *out]) == 0
    assert "has the size of one of B" in capsys.readouterr().out
    assert sizes(sets / "o.html") == {(40, 30), (50, 21)}
    assert main(["study", str(sets / "red"), f"folder:{sets / 'odd'}", *out, "--size", "24x16"]) == 0
    assert "note" not in capsys.readouterr().out
    assert sizes(sets / "o.html") == {(24, 16)}
    assert main(["study", "digits:0-4", "digits:5-9", *out]) == 0
    assert "note" not in capsys.readouterr().out
    assert sizes(sets / "o.html") == {(8, 8)}
    assert main(["study", "digits", str(sets / "red"), *out, "--size", "8"]) == 0
    assert "one is grey and one coloured" in capsys.readouterr().out


def sizes(file: Path) -> set[tuple[int, int]]:
    pictures = re.findall(r"data:image/png;base64,([\w+/=]+)", file.read_text())
    return {Image.open(io.BytesIO(base64.b64decode(text))).size for text in pictures}


WRONG = {
    "nothing": ([], "say isthmus study A B --out PAGE.html"),
    "one set": (["{red}", "--out", "x.html"], "needs two sets of pictures and --out"),
    "no place": (["{red}", "{blue}"], "needs two sets of pictures and --out"),
    "not html": (["{red}", "{blue}", "--out", "x.png"], "must be a name that ends in .html"),
    "there": (["{red}", "{blue}", "--out", "{red}/../there.html"], "exists; --overwrite it"),
    "same": (["{red}", "{red}/../red", "--out", "x.html"], "people are to tell two sets apart"),
    "same data": (["digits:1", "digits:1", "--out", "x.html"], 'A and B are both "digits:1"'),
    "few": (["{red}", "{blue}", "--out", "x.html"], "50 trials take 50 pictures of each set"),
    "none": (["{red}", "{blue}", "--out", "x.html", "--trials", "0"], "--trials must be positive"),
    "practice": (["{red}", "{blue}", "--out", "x.html", "--trials", "5", "--practice", "5"], "--practice fewer"),
    "exposure": (["{red}", "{blue}", "--out", "x.html", "--exposure", "-1"], "--exposure is in milliseconds"),
    "names": (["{red}", "{blue}", "--out", "x.html", "--names", "one"], "--names are two"),
    "no folder": (["{red}/no", "{blue}", "--out", "x.html"], "unknown data"),
    "no pictures": (["{text}", "{blue}", "--out", "x.html"], "holds no pictures, only other files (.txt)"),
    "damaged": (["{damaged}", "{blue}", "--out", "x.html", "--trials", "1", "--practice", "0"], "a.png is not a pict"),
    "references": (
        ["{red}", "{blue}", "--reference", "{damaged}", "--out", "x.html"],
        "50 trials take 50 file names that A, B and --reference share, and they share 0 (0.png in",
    ),
    "no names": (["{red}", "digits", "--reference", "{blue}", "--out", "x.html"], "pairs by file name, and "),
    "json": (["{red}", "{blue}", "--out", "x.html", "--json"], "or --score FILES [--json]"),
    "both": (["{red}", "{blue}", "--score", "x.json"], "or --score FILES [--json]"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_what_makes_no_page(
    arguments: list[str], message: str, sets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(sets)
    for name, content in (("text/a.txt", "a"), ("damaged/a.png", "b"), ("there.html", "")):
        (sets / name).parent.mkdir(exist_ok=True)
        (sets / name).write_text(content)
    folders = {name: str(sets / name) for name in ("red", "blue", "text", "damaged")}
    assert main(["study", *(word.format(**folders) for word in arguments)]) == 2
    words = said(capsys)
    assert message in words
    assert len(words.splitlines()) == 1
    assert not (sets / "x.html").exists()


# --- scoring


def results(participant: str = "p", choices: str = "abab", **changes: Any) -> dict[str, Any]:
    """A file of results with one trial of practice, in which B was chosen, and then these choices of sets."""
    study = {"id": "s", "mode": "real", "question": "Which?", "names": ["real", "generated"], "exposure": 0, "seed": 0}
    study |= {"trials": len(choices) + 1, "practice": 1}
    trials = [
        {
            "index": i,
            "pair": i,
            "left": "ab"[i % 2],
            "choice": "left" if c == "ab"[i % 2] else "right",
            "milliseconds": 100 * i,
            "shown": 0,
            "practice": i == 0,
        }
        for i, c in enumerate("b" + choices)
    ]
    return {"format": 1, "study": study, "participant": participant, "seed": 1, "trials": trials} | changes


def scored(folder: Path, *contents: Any, more: tuple[str, ...] = ()) -> int:
    for i, content in enumerate(contents):
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{i}.json").write_text(text)
    return main(["study", "--score", *(str(folder / f"{i}.json") for i in range(len(contents))), *more])


def test_the_table_of_several(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert scored(tmp_path, results("[b]ob", "abbb"), results("eve", "aabb")) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "participant trials generated taken for real 95 % left chosen median ms" in text
    assert "[b]ob 4 75.0% 30.1% to 95.4% 25% 250" in text  # Wilson's interval of 3 of 4 by a printed table
    assert "all 8 62.5%" in text
    assert f"1 full, 0 chance): {alpha_by_counting([[0, 1, 1, 1], [0, 0, 1, 1]]):.2f}" in text


def test_a_single_participant_has_no_agreement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scored(tmp_path, results()) == 0
    assert "need two raters on the same pairs" in capsys.readouterr().out
    assert scored(tmp_path, results(), more=("--json",)) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["over_participants"] is found["alpha"] is None
    assert found["pooled"]["rate"] == 0.5


def test_a_preference_is_called_so(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    models = results()["study"] | {"mode": "prefer", "names": ["vae", "gan"]}
    assert scored(tmp_path, results(study=models)) == 0
    text = capsys.readouterr().out
    assert "gan preferred to vae" in text
    assert "apart" not in text


def test_equal_choices_leave_agreement_undefined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scored(tmp_path, results("a", "aaa"), results("b", "aaa")) == 0
    assert "undefined, as all choices are the same" in " ".join(capsys.readouterr().out.split())


def spoilt(**changes: Any) -> dict[str, Any]:
    content = results()
    content["trials"][2] |= changes
    return content


REFUSED = {
    "two studies": ([results("a"), results("b", study=results()["study"] | {"id": "t"})], "are of two studies"),
    "one twice": ([results(), results()], "are of one participant; leave out one of them"),
    "empty": ([""], "0.json is an empty file"),
    "no json": (["<html>"], "0.json is not a whole file of results"),
    "other json": (["[1, 2]"], "0.json is not a whole file of results"),
    "torn": ([results(trials=results()["trials"][:-1])], "0.json is not a whole file of results"),
    "format": ([results(format=2)], "0.json is not a whole file of results"),
    "choice": ([spoilt(choice="middle")], "0.json is not a whole file of results"),
    "side": ([spoilt(left="c")], "0.json is not a whole file of results"),
    "time": ([spoilt(milliseconds="long")], "0.json is not a whole file of results"),
    "pair": ([spoilt(pair=1)], "0.json is not a whole file of results"),
    "names": ([results(study=results()["study"] | {"names": [1, 2]})], "0.json is not a whole file of results"),
    "no time": ([spoilt(milliseconds=None)], "0.json is not a whole file of results"),
    "practice": ([spoilt(practice=True)], "0.json is not a whole file of results"),
}


@pytest.mark.parametrize(("contents", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_scored(
    contents: list[Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scored(tmp_path, *contents) == 2
    words = said(capsys)
    assert message in words
    assert len(words.splitlines()) == 1


def test_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "--score", str(tmp_path / "no.json")]) == 2
    assert said(capsys).endswith("no.json: No such file or directory")
