"""Requests in one batch: nobody gets another's picture, and nobody can tell in whose company it was made."""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from torch import Tensor

import tiny
from isthmus.apps.serve.queue import Job, Queue, Ticket
from isthmus.apps.serve.rows import ByRow, Function, NotByRowError, Row, batch_size, run, turned
from isthmus.apps.trained import Trained
from isthmus.core import Completes, Decodes, Describes, Encodes, Samples, Styles, Translates
from isthmus.core import operations as on_codes
from isthmus.core.steps import steps
from isthmus.errors import DataError
from isthmus.models.catalog import catalog
from isthmus.training.draws import drawing, shown
from serve_helpers import at_port, client, in_base64, pixels, png, standing
from tiny_models import WIDE, RowDrawer, save_bridge, save_vae

CPU = torch.device("cpu")
SIZE = 4

# --- rows


def functions(trained: Trained) -> Iterator[tuple[Function, Row]]:
    """What the service asks of a model, each with a row for it."""
    model: Any = trained.model
    image = torch.linspace(-1, 1, 12 * 10).sin().view(1, 12, 10)
    if isinstance(model, Translates):
        for to in model.targets:
            yield partial(model.translate, to=to), (image,)
            if isinstance(model, Styles):
                yield (
                    lambda batch, style, to=to: model.restyle(batch, to, style),
                    (image, model.style(image[None], to)[0]),
                )
    if isinstance(model, Samples):
        yield lambda given: shown(model, len(given)), (torch.zeros(()),)
        yield lambda given: shown(model, len(given), given, 0.7), (torch.tensor(1),)
    if isinstance(model, Encodes):
        yield model.encode, (image,)
    if isinstance(model, Decodes):
        yield model.decode, (torch.randn(on_codes.code_size(model)),)
    if isinstance(model, Describes):
        yield model.describe, (image,)
    if isinstance(model, Completes):
        yield partial(model.complete, known=trained.kept()), (image,)


@torch.no_grad()
@pytest.mark.parametrize("name", catalog())
def test_no_row_can_tell_its_company(name: str) -> None:
    """To the last bit; and it draws what it draws alone, so that only rounding differs from that."""
    trained = Trained(tiny.built(name), {}, "cpu")
    for function, row in functions(trained):
        assert batch_size(function, row, SIZE, CPU) == SIZE
        alone = run(function, [row], [5], 1, CPU)[0]
        filled = run(function, [row], [5], SIZE, CPU)[0]
        others = [tuple(turned(part, i) for part in row) for i in (1, 2)]
        among = run(function, [others[0], row, others[1]], [8, 5, 9], SIZE, CPU)[1]
        assert torch.equal(filled, among)
        assert torch.allclose(alone, filled, atol=1e-4)


def test_each_row_draws_as_if_it_were_alone() -> None:
    seeds = [3, 1, 4]

    def draws(n: int) -> list[Tensor]:
        given = torch.full((n, 2), 0.5)
        return [
            torch.randn(n, 3), torch.randn((n, 3)), torch.rand_like(given), torch.randint(9, (n, 2)),
            torch.bernoulli(given), torch.multinomial(given, 1), torch.empty(n, 2).normal_(),
            torch.nn.functional.dropout(given, 0.5, True), torch.normal(given, given),
        ]  # fmt: skip

    with drawing(0, CPU), ByRow(seeds, 3, CPU):
        together = draws(3)
    for i, seed in enumerate(seeds):
        with drawing(seed, CPU):
            for one, whole in zip(draws(1), together, strict=True):
                assert torch.equal(one[0], whole[i])


def test_what_cannot_be_told_apart_runs_alone() -> None:
    """One draw for all, draws behind the back of the mode, and rows that know each other."""
    row = (torch.linspace(-1, 1, 6),)
    hidden = lambda batch: batch + torch.empty(batch.shape).exponential_()  # noqa: E731
    for function in (
        lambda batch: batch + torch.randn(()),
        lambda batch: batch + torch.randn(7, 6)[: len(batch)],
        hidden,
        lambda batch: batch - batch.mean(0),
    ):
        assert batch_size(function, row, SIZE, CPU) == 1
        assert torch.equal(run(function, [row], [3], 1, CPU), run(function, [row], [3], 1, CPU))
    for draw in (lambda: torch.rand(()), lambda: torch.empty(2).exponential_()):
        with pytest.raises(NotByRowError), drawing(0, CPU), ByRow([1, 2], 2, CPU):
            draw()


