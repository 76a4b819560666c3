"""The service for programs: what it tells of models, what it makes, and what it refuses, in words."""

from __future__ import annotations

import base64
import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

import isthmus
from isthmus.apps.cli import main
from isthmus.apps.serve.history import logged
from isthmus.apps.serve.queue import Queue
from isthmus.core import Spec
from isthmus.data.audio import encode
from isthmus.training.checkpoint import read_config, write
from serve_helpers import LIMITS, client, in_base64, pixels, png, standing
from tiny_models import WIDE, Noisy, RowDrawer, RowSwapper, Tinted, save_bridge, save_generator, save_vae


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("served")
    save_vae(root / "vae")
    save_bridge(root / "bridge")
    save_generator(root / "generator")
    return root


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[TestClient]:
    duties = [
        standing("tinted", Tinted().build(WIDE, WIDE), folder),
        standing("noisy", Noisy().build(WIDE, WIDE), folder),
        standing("swapper", RowSwapper().build(WIDE), folder),
        standing("drawer", RowDrawer().build(WIDE), folder),
        standing("sound", RowDrawer().build(Spec(1, 1, 400, name="tones", rate=4000)), folder),
    ]
    with client([folder / "vae", folder / "bridge", folder / "generator"], duties) as opened:
        yield opened


def made(service: TestClient, address: str, **fields: Any) -> dict[str, Any]:
    answer = service.post(f"/api/models/{address}", json=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer: Any, status: int) -> str:
    """The sentence of a refusal."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert "\n" not in error
    assert "Traceback" not in error
    return error


PNG = in_base64(png())

# --- what there is


def test_models_are_described_by_what_they_can_do(service: TestClient) -> None:
    models = {model["name"]: model for model in service.get("/api/models").json()}
    assert [*models] == ["vae", "bridge", "generator", "tinted", "noisy", "swapper", "drawer", "sound"]
    assert models["bridge"]["operations"].keys() == {"translate"}
    assert models["bridge"]["domains"]["a"] == {
        "data": "folder:wide", "channels": 3, "height": 16, "width": 24, "classes": ["cat", "dog"], "rate": 0,
    }  # fmt: skip
    targets = models["bridge"]["operations"]["translate"]["targets"]
    assert [(t["to"], t["domain"], t["random"]) for t in targets] == [("a", "b", True), ("b", "a", True)]
    assert models["vae"]["operations"]["traverse"] == {"pictures": True, "seeds": True, "dims": 4}
    assert models["generator"]["operations"]["interpolate"] == {"pictures": False, "seeds": True}
    assert models["swapper"]["operations"]["swap"] == {"classes": ["cat", "dog"]}
    assert "top-left" in models["drawer"]["operations"]["complete"]["keep"]
    assert models["vae"]["paper"]["arxiv"] == "1312.6114"
    assert service.get("/api/models/vae").json() == models["vae"]
    made(service, "vae/generate")
    assert service.get("/api/models/vae").json()["batches"]["generate"] == 4
    assert "no model 'vea'; there are: vae" in refused(service.get("/api/models/vea"), 404)


def test_figures_are_those_that_evaluate_wrote(service: TestClient, folder: Path) -> None:
    found = {"seed": 0, "samples": {"fid": 1.5, "nothing": None, "endless": float("inf"), "provenance": {}}}
    write(folder / "vae" / "evaluation.json", json.dumps(found))
    assert service.get("/api/models/vae").json()["figures"] == {"samples": {"fid": 1.5}}


def test_health_and_figures_of_the_service(service: TestClient) -> None:
    assert service.get("/health").json() == {"status": "ok"}
    made(service, "vae/generate", draws=3)
    service.post("/api/models/vae/translate", json={"image": PNG})
    text = service.get("/metrics").text
    assert re.search(r'isthmus_requests_total\{model="vae",operation="generate",status="200"\} [1-9]', text)
    assert re.search(r'isthmus_requests_total\{model="vae",operation="translate",status="422"\} [1-9]', text)
    assert "isthmus_requests_inside 0.0" in text
    assert re.search(r"isthmus_batch_rows_sum [1-9]", text)


# --- what it makes


def test_a_picture_in_every_form_gives_the_same(service: TestClient) -> None:
    """As a file of a form, as base64, as a data URI; and out as JSON, as a file, as an event."""
    expected = made(service, "bridge/translate", image=PNG, to="b", seed=3)
    assert expected.keys() == {"to", "seed", "columns", "pictures"}
    (one,) = expected["pictures"]
    data = {"to": "b", "seed": "3"}
    sent = service.post("/api/models/bridge/translate", files={"image": png()}, data=data)
    assert sent.json() == expected
    assert made(service, "bridge/translate", image=f"data:image/png;base64,{PNG}", seed=3) == expected
    file = service.post(
        "/api/models/bridge/translate", files={"image": png()}, data=data, headers={"accept": "image/png"}
    )
    assert (file.headers["content-type"], file.headers["x-seed"]) == ("image/png", "3")
    assert np.array_equal(pixels(file.content), pixels(one["image"]))
    events = service.post(
        "/api/models/bridge/translate", files={"image": png()}, data=data, headers={"accept": "text/event-stream"}
    )
    last = events.text.strip().split("\n\n")[-1]
    assert json.loads(last.removeprefix("event: result\ndata: ")) == expected


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_other_formats_in_and_out(form: str, service: TestClient) -> None:
    kind = f"image/{form.lower()}"
    answer = service.post(
        "/api/models/vae/reconstruct", files={"image": png(form=form)}, headers={"accept": f"{kind};q=1, */*"}
    )
    assert answer.headers["content-type"] == kind
    with Image.open(io.BytesIO(answer.content)) as image:
        assert (image.format, image.size) == (form, (24, 16))


def test_results_are_those_of_the_command_line(service: TestClient, folder: Path) -> None:
    """The k-th draw with the seed + k is the one draw of that seed."""
    bridge, vae = isthmus.load(folder / "bridge", device="cpu"), isthmus.load(folder / "vae", device="cpu")
    picture = pixels(png())
    answer = made(service, "bridge/translate", image=PNG, to="b", seed=7, draws=3)
    for k, one in enumerate(answer["pictures"]):
        assert one["seed"] == 7 + k
        expected = bridge.translate(picture, "b", seed=7 + k)[..., 0]
        assert np.abs(pixels(one["image"]).astype(int) - expected).max() <= 1
    drawn = made(service, "vae/generate", seed=5, draws=2, temperature=0.5)["pictures"]
    expected = vae.sample(1, seed=6, temperature=0.5)[0].permute(1, 2, 0).add(1).mul(127.5).round().numpy()
    assert np.abs(pixels(drawn[1]["image"]).astype(int) - expected).max() <= 1
    code = made(service, "vae/encode", image=PNG)["code"]
    assert np.allclose(code, vae.encode(picture), atol=1e-4)
    way = made(service, "vae/interpolate", images=[PNG, in_base64(png(1))], steps=3)["pictures"]
    for one, frame in zip(way, vae.interpolate(picture, pixels(png(1)), steps=3), strict=True):
        assert np.abs(pixels(one["image"]).astype(int) - frame).max() <= 1


def test_a_style_comes_from_pictures(service: TestClient) -> None:
    """Turned colours, shifted by the mean of the styles, which are mean colours."""
    dark, bright = (np.full((16, 24, 3), value, np.uint8) for value in (64, 128))
    files = [in_base64(file_of(p)) for p in (dark, bright)]
    answer = made(service, "tinted/translate", image=in_base64(file_of(bright)), style=files)
    assert pixels(answer["pictures"][0]["image"])[0, 0, 0] == pytest.approx(127.5 + (96 - 127.5), abs=1.5)
    assert "no styles" in refused(service.post("/api/models/noisy/translate", json={"image": PNG, "style": [PNG]}), 422)


def file_of(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def test_classes_are_swapped(service: TestClient) -> None:
    answer = made(service, "swapper/swap", image=PNG)
    cat, dog = (pixels(one["image"]) for one in answer["pictures"])
    assert [one["class"] for one in answer["pictures"]] == ["cat", "dog"]
    assert (cat[0].max(), dog[0].min()) == (0, 255)
    assert np.array_equal(cat[1:], dog[1:])
    only = made(service, "swapper/swap", image=PNG, classes=["dog"], label="cat")["pictures"]
    assert [one["class"] for one in only] == ["dog"]


def test_dimensions_are_traversed(service: TestClient, folder: Path) -> None:
    answer = made(service, "vae/traverse", dims=["1", "2-3"], steps=3, seed=4)
    assert [one["dim"] for one in answer["pictures"]] == ["1"] * 3 + ["2-3"] * 2
    vae = isthmus.load(folder / "vae", device="cpu")
    code = vae.code_of(4)
    code[1] = 0  # the middle of three quantiles
    expected = vae.decode(code).permute(1, 2, 0).add(1).mul(127.5).round().numpy()
    assert np.abs(pixels(answer["pictures"][1]["image"]).astype(int) - expected).max() <= 1
    assert len(made(service, "swapper/traverse", dims=["0"], steps=2)["pictures"]) == 2  # from the middle


def test_the_rest_is_drawn_anew(service: TestClient) -> None:
    answer = made(service, "drawer/complete", image=PNG, keep="top", part=0.25, draws=2, seed=1)
    one, other = (pixels(p["image"]) for p in answer["pictures"])
    assert np.array_equal(one[:4], pixels(png())[:4])
    assert not np.array_equal(one[4:], other[4:])
    wrong = service.post("/api/models/drawer/complete", json={"image": PNG, "keep": "bottom"})
    assert "starts at the top left" in refused(wrong, 422)


def test_sounds_come_as_sounds(service: TestClient) -> None:
    answer = made(service, "sound/generate", draws=2, seed=1)
    assert all(one["image"].startswith("data:audio/wav;base64,UklGR") for one in answer["pictures"])
    wave = base64.b64decode(answer["pictures"][0]["image"].partition(",")[2])
    back = service.post("/api/models/sound/complete", files={"image": wave}, data={"keep": "left"})
    assert back.status_code == 200
    assert "sound" in refused(service.post("/api/models/sound/complete", files={"image": png()}), 422)
    odd = encode(np.zeros((1, 400, 1), np.uint8), 10**9)  # the filter of such a rate would fill the memory
    said = refused(service.post("/api/models/sound/complete", files={"image": odd}, data={"keep": "left"}), 422)
    assert "1,000,000,000 samples a second" in said


def test_several_pictures_are_a_sheet(service: TestClient) -> None:
    answer = service.post(
        "/api/models/vae/interpolate", json={"seeds": [1, 2, 3], "steps": 4}, headers={"accept": "image/png"}
    )
    assert pixels(answer.content).shape[1] > 4 * 24
    numbers = service.post("/api/models/vae/encode", json={"image": PNG}, headers={"accept": "image/png"})
    assert "application/json" in refused(numbers, 406)


# --- what it refuses


@pytest.mark.parametrize(
    ("address", "fields", "status", "sentence"),
    [
        ("vae/translate", {"image": PNG}, 422, "vae cannot translate; these can: .*latent-bridge"),
        ("bridge/generate", {}, 422, "latent-bridge cannot sample"),
        ("nobody/generate", {}, 404, "no model 'nobody'"),
        ("bridge/translate", {"image": PNG, "to": "c"}, 422, r"no domain 'c'.*a \(folder:wide\)"),
        ("bridge/translate", {}, 422, "image: Field required"),
        ("bridge/translate", {"image": "%%%"}, 422, "neither a file nor base64"),
        ("bridge/translate", {"image": in_base64(b"hello")}, 415, "no picture; send PNG, JPEG, WebP"),
        ("bridge/translate", {"image": in_base64(png()[:100])}, 422, "the picture cannot be decoded"),
        ("bridge/translate", {"image": in_base64(png(0, 101, 100))}, 413, "100x101 pixels, more than 10,000"),
        ("bridge/translate", {"image": PNG, "draws": 0}, 422, "draws: .*greater than or equal to 1"),
        ("bridge/translate", {"image": PNG, "draws": 65}, 422, "draws"),
        ("bridge/translate", {"image": PNG, "seed": -1}, 422, "seed"),
        ("bridge/translate", {"image": PNG, "path": "/etc/passwd"}, 422, "path: Extra inputs"),
        ("vae/generate", {"temperature": -1}, 422, "temperature"),
        ("vae/generate", {"temperature": "NaN"}, 422, "temperature: .*finite"),
        ("vae/generate", {"classes": ["dog"]}, 422, "draws from all classes at once"),
        ("vae/generate", {"classes": ["cow"]}, 422, "no class cow; the classes are cat, dog"),
        ("vae/interpolate", {"seeds": [1]}, 422, "two or more"),
        ("vae/interpolate", {"seeds": [1, 2], "images": [PNG, PNG]}, 422, "two or more"),
        ("vae/interpolate", {"seeds": [1, 2], "steps": 1}, 422, "steps"),
        ("generator/interpolate", {"images": [PNG, PNG]}, 422, "no codes of pictures; give seeds"),
        ("swapper/interpolate", {"seeds": [1, 2]}, 422, "no codes of seeds; give pictures"),
        ("vae/traverse", {"dims": ["4"]}, 422, "dimensions of 0 to 3"),
        ("vae/traverse", {"image": PNG, "seed": 1}, 422, "one code"),
        ("swapper/traverse", {"dims": ["0-1000", "0-100"]}, 422, "at most 1,024 pictures"),
        ("swapper/swap", {"image": PNG, "label": "cow"}, 422, "no class cow"),
    ],
)
def test_refusals_are_sentences(
    address: str, fields: dict[str, Any], status: int, sentence: str, service: TestClient
) -> None:
    assert re.search(sentence, refused(service.post(f"/api/models/{address}", json=fields), status))


def test_a_bomb_is_not_decoded(service: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file of many pixels is refused by its header alone."""
    monkeypatch.setattr("isthmus.apps.serve.limits.decode", lambda *_, **__: pytest.fail("it was decoded"))
    bomb = file_of(np.zeros((5000, 5000), np.uint8))
    assert len(bomb) < LIMITS.upload
    answer = service.post("/api/models/bridge/translate", files={"image": bomb}, data={"to": "b"})
    assert "5000x5000" in refused(answer, 413)


