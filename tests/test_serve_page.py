"""The page in a real browser, by the pictures that it shows: every tab, by mouse, by keyboard, on a phone."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
from PIL import Image

from command_line import RULE
from isthmus.apps.cli import main
from isthmus.training.checkpoint import write
from serve_helpers import at_port, pixels, png

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

IMAGES = Path(__file__).parents[1] / "docs" / "images"
Keep = Callable[["Page", str], None]
DESK, PHONE = {"width": 1120, "height": 700}, {"width": 360, "height": 740}
QUICK = ["--batch-size", "64", "--threads", "1", "--accelerator", "cpu", "--log-every", "10", "--sample-every", "100"]
NETWORK = ["--hidden", "96", "--latent", "6"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Autoencoders of a few digits, the bridge between them, and a model of classes."""
    root = tmp_path_factory.mktemp("page")
    low, high = str(root / "zero-one"), str(root / "two-three")
    for model, data, out in (
        ("vae", "digits:0-1", low),
        ("vae", "digits:2-3", high),
        ("cvae", "digits:0-3", str(root / "classes")),
    ):
        assert main(["train", model, "--data", data, "--out", out, "--steps", "300", *NETWORK, *QUICK]) == 0
    ends = ["--a", low, "--b", high, *RULE, "--hidden", "32"]
    assert main(["train", "latent-bridge", *ends, "--out", str(root / "bridge"), "--steps", "300", *QUICK]) == 0
    write(root / "bridge" / "evaluation.json", json.dumps({"a_to_b": {"accuracy": 0.875, "diversity": 0.5}}))
    return root


@pytest.fixture(scope="module")
def address(runs: Path) -> Iterator[str]:
    with at_port([runs / name for name in ("bridge", "classes", "zero-one", "two-three")]) as found:
        yield found


