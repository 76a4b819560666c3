"""The page of a study in a real browser: people who see only colours, and what is recorded of them."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from isthmus.apps.cli import main
from isthmus.evaluation import over_raters, wilson
from study_helpers import COLOURS, EXPOSURE, PRACTICE, TRIALS, alpha_by_counting, draw_sets, make, plan_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    return draw_sets(tmp_path)


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Pages in browsers of their own; none may complain, or ask for anything but itself."""
    pages, wrong = list[Any](), list[str]()

    def open_page(file: Path, script: str = "", **settings: Any) -> Page:
        page = browser.new_context(offline=True, **settings).new_page()
        own = (file.as_uri(), "data:", "blob:")
        page.on("request", lambda request: None if request.url.startswith(own) else wrong.append(request.url))
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.add_init_script(script)
        page.goto(file.as_uri())
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.context.close()
    assert not wrong


def stop_time(page: Page) -> Page:
    """The page with a clock that is set by hand."""
    page.clock.install()
    page.clock.pause_at(page.evaluate("Date.now()") + 1000)
    return page


def colours(page: Page, *sides: str) -> dict[str, tuple[int, ...]]:
    """What is seen in the middle of frames, by one screenshot."""
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    found = {}
    for side in sides:
        box = page.locator(f"#{side} .frame").bounding_box()
        assert box is not None
        scale = shot.width / page.evaluate("innerWidth")
        middle = [int(scale * (box[x] + box[length] / 2)) for x, length in (("x", "width"), ("y", "height"))]
        found[side] = shot.getpixel((middle[0], middle[1]))
    return found


def seen(page: Page) -> dict[str, tuple[int, ...]]:
    """Let time pass until both pictures are there."""
    assert page.is_visible("#trial")
    for _ in range(100):
        page.clock.run_for(16)
        if page.is_visible(".pictures.seen"):
            break
    page.clock.run_for(32)  # two frames
    assert not page.is_visible(".pictures.gone")
    return colours(page, "left", "right")


def is_real(shade: tuple[int, ...]) -> bool:
    return shade[0] > shade[2] + 100


def number(shade: tuple[int, ...]) -> int:
    return min(shade) // 5


def order_by(seed: int, plan: dict[str, Any]) -> list[tuple[int, str]]:
    """Pairs and what is left, as the page has to draw them: mulberry32, Fisher and Yates, then a coin for each."""

    def random() -> float:
        nonlocal seed
        seed = (seed + 0x6D2B79F5) % 2**32
        t = (seed ^ seed >> 15) * (seed | 1) % 2**32
        t ^= (t + (t ^ t >> 7) * (t | 61)) % 2**32
        return (t ^ t >> 14) / 2**32

    parts = [[*range(plan["practice"])], [*range(plan["practice"], plan["trials"])]]
    for part in parts:
        for i in range(len(part) - 1, 0, -1):
            j = int(random() * (i + 1))
            part[i], part[j] = part[j], part[i]
    return [(pair, "a" if random() < 0.5 else "b") for part in parts for pair in part]


