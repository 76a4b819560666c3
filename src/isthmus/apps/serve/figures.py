"""Figures of the service for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from isthmus.apps.serve.queue import Queue

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Figures:
    """Counts what the service does; each service has its own."""

    media_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self, queue: Queue) -> None:
        self.registry = registry = CollectorRegistry()
        labels = ("model", "operation", "status")
        self.requests = Counter("isthmus_requests", "Requests by their status", labels, registry=registry)
        self.seconds = Histogram(
            "isthmus_request_seconds", "From request to answer", labels[:2], buckets=SECONDS, registry=registry
        )
        self.rows = Histogram(
            "isthmus_batch_rows", "Rows that ran together", buckets=(1, 2, 4, 8, 16, 32, 64), registry=registry
        )
        self.batch = Histogram("isthmus_batch_seconds", "Of a batch", buckets=SECONDS, registry=registry)
        inside = Gauge("isthmus_requests_inside", "Requests that run or wait", registry=registry)
        inside.set_function(lambda: queue.inside)
        queue.observe = self.ran

    def request(self, model: str, operation: str, status: int, seconds: float) -> None:
        self.requests.labels(model, operation, str(status)).inc()
        self.seconds.labels(model, operation).observe(seconds)

    def ran(self, rows: int, seconds: float) -> None:
        self.rows.observe(rows)
        self.batch.observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry)
