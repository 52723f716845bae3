from __future__ import annotations

import asyncio

import httpx
import pytest

from dozor.infra.metrics import Figure, Measured, Metrics
from dozor.infra.server import Receive, Scope, Send, answer


def test_figures_are_asked_for_at_each_scrape() -> None:
    metrics, lines = Metrics(), [1.0]
    metrics.ask(
        lambda: [
            Figure("dozor_ingest_lines", "Lines.", "counter", {("a.log",): lines[0]}, ("source",)),
            Figure("dozor_ingest_lag_seconds", "Lag.", "gauge", {(): 2.5}),
        ]
    )
    assert b'dozor_ingest_lines_total{source="a.log"} 1.0\n' in metrics.text()
    lines[0] = 7
    text = metrics.text()
    assert b'dozor_ingest_lines_total{source="a.log"} 7.0\n' in text
    assert b"dozor_ingest_lag_seconds 2.5\n" in text
    assert b"process_resident_memory_bytes " in text
    assert b"_created" not in text


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("/api/traffic/summary", "/api/traffic"),
        ("/api/x", "/api"),
        ("/apiary", "/"),
        ("/", "/"),
        ("/health", "/health"),
    ],
)
def test_requests_are_counted_by_part_and_not_by_path(path: str, part: str) -> None:
    metrics = Metrics()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await answer(send, 404, b"")

    async def main() -> None:
        measured = Measured(app, metrics, ("/api", "/api/traffic", "/health"))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(measured), base_url="http://a") as client:
            await client.get(path)

    asyncio.run(main())
    wanted = f'dozor_http_request_duration_seconds_count{{method="GET",part="{part}",status="404"}} 1.0\n'
    assert wanted.encode() in metrics.text()
