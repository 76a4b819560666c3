"""The description of the service is true, and nothing that a request may hold breaks it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle
from typing import Any

import pytest

from serve_helpers import at_port, in_base64, png, standing
from tiny_models import WIDE, RowDrawer, RowSwapper, Tinted, save_bridge, save_vae

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis")

from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis.errors import Unsatisfiable  # noqa: E402
from schemathesis.specs.openapi import checks  # noqa: E402

BOUNDED = settings(
    max_examples=25, deadline=None, database=None, derandomize=True, suppress_health_check=[*HealthCheck]
)
CHANCE = cycle((True, True, True, False, True))
PICTURE = in_base64(png())
MODELS = cycle(("vae", "bridge", "tinted", "swapper", "drawer"))
LAWS = (
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
)


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The service as it describes itself."""
    root = tmp_path_factory.mktemp("fuzzed")
    runs = [save_vae(root / "vae"), save_bridge(root / "bridge")]
    duties = [
        standing("tinted", Tinted().build(WIDE, WIDE), root),
        standing("swapper", RowSwapper().build(WIDE), root),
        standing("drawer", RowDrawer().build(WIDE), root),
    ]
    with at_port(runs, duties=duties, batch=4) as address:
        yield schemathesis.openapi.from_url(address + "api/openapi.json")


def test_no_request_breaks_it(described: Any) -> None:
    """To models that are there and with whole pictures, mostly: else they would be turned away at the door."""
    statuses: Counter[int] = Counter()

    def hold(case: Any) -> None:
        if "model" in case.path_parameters and next(CHANCE):
            case.path_parameters["model"] = next(MODELS)
        for name in ("image", "images", "style"):
            if isinstance(case.body, dict) and name in case.body and next(CHANCE):
                case.body[name] = PICTURE if name == "image" else [PICTURE] * 2
        answer = case.call(timeout=20)
        statuses[answer.status_code] += 1
        case.validate_response(answer, checks=LAWS)

    for operation in described.get_all_operations():
        for kind in schemathesis.GenerationMode:  # sensible requests, and senseless ones
            cases = operation.ok().as_strategy(generation_mode=kind)
            with suppress(Unsatisfiable):  # where nothing is asked, nothing can be senseless
                BOUNDED(given(cases)(hold))()
    assert {200, 404, 422} <= statuses.keys()
    assert max(statuses) < 500


def test_every_operation_is_described(described: Any) -> None:
    found = {operation.ok().label for operation in described.get_all_operations()}
    assert {"GET /health", "GET /metrics", "GET /api/models", "POST /api/models/{model}/translate"} <= found
    assert len(found) == 15
