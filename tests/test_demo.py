"""`isthmus demo`, once for all these tests: its figures, and a report that needs nothing beside it."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from command_line import said
from isthmus.apps.cli import main
from isthmus.training.checkpoint import load_model

SERVED: list[Any] = []  # what would have been opened in the end


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "demo"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("isthmus.apps.serve.server.run", lambda *given, show: SERVED.append((*given, show)))
        assert main(["demo", "--out", str(folder), "--threads", "1", "--serve", "--port", "0"]) == 0
    return folder


class Page(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))


@pytest.fixture(scope="session")
def html(demo: Path) -> str:
    return (demo / "report.html").read_text()


@pytest.fixture(scope="session")
def page(html: str) -> Page:
    return Page(html)


def test_both_directions_find_their_class(demo: Path) -> None:
    results = json.loads((demo / "results.json").read_text())
    assert results.keys() == {"a_to_b", "b_to_a"}
    for row in results.values():
        assert {"accuracy", "ceiling", "diversity"} <= row.keys()
        assert 0.90 <= row["accuracy"] <= 1
        assert 0.95 <= row["ceiling"] <= 1
        assert row["diversity"] > 0


def test_it_ends_on_the_open_page_with_the_bridge(demo: Path) -> None:
    ((app, _, token, shown),) = SERVED
    assert shown
    assert token is None
    with TestClient(app, base_url="http://localhost") as service:
        assert '<script type="module"' in service.get("/").text
        bridge, *others = service.get("/api/models").json()
        assert [bridge["name"], *(other["name"] for other in others)] == ["bridge", "a", "b"]
        digit = service.get("/api/models/bridge/examples/a").json()[0]
        made = service.post("/api/models/bridge/translate", json={"image": digit, "to": "b", "draws": 2}).json()
        one, other = (one["image"] for one in made["pictures"])
        assert one != other
        with Image.open(io.BytesIO(base64.b64decode(one.partition(",")[2]))) as image:
            assert image.size == (8, 8)
            assert np.asarray(image).std() > 20


def test_the_runs_are_whole(demo: Path) -> None:
    assert sorted(path.name for path in demo.iterdir()) == [
        "a",
        "b",
        "bridge",
        "report.html",
        "report.png",
        "results.json",
    ]
    bridge = load_model(demo / "bridge")
    for end in ("a", "b"):  # the bridge left its autoencoders as they were
        alone = load_model(demo / end).state_dict()
        inside = bridge.config()[end].state_dict()
        assert all(np.array_equal(alone[name].numpy(), inside[name].numpy()) for name in alone)


def test_the_report_loads_nothing(page: Page, html: str) -> None:
    for tag, attributes in page.elements:
        assert tag not in ("script", "link", "iframe", "object", "embed"), tag
        for name in ("src", "href", "xlink:href", "data", "action", "srcset"):
            address = attributes.get(name) or ""
            assert not address or address.startswith(("data:image/png;base64,", "#")), (tag, name, address)
    assert not re.search(r"@import|url\((?!['\"]?(#|data:))", html)


def test_every_picture_is_inside_and_shows_something(page: Page) -> None:
    sources = [attributes["src"] for tag, attributes in page.elements if tag == "img"]
    assert len(sources) >= 4  # draws and sweeps of both directions
    for source in sources:
        assert source is not None
        kind, content = source.split(",", 1)
        assert kind == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(content, validate=True))) as image:
            assert np.asarray(image.convert("L")).std() > 20
    assert all(attributes.get("alt") for tag, attributes in page.elements if tag == "img")


def test_the_losses_are_drawn(html: str) -> None:
    curves = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(curves) == 3
    for curve in curves:
        paths = [e for e in ElementTree.fromstring(curve).iter() if e.tag.endswith("path")]
        assert any((path.get("d") or "").count("L") >= 50 for path in paths)  # a line of many steps


def test_the_figures_are_in_the_report(demo: Path, html: str) -> None:
    text = " ".join(re.sub(r"<svg.*?</svg>|<[^>]+>", " ", html, flags=re.DOTALL).split())
    for row in json.loads((demo / "results.json").read_text()).values():
        assert f"{100 * row['accuracy']:.1f}" in text


def test_the_picture_is_not_blank(demo: Path) -> None:
    with Image.open(demo / "report.png") as image:
        pixels = np.asarray(image.convert("L"), float)
    half = pixels.shape[0] // 2
    assert pixels[:half].std() > 20
    assert pixels[half:].std() > 20


def test_overwriting(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A demo may be replaced when that is asked for; a folder with anything else may not."""
    before = {path: path.stat().st_mtime_ns for path in demo.rglob("*")}
    assert main(["demo", "--out", str(demo)]) == 2
    assert said(capsys) == f"error: {demo} exists; give another --out, or --overwrite it"
    copy = tmp_path / "copy"
    shutil.copytree(demo, copy)
    (copy / "notes.txt").write_text("mine")
    assert main(["demo", "--out", str(copy), "--overwrite"]) == 2
    assert "holds more than a demo" in said(capsys)
    assert (copy / "report.html").exists()
    (copy / "notes.txt").unlink()

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt  # once the old demo is gone

    monkeypatch.setattr("isthmus.experiments.run.trained", stop)
    assert main(["demo", "--out", str(copy), "--overwrite"]) == 130
    assert [path.name for path in copy.iterdir()] == ["results.json"]
    assert {path: path.stat().st_mtime_ns for path in demo.rglob("*")} == before