def test_a_large_convolution_runs_alone_on_a_processor() -> None:
    small, large = torch.nn.Conv2d(1, 2, 3), torch.nn.ConvTranspose2d(16, 16, 3)
    with torch.no_grad():
        assert batch_size(small, (torch.rand(1, 8, 8),), SIZE, CPU) == SIZE
        assert batch_size(large, (torch.rand(16, 64, 64),), SIZE, CPU) == 1
        assert batch_size(small, (torch.rand(1, 8, 8),), 1, CPU) == 1


# --- the queue


class Held:
    """A function of a model that waits until it may go on, and keeps what it was given."""

    def __init__(self) -> None:
        self.go, self.seen = threading.Event(), list[list[float]]()

    def __call__(self, batch: Tensor) -> Tensor:
        self.seen.append(batch.flatten().tolist())
        assert self.go.wait(20)
        return 2 * batch


def job(kind: str, function: Function, values: Sequence[float]) -> Job:
    return Job(kind, None, function, [(torch.tensor([v]),) for v in values], [*range(len(values))], CPU, Ticket())


@pytest.fixture
def queue() -> Iterator[Queue]:
    made = Queue(most=4)
    made.sizes |= {"double": 4, "other": 4, "single": 1}
    yield made
    made.close()


def put(queue: Queue, *jobs: Job) -> None:
    with queue.changed:
        queue.jobs.extend(jobs)
        queue.changed.notify()


def test_those_that_wait_together_run_together_and_take_turns(queue: Queue) -> None:
    held = Held()
    held.go.set()
    long, other, short = job("double", held, range(6)), job("other", held, [50]), job("double", held, [90])
    put(queue, long, other, short)
    queue.start()
    assert long.future.result(20).flatten().tolist() == [0, 2, 4, 6, 8, 10]
    assert short.future.result(20).tolist() == [[180]]
    assert other.future.result(20).tolist() == [[100]]
    assert held.seen == [[0, 1, 2, 3], [50] * 4, [90, 4, 5, 5]]  # the short one had not to wait for the end of the long


def test_what_is_given_up_ends(queue: Queue) -> None:
    held = Held()
    first, second, third = (job("single", held, [k, k]) for k in (1, 2, 3))
    put(queue, first, second, third)
    queue.start()
    while not held.seen:
        time.sleep(0.01)
    first.future.cancel()  # in the midst of its first row
    second.future.cancel()  # before
    held.go.set()
    assert third.future.result(20).tolist() == [[6], [6]]
    assert held.seen == [[1], [3], [3]]


def test_a_long_loop_inside_a_model_tells_how_far_it_is_and_can_be_given_up(queue: Queue) -> None:
    reached, shares = threading.Event(), list[float]()

    def slow(batch: Tensor) -> Tensor:
        for k in steps(range(1000), "rows"):
            shares.append(given_up.ticket.share)
            if k == 500:
                reached.set()
            time.sleep(0.001)
        return batch

    given_up = job("single", slow, [1.0])
    given_up.ticket.total = 1
    put(queue, given_up)
    queue.start()
    assert reached.wait(20)
    given_up.future.cancel()
    after = job("double", lambda batch: batch, [1.0])
    put(queue, after)
    after.future.result(20)
    assert 500 < len(shares) < 1000
    assert shares == sorted(shares)
    assert shares[500] == pytest.approx(0.5)


def test_the_trial_can_be_given_up_too(queue: Queue) -> None:
    reached = threading.Event()

    def slow(batch: Tensor) -> Tensor:
        for _ in steps(range(2000), "rows"):
            reached.set()
            time.sleep(0.01)
        return batch

    first, after = job("new", slow, [1.0]), job("double", lambda batch: batch, [1.0])
    put(queue, first, after)
    queue.start()
    assert reached.wait(20)
    first.future.cancel()
    assert after.future.result(10).tolist() == [[1]]
    assert "new" not in queue.sizes


def test_what_turns_out_late_to_draw_for_all_runs_alone(queue: Queue) -> None:
    """The trial was made with settings that left out the draw."""
    draws = lambda batch: batch + torch.rand(())  # noqa: E731
    made = job("double", draws, [0.0, 0.0, 0.0])
    put(queue, made)
    queue.start()
    found = made.future.result(20).flatten().tolist()
    assert queue.sizes["double"] == 1
    for seed in range(3):
        with drawing(seed, CPU):
            assert found[seed] == float(torch.rand(()))


def test_nobody_suffers_for_anothers_error(queue: Queue) -> None:
    def picky(batch: Tensor) -> Tensor:
        if batch.min() < 0:
            raise DataError("a number is negative")
        return batch + 1

    good, bad, fine = job("double", picky, [1.0]), job("double", picky, [-1.0]), job("double", picky, [2.0, 3.0])
    put(queue, good, bad, fine)
    queue.start()
    assert good.future.result(20).tolist() == [[2]]
    assert fine.future.result(20).tolist() == [[3], [4]]
    with pytest.raises(DataError, match="negative"):
        bad.future.result(20)
    assert queue.thread.is_alive()


