"""The API over both stores says what `dozor report --json` says of the same lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from dozor.app.pipeline import build_pipeline
from dozor.app.settings import Settings
from dozor.features.traffic.adapters.json import to_json
from dozor.features.traffic.adapters.spill_memory import InMemorySpill
from dozor.features.traffic.core.filters import read_filters
from dozor.features.traffic.model import Chunk, Delivery
from dozor.features.traffic.service import Pipeline, records_in_order, report
from tests.contract.traffic.served import STORES, opened, serve

NAME = "/var/log/nginx/access.log"
NOW = datetime(2026, 11, 23, tzinfo=UTC)

_CLIENTS = ("8.8.8.8", "77.88.8.8", "10.0.0.7", "2001:4860:4860::8888")
_TARGETS = (
    "/",
    "/shop?item=7",
    "/login",
    "/img/a%20b.png",
    "/?id=1%27%20UNION%20SELECT%20password%20FROM%20users--%20",
    "/../../../../etc/passwd",
    "/q?s=<script>alert(1)</script>",
    "/wp-login.php",
)
_AGENTS = ("Mozilla/5.0 (X11; Linux x86_64) Firefox/133.0", "curl/8.11", "-", "sqlmap/1.8")
_STATUSES = (200, 200, 304, 404, 500)


def log_text() -> bytes:
    """Some hundred lines with everything that a summary tells: attacks, errors, junk and no requests."""
    lines = [
        f"{_CLIENTS[n % 4]} - - [22/Nov/2026:{n // 60:02}:{n % 60:02}:{n % 59:02} +0000] "
        f'"GET {_TARGETS[n * n % 8]} HTTP/1.1" {_STATUSES[n % 5]} {n * 37} "-" "{_AGENTS[n // 3 % 4]}"'
        for n in range(600)
    ]
    lines[100] = "this is no line of a log"
    lines[200] = f'{_CLIENTS[0]} - - [99/Nov/2026:03:20:00 +0000] "GET / HTTP/1.1" 200 1 "-" "-"'
    lines[300] = f'{_CLIENTS[0]} - - [22/Nov/2026:05:00:00 +0000] "\\x16\\x03" 400 0 "-" "-"'
    return ("\n".join(lines) + "\n").encode()


class TextLog:
    """A log in memory."""

    name = NAME

    def chunks(self) -> Iterator[Chunk]:
        yield Chunk(log_text(), 0, 1)


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return build_pipeline(Settings())


@pytest.fixture(scope="module", params=STORES)
def url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, pipeline: Pipeline
) -> Iterator[str]:
    with opened(request.param, tmp_path_factory.mktemp("events")) as store:
        for number, run in enumerate(records_in_order(TextLog(), pipeline)):
            store.insert(
                Delivery(NAME, f"token-{number}", records=run.records, rejects=run.rejects, format="combined")
            )
        with serve(store) as url:
            yield url


@pytest.mark.parametrize(
    ("query", "typed"),
    [
        ("", ()),
        ("since=2026-11-22T03:00&until=2026-11-22T05:30", ("2026-11-22T03:00", "2026-11-22T05:30")),
        ("where=status >= 400&country=US", (None, None, ["status >= 400", "country = US"])),
        ("where=path ~ ^/(login|shop)", (None, None, ["path ~ ^/(login|shop)"])),
        ("attack=true", (None, None, ["attack = true"])),
        ("since=2026-12-01", ("2026-12-01",)),
    ],
)
def test_the_summary_has_the_fields_and_numbers_of_the_report(
    url: str, pipeline: Pipeline, query: str, typed: tuple[Any, ...]
) -> None:
    summary = report(
        [TextLog()],
        pipeline,
        spill=InMemorySpill(),
        memory_budget=1 << 26,
        filters=read_filters(*typed, now=NOW),
    )
    expected = json.loads(to_json(summary))
    told = httpx.get(f"{url}/api/v1/traffic/summary?{query}", timeout=30, trust_env=False).json()
    assert told.pop("elapsed_seconds") >= 0
    expected.pop("elapsed_seconds")
    assert told == expected
