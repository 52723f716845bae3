"""Figures about the running process in Prometheus' text form.

What counts by itself (requests of our own server) is counted here; what others know (lines, lag) is asked
for at each scrape, so that they need not know Prometheus.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from dozor.infra.server import Asgi, Message, Receive, Scope, Send

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Figure:
    """One named figure at this moment.

    Args:
        name: As Prometheus wants it, `dozor_<thing>_<unit>`; a counter without its `_total`.
        help: One sentence.
        kind: A `counter` only grows, a `gauge` goes up and down.
        samples: Label values to value; the empty tuple when there are no labels.
        labels: Names of the labels.
    """

    name: str
    help: str
    kind: Literal["counter", "gauge"]
    samples: dict[tuple[str, ...], float] = field(default_factory=dict)
    labels: tuple[str, ...] = ()


Figures = Callable[[], Iterable[Figure]]


class _Asked(Collector):
    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing is known before the first scrape; without this, registering would ask already."""
        return iter(())

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        for figure in self._figures():
            family_of = CounterMetricFamily if figure.kind == "counter" else GaugeMetricFamily
            family = family_of(figure.name, figure.help, labels=figure.labels)
            for values, number in figure.samples.items():
                family.add_metric(values, number)
            yield family


class Metrics:
    """All figures of one process, the standard ones of `process_*` and `python_*` included."""

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, hardly read
        self._registry = CollectorRegistry()
        for standard in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
            self._registry.register(standard)
        self.requests = Histogram(
            "dozor_http_request_duration_seconds",
            "Time until the last byte of an answer.",
            ("method", "part", "status"),
            buckets=_BUCKETS,
            registry=self._registry,
        )

    def ask(self, figures: Figures) -> None:
        """Ask for these figures at each scrape; the call must be quick and safe in any thread."""
        self._registry.register(_Asked(figures))

    def text(self) -> bytes:
        """Everything as text, for an answer of `content_type`."""
        return generate_latest(self._registry)


class Measured:
    """Times the answers of an application, by its parts: `/api/v1/traffic`, `/static`, `/health`.

    Paths are cut to their part, since a label of all paths would grow without end.
    """

    def __init__(self, app: Asgi, metrics: Metrics, parts: Iterable[str]) -> None:
        self._app = app
        self._requests = metrics.requests
        self._parts = tuple(sorted(parts, key=len, reverse=True))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and note how long it took."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        started = time.perf_counter()

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            path: str = scope["path"]
            part = next((part for part in self._parts if path == part or path.startswith(part + "/")), "/")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            took = time.perf_counter() - started
            self._requests.labels(method, part, str(status)).observe(took)


_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