# --- the service


class SlowDrawer(RowDrawer):
    """Takes a while for every row of its pictures."""

    def rows(self, image: Tensor, known: Tensor, temperature: float) -> Tensor:
        for _ in steps(range(200), "slowly"):
            time.sleep(0.01)
        return super().rows(image, known, temperature)


def test_hanging_up_cancels_and_events_tell_of_progress(tmp_path: Path) -> None:
    duty = standing("slow", RowDrawer().build(WIDE), tmp_path)
    duty.trained.model.__class__ = SlowDrawer  # type: ignore[union-attr]
    with at_port([], batch=1, duties=[duty]) as address:
        place = urlsplit(address).netloc
        events = http.client.HTTPConnection(place, timeout=20)
        headers = {"Accept": "text/event-stream", "Content-Type": "application/json"}
        events.request("POST", "/api/models/slow/generate", json.dumps({"draws": 30}), headers)
        answer = events.getresponse()
        shares = [json.loads(line[6:])["done"] for line in read_lines(answer, 9) if line.startswith(b"data: ")]
        assert shares == sorted(shares)
        assert 0 < shares[-1] < 1
        plain = http.client.HTTPConnection(place, timeout=20)
        plain.request("POST", "/api/models/slow/generate", json.dumps({}), {"Content-Type": "application/json"})
        time.sleep(0.3)
        assert inside(place) == 2
        answer.close()
        events.close()
        plain.close()
        for _ in range(100):
            if inside(place) == 0:
                break
            time.sleep(0.05)
        assert inside(place) == 0


def read_lines(answer: http.client.HTTPResponse, count: int) -> list[bytes]:
    return [answer.readline() for _ in range(count)]


def inside(place: str) -> float:
    connection = http.client.HTTPConnection(place, timeout=20)
    connection.request("GET", "/metrics")
    found = re.search(r"^isthmus_requests_inside ([\d.]+)$", connection.getresponse().read().decode(), re.MULTILINE)
    connection.close()
    assert found
    return float(found[1])


def test_sixteen_clients_get_each_their_own(tmp_path: Path) -> None:
    """Many at once, of two models and three operations: every answer is, byte for byte, that of a quiet service."""
    runs = [save_vae(tmp_path / "vae"), save_bridge(tmp_path / "bridge")]
    questions = [
        *(
            ("bridge/translate", {"image": in_base64(png(k)), "to": "b", "seed": k, "draws": 1 + k % 3})
            for k in range(8)
        ),
        *(("vae/generate", {"seed": k, "draws": 1 + k % 4}) for k in range(8)),
        *(("vae/interpolate", {"images": [in_base64(png(k)), in_base64(png(k + 1))], "steps": 5}) for k in range(4)),
    ]
    with client(runs, batch=8) as quiet:
        expected = [quiet.post(f"/api/models/{where}", json=fields).json() for where, fields in questions]
        alone = together(quiet.get("/metrics").text)
    assert len({json.dumps(answer) for answer in expected}) == len(questions)
    with at_port(runs, batch=8) as address, ThreadPoolExecutor(16) as pool:
        place = urlsplit(address).netloc
        order = [k for _ in range(10) for k in range(len(questions))]
        answers = [*pool.map(lambda k: ask(place, *questions[k]), order)]
        assert answers == [expected[k] for k in order]
        busy = together(metrics(place))
    assert busy > 1.3 * alone


def together(text: str) -> float:
    """Rows in a batch, on average."""
    count, rows = (float(re.findall(rf"isthmus_batch_rows_{what} ([\d.]+)", text)[0]) for what in ("count", "sum"))
    return rows / count


def ask(place: str, where: str, fields: dict[str, Any]) -> Any:
    connection = http.client.HTTPConnection(place, timeout=60)
    connection.request("POST", f"/api/models/{where}", json.dumps(fields), {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def metrics(place: str) -> str:
    connection = http.client.HTTPConnection(place, timeout=60)
    connection.request("GET", "/metrics")
    return connection.getresponse().read().decode()


def test_a_restart_changes_no_byte(tmp_path: Path) -> None:
    run = save_vae(tmp_path / "vae")
    answers = []
    for draws in (1, 5):
        with client([run]) as service:
            found = service.post("/api/models/vae/generate", json={"seed": 9, "draws": draws}).json()
            answers.append(found["pictures"][0])
    assert answers[0] == answers[1]
    assert np.ptp(pixels(answers[0]["image"])) > 20