def test_a_study_by_keyboard_and_by_touch(
    opened: Callable[..., Page], sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, phone = make(sets, "--names", "photo,drawing"), {"width": 360, "height": 640}
    other_page = opened(file, viewport=phone, has_touch=True, is_mobile=True)
    files = [by_keyboard(stop_time(opened(file)), tmp_path), by_touch(stop_time(other_page), tmp_path)]
    one, other = (json.loads(f.read_text()) for f in files)
    assert one["participant"] != other["participant"]
    assert one["study"] == other["study"] == {k: v for k, v in plan_of(file).items() if k != "pairs"}
    assert other["screen"]["width"] == 360
    for content in (one, other):
        assert [(t["pair"], t["left"]) for t in content["trials"]] == order_by(content["seed"], plan_of(file))
        assert [t["practice"] for t in content["trials"]] == [True] * PRACTICE + [False] * (TRIALS - PRACTICE)

    capsys.readouterr()
    assert main(["study", "--score", *map(str, files), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["rate"] for row in found["participants"]] == [0.4, 0]  # as they chose on purpose
    assert found["pooled"]["rate"] == 0.2
    assert found["pooled"]["interval"] == pytest.approx(wilson(2, 10))
    assert found["over_participants"] == pytest.approx(over_raters(np.array([0.4, 0])))
    for row, content in zip(found["participants"], (one, other), strict=True):
        counted = content["trials"][PRACTICE:]
        assert row["left"] == sum(t["choice"] == "left" for t in counted) / len(counted)
        assert row["milliseconds"] == sorted(t["milliseconds"] for t in counted)[2]
    votes = [
        [t["choice"] == ("right" if t["left"] == "a" else "left") for t in sorted(c["trials"], key=lambda t: t["pair"])]
        for c in (one, other)
    ]
    assert found["alpha"] == pytest.approx(alpha_by_counting([v[PRACTICE:] for v in votes]))


def by_keyboard(page: Page, folder: Path) -> Path:
    """Someone who tells the first practice pair, fails at the second, and later takes two of five wrongly."""
    assert page.locator("h1:visible").inner_text() == "Which picture is real?"
    assert not re.search("photo|drawing|red|blue", page.locator("main").inner_html().lower().replace("answered", ""))
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    shown: list[dict[str, tuple[int, ...]]] = []
    for k in range(TRIALS):
        if k == PRACTICE:
            assert page.locator("h1:visible").inner_text() == "That was the practice"
            page.keyboard.press("Enter")
        if k == 4:  # in the midst of a trial
            seen(page)
            page.reload()
            assert page.locator("h1:visible").inner_text() == "Welcome back"
            assert "answered 4 of 7" in page.locator("#gate").inner_text()
            page.keyboard.press("Enter")
        shown.append(seen(page))
        count = f"practice {k + 1} of 2" if k < PRACTICE else f"{k - PRACTICE + 1} of 5"
        assert page.locator("#place span").inner_text() == count
        assert page.evaluate("document.activeElement.tagName") == "H2"  # a ring around a side would favour it
        if k in (0, 3):  # the pictures go, and the answer may still be given
            page.clock.run_for(EXPOSURE - 50)
            assert colours(page, "left", "right") == shown[-1]
            page.clock.run_for(50)
            assert {*colours(page, "left", "right").values()} == {(255, 255, 255)}
        wanted = k not in (1, 2, 5)
        side = next(s for s in ("left", "right") if is_real(shown[-1][s]) == wanted)
        key = {"left": "fF"[k % 2] if k < 4 else "ArrowLeft", "right": "jJ"[k % 2] if k < 4 else "ArrowRight"}[side]
        if k == TRIALS - 1:
            with page.expect_download() as download:
                page.keyboard.press(key)
            continue
        page.keyboard.press(key)
        if k < PRACTICE:
            real = side if wanted else {"left": "right", "right": "left"}[side]
            told = page.locator("#feedback p").inner_text()
            assert told == f"{'Right' if wanted else 'No'}: the {real} one is photo."
            assert colours(page, "left", "right") == shown[-1]  # seen once more
            page.keyboard.press("Enter")
    assert page.locator("h1:visible").inner_text() == "Thank you!"
    saved = folder / download.value.suggested_filename
    download.value.save_as(saved)
    with page.expect_download() as again:
        page.click("text=Save the file again")
    assert Path(again.value.path()).read_bytes() == saved.read_bytes()
    page.reload()
    assert page.locator("h1:visible").inner_text() == "Thank you!"
    page.click("text=Start for the next person")
    assert page.locator("h1:visible").inner_text() == "Which picture is real?"

    content = json.loads(saved.read_text())
    assert saved.name == f"study-{content['study']['id']}-{content['participant']}.json"
    for trial, shades in zip(content["trials"], shown, strict=True):
        assert is_real(shades["left"]) == (trial["left"] == "a")
        assert trial["shown"] <= trial["milliseconds"]
    for k in (0, 3):
        assert content["trials"][k]["shown"] == EXPOSURE
        assert content["trials"][k]["milliseconds"] > EXPOSURE
    for side in (True, False):  # no picture twice
        assert len({number(s[k]) for s in shown for k in s if is_real(s[k]) == side}) == TRIALS
    return saved


def by_touch(page: Page, folder: Path) -> Path:
    """Someone with a telephone who is never wrong."""
    assert "Tap the picture" in page.locator("#intro").inner_text()
    assert "Press" not in page.locator("#intro").inner_text()
    page.tap("#start")
    for k in range(TRIALS):
        shades = seen(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        boxes = [page.locator(f"#{side} .frame").bounding_box() for side in ("left", "right")]
        assert all(box and box["x"] >= 0 and box["x"] + box["width"] <= 360 and box["width"] > 140 for box in boxes)
        side = next(s for s in ("left", "right") if is_real(shades[s]))
        if k == TRIALS - 1:
            with page.expect_download() as download:
                page.tap(f"#{side}")
            break
        page.tap(f"#{side}")
        if k < PRACTICE:
            page.tap("#next")
        if k == PRACTICE - 1:
            page.tap("#go")
    saved = folder / download.value.suggested_filename
    download.value.save_as(saved)
    return saved


def test_preference_with_a_reference_and_without_a_memory(opened: Callable[..., Page], sets: Path) -> None:
    """Two models, no limit of time, a browser that keeps nothing; the three pictures have one name."""
    reference = ["--reference", str(sets / "green")]
    file = make(sets, "--mode", "prefer", *reference, "--question", "Which <one>?", "--trials", "3", "--exposure", "0")
    page = opened(file, "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no') } })")
    assert "does not let the page remember" in page.get_by_role("alert").inner_text()
    assert page.locator("h1:visible").inner_text() == "Which <one>?"
    assert "no right or wrong answer" in page.locator("#intro").inner_text()
    page.click("#start")
    for k in range(3):
        if k == PRACTICE:
            page.click("#go")
        page.wait_for_selector("#trial:not([hidden]) .pictures.seen")
        shades = colours(page, "left", "reference", "right")
        assert len({number(shade) for shade in shades.values()}) == 1
        assert shades["reference"][1] >= COLOURS["green"][1]
        page.wait_for_timeout(EXPOSURE)
        assert colours(page, *shades) == shades  # still
        page.keyboard.press("Control+f")  # of the browser, no answer
        page.click("#right") if k < 2 else None
        assert not page.locator("#next").is_visible()  # nothing to explain
    with page.expect_download() as download:
        page.keyboard.press("j")
    content = json.loads(Path(download.value.path()).read_text())
    assert (content["study"]["mode"], content["study"]["names"]) == ("prefer", ["A", "B"])
    assert [trial["choice"] for trial in content["trials"]] == ["right"] * 3
    assert min(trial["milliseconds"] for trial in content["trials"]) > EXPOSURE