@pytest.fixture
def opened(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Pages of the service; none may complain, or ask for anything from elsewhere."""
    contexts, wrong = list[Any](), list[str]()

    def open_page(width: dict[str, int] = DESK, **settings: Any) -> Page:
        contexts.append(browser.new_context(viewport=width, **settings))  # type: ignore[arg-type]
        page = contexts[-1].new_page()
        own = (address, "data:", "blob:")
        page.on("request", lambda request: None if request.url.startswith(own) else wrong.append(request.url))
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(address)
        page.wait_for_selector("[role=tab]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong


def panel(page: Page) -> Locator:
    return page.locator("[role=tabpanel]:visible")


def tab(page: Page, name: str) -> Locator:
    page.get_by_role("tab", name=name).click()
    return panel(page)


def samples_there(place: Locator) -> None:
    place.locator(".examples button[aria-pressed=true]:visible").first.wait_for()


def press(place: Locator, name: str) -> Locator:
    """Press a button, and wait for what comes of it: the card beside its form."""
    workshop = place.locator(".split", has=place.page.get_by_role("button", name=name, exact=True))
    workshop.get_by_role("button", name=name, exact=True).click()
    workshop.get_by_text("Done in").wait_for()
    return workshop.get_by_role("region", name="Result")


def content(image: Locator) -> np.ndarray:
    """The pixels of an image as its file has them, whatever kind of address it has."""
    script = """async (image) => {
        await image.decode();
        const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
        canvas.getContext("2d").drawImage(image, 0, 0);
        const file = new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer());
        return btoa(String.fromCharCode(...file));
    }"""
    found = image.evaluate(script)
    with Image.open(io.BytesIO(base64.b64decode(found))) as opened:
        return np.asarray(opened.convert("L"))


def contents(place: Locator) -> list[np.ndarray]:
    return [content(image) for image in place.locator("img").all()]


def asked(address: str, where: str, **fields: Any) -> list[np.ndarray]:
    """What the service answers to the same question."""
    answer = httpx.post(f"{address}api/models/{where}", json=fields).raise_for_status().json()
    return [pixels(one["image"]) for one in answer["pictures"]]


def example(address: str, model: str, domain: str = "a", place: int = 0) -> str:
    return httpx.get(f"{address}api/models/{model}/examples/{domain}").json()[place]


def same(seen: list[np.ndarray], expected: list[np.ndarray]) -> bool:
    return len(seen) == len(expected) and all(np.array_equal(*pair) for pair in zip(seen, expected, strict=True))


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> Keep:
    """Look at the whole page; with --update-screenshots it becomes a picture of the documentation."""

    def shoot(page: Page, name: str) -> None:
        page.wait_for_timeout(200)
        file = io.BytesIO()
        with Image.open(io.BytesIO(page.screenshot(full_page=True))) as shot:
            shot.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
            assert np.asarray(shot.convert("L")).std() > 5
        assert len(file.getvalue()) < 150_000
        if request.config.getoption("--update-screenshots"):
            (IMAGES / f"{name}.png").write_bytes(file.getvalue())

    return shoot


def test_translate(opened: Callable[..., Page], keep: Keep, address: str, tmp_path: Path) -> None:
    page = opened()
    place = panel(page)
    samples_there(place)
    place.get_by_label("Seed", exact=True).fill("5")
    result = press(place, "Translate")
    original, *draws = contents(result)
    source = example(address, "bridge")
    assert np.array_equal(original, pixels(source))
    assert same(draws, asked(address, "bridge/translate", image=source, to="b", seed=5, draws=4))
    assert not np.array_equal(draws[0], draws[1])
    keep(page, "serve-translate")
    with page.expect_download() as download:
        result.get_by_role("link", name="Save draw 2").click()
    assert np.array_equal(pixels(Path(download.value.path()).read_bytes()), draws[1])
    assert download.value.suggested_filename == "b-6.png"

    place.get_by_label("To", exact=True).select_option("a")  # the other way, with a file of one's own
    file = tmp_path / "own.png"
    file.write_bytes(png(3, 40, 30))
    place.get_by_label("Picture: choose a picture").set_input_files(file)
    place.get_by_label("Draws").fill("1")
    original, only = contents(press(place, "Translate"))
    assert original.shape == (40, 30)
    sent = base64.b64encode(file.read_bytes()).decode()
    assert same([only], asked(address, "bridge/translate", image=sent, to="a", seed=5))

    file.write_bytes(b"no picture")
    place.get_by_label("Picture: choose a picture").set_input_files(file)
    place.get_by_role("button", name="Translate", exact=True).click()
    place.get_by_text("what was sent is no picture; send PNG, JPEG, WebP").wait_for()
    assert len(contents(place.get_by_role("region", name="Result"))) == 2  # what was there before


def test_generate(opened: Callable[..., Page], keep: Keep, address: str) -> None:
    page = opened()
    tab(page, "Generate").get_by_role("button", name="classes").click()  # the bridge cannot; this one can
    place = panel(page)
    place.get_by_label("Class").select_option("2")
    place.get_by_label("Pictures").fill("6")
    place.get_by_label("Temperature").fill("0.5")
    result = press(place, "Generate")
    assert same(contents(result), asked(address, "classes/generate", classes=["2"], draws=6, temperature=0.5, seed=0))
    assert result.locator("figcaption span").all_inner_texts() == [f"2, seed {k}" for k in range(6)]
    place.get_by_label("Class").select_option("each in turn")
    place.get_by_label("Pictures").fill("12")
    found = contents(press(place, "Generate"))
    assert same(found, asked(address, "classes/generate", classes=list("0123"), draws=12, temperature=0.5, seed=0))
    keep(page, "serve-generate")
    place.get_by_role("button", name="Another seed").click()
    assert not same(contents(press(place, "Generate")), found)


def test_explore(opened: Callable[..., Page], keep: Keep, address: str) -> None:
    page = opened()
    page.get_by_label("Model").select_option("classes")
    place = tab(page, "Explore")
    samples_there(place)
    place.locator(".examples button[aria-pressed=true]:visible").nth(2).wait_for()
    ends = [example(address, "classes", place=k) for k in range(2)]
    expected = asked(address, "classes/interpolate", images=ends, steps=15)
    result = press(place, "Interpolate")
    large, *strip = contents(result)
    assert same(strip, expected)
    assert np.array_equal(large, expected[0])
    slider = result.get_by_role("slider")
    for key, k in (("ArrowRight", 1), ("End", 14), ("ArrowLeft", 13)):
        slider.press(key)
        assert np.array_equal(content(result.locator(".stage img")), expected[k])
    place.get_by_label("Between", exact=True).select_option("two seeds")
    seeds = asked(address, "classes/interpolate", seeds=[0, 1], steps=15)
    assert same(contents(press(place, "Interpolate"))[1:], seeds)

    result = press(place, "Swap classes")
    original, *swapped = contents(result)
    assert np.array_equal(original, pixels(ends[0]))
    assert same(swapped, asked(address, "classes/swap", image=ends[0]))
    assert result.locator("figcaption span").all_inner_texts() == ["original", *"0123"]
    page.get_by_label("Model").select_option("zero-one")
    place = panel(page)
    place.get_by_label("Dimensions").fill("0 2 3-5")
    expected = asked(address, "zero-one/traverse", dims=["0", "2", "3-5"], steps=8)
    assert same(contents(press(place, "Traverse")), expected)
    place.get_by_role("group", name="To: samples").get_by_label("sample 4", exact=True).click()
    press(place, "Interpolate").get_by_role("slider").fill("7")
    page.mouse.move(0, 0)
    keep(page, "serve-explore")


def test_compare(opened: Callable[..., Page], keep: Keep, address: str) -> None:
    page = opened()
    place = tab(page, "Compare")
    place.get_by_label("Task").select_option("Generate with one seed")
    place.get_by_label("two-three (vae)").uncheck()
    press(place, "Compare")
    for name in ("classes", "zero-one"):
        column = place.get_by_role("article", name=name)
        assert same(contents(column), asked(address, f"{name}/generate", draws=4, seed=0))
        assert "isthmus evaluate" in column.inner_text()
    assert place.get_by_role("article").count() == 2
    place.get_by_label("Task").select_option("Reconstruct a picture")
    samples_there(place)
    press(place, "Compare")
    source = example(address, "classes")
    for name in ("classes", "zero-one", "two-three"):
        assert same(
            contents(place.get_by_role("article", name=name)), asked(address, f"{name}/reconstruct", image=source)
        )
    keep(page, "serve-compare")
    place.get_by_label("Task").select_option("Translate a picture")
    samples_there(place)
    press(place, "Compare")
    row = place.get_by_role("article", name="bridge").get_by_role("row", name="accuracy")
    assert row.inner_text().split() == ["accuracy", "0.875"]


def test_training_goes_on_before_ones_eyes(opened: Callable[..., Page], keep: Keep, runs: Path) -> None:
    page = opened()
    page.get_by_label("Model").select_option("zero-one")
    place = tab(page, "Training")
    place.get_by_text("step 300 of 300").wait_for()
    losses = place.get_by_role("region", name="Losses")
    lines = losses.locator("polyline")
    assert lines.count() == 4  # two terms, and both on held-out images
    points = [[float(n) for n in pair.split(",")] for pair in (lines.first.get_attribute("points") or "").split()]
    logged = [json.loads(line) for line in (runs / "zero-one" / "metrics.jsonl").read_text().splitlines()]
    values = [row["vae/kl"] for row in logged if "vae/kl" in row]
    assert len(points) == len(values)
    assert np.corrcoef([y for _, y in points], values)[0, 1] == pytest.approx(-1, abs=0.01)  # y grows downwards
    place.get_by_text("step 300, 3 of 3").wait_for()
    keep(page, "serve-training")
    losses.get_by_role("button", name="vae/reconstruction").first.click()
    assert lines.count() == 3
    album = place.get_by_role("region", name="Samples")
    newest, first = (
        pixels((runs / "zero-one" / "samples" / f"step-{step:08d}.png").read_bytes()) for step in (300, 100)
    )
    assert np.array_equal(content(album.locator("img")), newest)
    album.get_by_role("slider").press("Home")
    album.get_by_text("step 100, 1 of 3").wait_for()
    assert np.array_equal(content(album.locator("img")), first)

    with (runs / "zero-one" / "metrics.jsonl").open("a") as file:  # as if it were trained on
        file.write(json.dumps({"step": 290, "vae/kl": 1.0, "vae/reconstruction": 2.0, "news": 3.0}) + "\n")
    losses.get_by_role("button", name="news").wait_for()
    place.get_by_text("● training").wait_for()


def test_by_keyboard_alone(opened: Callable[..., Page]) -> None:
    page = opened()
    page.get_by_role("tab", name="Translate").focus()
    for key, name in (
        ("ArrowRight", "Generate"),
        ("End", "Training"),
        ("ArrowRight", "Translate"),
        ("ArrowLeft", "Training"),
    ):
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.textContent") == name
        assert page.get_by_role("tab", selected=True).inner_text() == name
    page.keyboard.press("Home")
    samples_there(panel(page))
    reached = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.ariaLabel || document.activeElement.textContent"))
        if page.evaluate("document.activeElement.textContent") == "Translate":
            break
    assert {"Picture: choose a picture", "sample 1", "sample 12", "Another seed", "Translate"} <= reached
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    panel(page).get_by_text("Done in").wait_for()


def test_on_a_phone_and_in_the_dark(opened: Callable[..., Page], keep: Keep) -> None:
    page = opened(PHONE, has_touch=True, is_mobile=True, color_scheme="dark")
    page.get_by_label("Model").select_option("classes")
    for name, button in (
        ("Generate", "Generate"),
        ("Explore", "Swap classes"),
        ("Compare", "Compare"),
        ("Training", ""),
    ):
        place = tab(page, name)
        if button:
            if name != "Generate":
                samples_there(place)
            press(place, button)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, name
        for box in [tab.bounding_box() for tab in page.get_by_role("tab").all()]:
            assert box
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 360
    with Image.open(io.BytesIO(page.screenshot())) as shot:
        assert np.asarray(shot.convert("L"))[5, 5] < 40
    tab(page, "Generate")
    page.evaluate("scrollTo(0, 0)")
    keep(page, "serve-phone")


def test_work_that_takes_long_can_be_cancelled(opened: Callable[..., Page], monkeypatch: pytest.MonkeyPatch) -> None:
    from isthmus.apps.serve.queue import Queue

    play, held = Queue.play, []

    def slowly(queue: Queue, batch: Any, size: int) -> None:
        import time

        held.append(time.sleep(0.3))
        play(queue, batch, 1 if size > 1 else size)

    page = opened()
    page.get_by_label("Model").select_option("classes")
    place = tab(page, "Generate")
    place.get_by_label("Pictures").fill("64")
    monkeypatch.setattr(Queue, "play", slowly)
    monkeypatch.setattr(Queue, "size_of", lambda *_: 1)
    place.get_by_role("button", name="Generate", exact=True).click()
    while place.get_by_role("progressbar").evaluate("(bar) => bar.value") < 0.02:
        page.wait_for_timeout(50)
    place.get_by_role("button", name="Cancel").click()
    place.get_by_text("Cancelled").wait_for()
    page.wait_for_timeout(700)
    before = len(held)
    page.wait_for_timeout(700)
    assert len(held) == before < 64
    assert not place.get_by_role("button", name="Cancel").is_visible()