def test_an_upload_has_its_bound_also_without_a_length(service: TestClient) -> None:
    large = b"x" * (LIMITS.upload + 1)
    said = refused(service.post("/api/models/bridge/translate", files={"image": large}), 413)
    assert "200,000 bytes" in said
    parts = iter([large[: LIMITS.upload], large[:10]])
    chunked = service.post("/api/models/vae/generate", content=parts, headers={"content-type": "application/json"})
    assert refused(chunked, 413) == said
    assert service.get("/health").status_code == 200


def test_what_is_no_form_is_refused(service: TestClient) -> None:
    assert "multipart/form-data" in refused(service.post("/api/models/vae/generate", content=b"{}"), 415)
    headers = {"content-type": "application/json"}
    assert "Invalid JSON" in refused(service.post("/api/models/vae/generate", content=b"{", headers=headers), 422)
    headers = {"content-type": "multipart/form-data"}
    refused(service.post("/api/models/vae/generate", content=b"{", headers=headers), 400)
    assert service.get("/nothing").json() == {"error": "Not Found"}
    assert service.get("/api/models/vae/generate").status_code == 405


def test_an_error_of_the_models_own_is_told_to_nobody(service: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("/home/somebody/secret")

    monkeypatch.setattr(Noisy, "translate", broken)
    said = refused(service.post("/api/models/noisy/translate", json={"image": PNG}), 500)
    assert said == "the service failed at this; its log says why"
    monkeypatch.undo()
    made(service, "noisy/translate", image=PNG)


def test_a_full_house_says_when_to_come_again(service: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Queue, "place", full)
    answer = service.post("/api/models/vae/generate", json={})
    assert "try again in" in refused(answer, 429)
    assert int(answer.headers["retry-after"]) >= 1


def full(queue: Queue) -> Any:
    queue.inside, before = queue.requests, queue.inside
    try:
        return PLACE(queue).__enter__()
    finally:
        queue.inside = before


PLACE = Queue.place

# --- who may come in


def test_a_token_is_asked_for(folder: Path) -> None:
    with client([folder / "vae"], token="sesame") as service:
        for path in ("/api/models", "/metrics", "/api/openapi.json"):
            assert "token" in refused(service.get(path), 401)
            assert service.get(path, headers={"authorization": "Bearer sesam"}).status_code == 401
            assert service.get(path, headers={"authorization": "Bearer sesame"}).status_code == 200
        assert service.get("/").status_code == service.get("/health").status_code == 200  # which tell nothing


def test_other_hosts_and_other_pages_are_sent_away(folder: Path) -> None:
    with client([folder / "vae"], hosts={"testserver"}) as service:
        assert service.get("/api/models").status_code == 200
        refused(service.get("/api/models", headers={"host": "evil.example"}), 403)
        refused(service.post("/api/models/vae/generate", json={}, headers={"origin": "http://evil.example"}), 403)
        own = service.post("/api/models/vae/generate", json={}, headers={"origin": "http://testserver"})
        assert own.status_code == 200


def test_the_page_brings_all_it_needs(service: TestClient) -> None:
    """Every address in it is its own, and is there; the browser is told to take nothing else."""
    html = service.get("/")
    assert "default-src 'none'" in html.headers["content-security-policy"]
    todo, seen = ["/page/app.js", "/page/style.css"], set[str]()
    assert all(f'"{name[1:]}"' in html.text for name in todo)
    while todo:
        name = todo.pop()
        text = service.get(name).raise_for_status().text
        seen.add(name)
        todo += {f"/page/{found}" for found in re.findall(r'from "\./([\w.]+)"', text)} - seen
        assert not re.search(r"https?://(?!www\.w3\.org)|@import|url\(", text), name
    assert len(seen) > 8


# --- files


@pytest.mark.parametrize(
    "path",
    [
        "/api/models/..%2Fvae",
        "/api/models/vae/examples/..%2F..%2Fconfig.json",
        "/api/models/vae/training/samples/..%2F..%2Fconfig.json",
        "/page/..%2Fapp.py",
        "/page/../app.py",
    ],
)
def test_no_request_names_a_file(path: str, service: TestClient) -> None:
    answer = service.get(path)
    assert answer.status_code in (404, 422)
    assert "import" not in answer.text


def test_training_is_told_as_it_goes_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    save_vae(run, run={"steps": 40})
    (run / "samples").mkdir()
    for step in (10, 20):
        write(run / "samples" / f"step-{step:08d}.png", png(step))
    write(run / "samples" / "step-secret.png", b"secret")
    log = run / "metrics.jsonl"
    log.write_text('{"step": 10, "vae/kl": 2.5}\n{"step": 20, "vae/kl": NaN}\n{"step": 30, "va')
    with client([run]) as service:
        found = service.get("/api/models/run/training").json()
        assert found["rows"] == [{"step": 10, "vae/kl": 2.5}, {"step": 20, "vae/kl": None}]
        assert (found["steps"], found["samples"], found["live"]) == (40, [10, 20], True)
        with log.open("a") as file:
            file.write('e/kl": 1}\n')
        more = service.get(f"/api/models/run/training?after={found['next']}").json()
        assert more["rows"] == [{"step": 30, "vae/kl": 1}]
        assert service.get(f"/api/models/run/training?after={more['next']}").json()["rows"] == []
        assert service.get("/api/models/run/training/samples/20").content == png(20)
        assert "no sample of step 30" in refused(service.get("/api/models/run/training/samples/30"), 404)
    log.write_text('{"step": 1}\n')  # a new training in the same folder
    assert logged(log, more["next"]) == ([{"step": 1}], 12)


def test_a_run_without_weights_shows_its_training_until_it_has_some(tmp_path: Path) -> None:
    run = save_vae(tmp_path / "young", run={"steps": 10})
    weights = (run / "model.safetensors").read_bytes()
    (run / "model.safetensors").unlink()
    with client([run]) as service:
        assert service.get("/api/models").json()[0]["ready"] is False
        assert "still being trained" in refused(service.post("/api/models/young/generate", json={}), 409)
        assert service.get("/api/models/young/training").json()["steps"] == 10
        write(run / "model.safetensors", weights)
        assert service.get("/api/models/young").json()["ready"] is True
        assert service.post("/api/models/young/generate", json={}).status_code == 200


def test_test_images_are_offered(tmp_path: Path) -> None:
    """Of the data that the run names; a domain without data offers none."""
    data = {"data": ["digits:0-1", "folder:/nowhere"]}
    run = save_bridge(tmp_path / "bridge", a=Spec(1, 8, 8, ("0", "1"), "digits:0-1"), data=data)
    assert "data" in read_config(run)
    with client([save_vae(tmp_path / "vae", Spec(1, 8, 8, ("0", "1")), data={"data": ["digits:0-1"]}), run]) as service:
        found = service.get("/api/models/vae/examples/a").json()
        assert len(found) == 12
        assert pixels(found[0]).shape == (8, 8)
        assert service.get("/api/models/bridge/examples/b").json() == []
        assert "domains are a" in refused(service.get("/api/models/vae/examples/z"), 404)


# --- the command


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in (
        ([], "needs RUN"),
        ([str(tmp_path)], "no config.json"),
        (["run", "--port", "70000"], "--port is a number"),
        (["run", "--batch", "0"], "--batch must be at least 1"),
        (["run", "--token", "ä b"], "letters and digits"),
    ):
        assert main(["serve", *arguments]) == 2
        assert said in capsys.readouterr().err


def test_the_program_serves_until_it_is_stopped(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "isthmus", "serve", str(folder / "vae"), "--port", "0", "--token", "sesame"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout
        assert program.stderr
        said = program.stdout.readline()
        found = re.match(r"The page is at (http://127\.0\.0\.1:(\d+)/)#token=sesame; Ctrl-C ends it\.", said)
        assert found, said
        assert httpx.get(found[1] + "health").json() == {"status": "ok"}
        models = httpx.get(found[1] + "api/models", headers={"authorization": "Bearer sesame"}).json()
        assert [model["name"] for model in models] == ["vae"]
        assert main(["serve", str(folder / "vae"), "--port", found[2]]) == 2
        assert "give another --port" in capsys.readouterr().err
        program.send_signal(signal.SIGINT)
        assert program.wait(30) == 0
        assert program.stderr.read() == ""


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    runs = [save_vae(tmp_path / part / "vae") for part in "ab"]
    with client(runs) as service:
        assert [model["name"] for model in service.get("/api/models").json()] == ["vae", "vae-2"]
    assert not torch.is_inference_mode_enabled()
