"""The API on a real server of loopback, over queries that a test brings."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import uvicorn
from fastapi import APIRouter, FastAPI

from dozor.app.api import api_routers
from dozor.features.traffic.adapters.store_clickhouse import ClickHouseStore, open_store
from dozor.features.traffic.model import (
    CountedRow,
    Coverage,
    Dimension,
    ErrorGroup,
    Filters,
    FindingRow,
    Measure,
    Page,
    Reject,
    Series,
    SourceState,
    SourceStatus,
    Split,
    Summary,
    Timeline,
    TopList,
    Totals,
)
from dozor.features.traffic.ports import TrafficQueries, Watch
from dozor.infra import problems
from dozor.infra.queries import QueryPool
from dozor.infra.server import bind
from dozor.testing import InMemoryRecordStore
from tests.unit.traffic import records, summaries

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def row(number: int = 7) -> dict[str, Any]:
    """A line as the store gives it."""
    (record,) = records.batch([records.attack("sqli", line=number, ts=NOON)]).to_pylist()
    return {**record, "id": f"a-{number}", "source": "/var/log/nginx/access.log"}


ERROR_LINE: dict[str, Any] = {
    "source": "/var/log/nginx/error.log",
    "line": 1,
    "line_offset": 0,
    "ts": NOON,
    "level": "error",
    "pid": 1,
    "tid": 1,
    "connection": None,
    "message": "open() failed",
    **dict.fromkeys(("client", "server", "request", "upstream", "host", "referrer"), ""),
}

FINDING = FindingRow(
    fingerprint="0123456789abcdef",
    attack_class="sqli",
    client="192.0.2.1",
    country="DE",
    severity="high",
    score=0.9,
    requests=3,
    first=NOON,
    last=NOON,
    status={"200": 3},
    rules=("sqli-union",),
    example="GET /?id=1",
    where="query:id",
    decoded="1 union select",
    matched="union select",
    rule="sqli-union",
)

STATUS = SourceStatus(
    name="/var/log/nginx/access.log",
    format="combined",
    state=SourceState.FOLLOWING,
    reason="",
    lag_bytes=0,
    lag_seconds=0.0,
    lines=12,
    rejected=1,
    last_event=NOON,
)


@dataclass
class FakeQueries:
    """Answers each question with one made-up answer, or as its script says; notes what it was asked."""

    script: dict[str, Callable[..., Any]] = field(default_factory=dict)
    asked: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)

    def _answer(self, name: str, default: Any, *arguments: Any, **named: Any) -> Any:
        self.asked.append((name, arguments, named))
        scripted = self.script.get(name) or self.script.get("*")
        return scripted(*arguments, **named) if scripted else default

    @property
    def last(self) -> Any:
        """The last question: its name, its arguments, and the named ones."""
        return self.asked[-1]

    @property
    def scope(self) -> Filters:
        """What the last question was about."""
        scope = self.asked[-1][1][0]
        assert isinstance(scope, Filters)
        return scope

    def coverage(self) -> Coverage:
        default = Coverage(12, NOON - timedelta(days=1), NOON, 1, 2)
        return self._answer("coverage", default)  # type: ignore[no-any-return]

    def summary(self, scope: Filters, *, top: int = 10, watch: Watch | None = None) -> Summary:
        return self._answer("summary", summaries.busy(), scope, top=top, watch=watch)  # type: ignore[no-any-return]

    def totals(self, scope: Filters, *, watch: Watch | None = None) -> Totals:
        return self._answer("totals", Totals(14, 5, 1400, 1, 1, 0, 2), scope, watch=watch)  # type: ignore[no-any-return]

    def timeline(
        self,
        scope: Filters,
        *,
        step: timedelta | None = None,
        split: Split = Split.NONE,
        watch: Watch | None = None,
    ) -> Timeline:
        default = Timeline(
            (NOON, NOON + timedelta(minutes=1)),
            timedelta(minutes=1),
            (Series("ok", (3, 4), (30, 40), (1, 2)), Series("5xx", (0, 1), (0, 10), (0, 1))),
        )
        return self._answer("timeline", default, scope, step=step, split=split, watch=watch)  # type: ignore[no-any-return]

    def top(
        self,
        scope: Filters,
        dimension: Dimension,
        *,
        measure: Measure = Measure.REQUESTS,
        limit: int = 10,
        watch: Watch | None = None,
    ) -> TopList:
        rows = (
            CountedRow("DE", 9, 900, 1, 2, 3, 0.25),
            CountedRow("", 4, 400, 0, 0, 2),
            CountedRow("FR", 1, 100, 0, 0, 1),
        )
        named = {"measure": measure, "limit": limit, "watch": watch}
        return self._answer("top", TopList(rows, 3, 14), scope, dimension, **named)  # type: ignore[no-any-return]

    def findings(
        self, scope: Filters, *, limit: int = 100, watch: Watch | None = None
    ) -> tuple[FindingRow, ...]:
        return self._answer("findings", (FINDING,), scope, limit=limit, watch=watch)  # type: ignore[no-any-return]

    def lines(
        self, scope: Filters, *, limit: int = 100, cursor: str | None = None, watch: Watch | None = None
    ) -> Page[dict[str, Any]]:
        named = {"limit": limit, "cursor": cursor, "watch": watch}
        return self._answer("lines", Page((row(),), "after-7"), scope, **named)  # type: ignore[no-any-return]

    def line(self, id: str) -> dict[str, Any] | None:  # noqa: A002
        return self._answer("line", row() if id == "a-7" else None, id)  # type: ignore[no-any-return]

    def batches(self, scope: Filters, *, watch: Watch | None = None) -> Iterator[pa.RecordBatch]:
        default = iter([records.batch([{"line": 1}, {"line": 2}]), records.batch([{"line": 3}])])
        return self._answer("batches", default, scope, watch=watch)  # type: ignore[no-any-return]

    def error_groups(
        self, since: datetime | None, until: datetime | None, *, level: str | None = None, limit: int = 100
    ) -> tuple[ErrorGroup, ...]:
        default = (ErrorGroup("error", "open() N", 2, NOON, NOON, ("shop.example",), (0,) * 24, "open() 1"),)
        return self._answer("error_groups", default, since, until, level=level, limit=limit)  # type: ignore[no-any-return]

    def error_timeline(
        self, since: datetime | None, until: datetime | None, *, step: timedelta | None = None
    ) -> Timeline:
        default = Timeline((NOON,), timedelta(hours=1), (Series("error", (2,), (0,), (0,)),))
        return self._answer("error_timeline", default, since, until, step=step)  # type: ignore[no-any-return]

    def error_lines(
        self,
        since: datetime | None,
        until: datetime | None,
        *,
        level: str | None = None,
        message: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[dict[str, Any]]:
        named = {"level": level, "message": message, "limit": limit, "cursor": cursor}
        return self._answer("error_lines", Page((ERROR_LINE,), None), since, until, **named)  # type: ignore[no-any-return]

    def rejects(self, *, limit: int = 100) -> tuple[Reject, ...]:
        default = (Reject("/var/log/nginx/access.log", 9, "fields", "junk"),)
        return self._answer("rejects", default, limit=limit)  # type: ignore[no-any-return]


def application(
    queries: TrafficQueries,
    pool: QueryPool,
    sources: Callable[[], Sequence[SourceStatus]] = lambda: (STATUS,),
    more: Sequence[APIRouter] = (),
) -> FastAPI:
    """The API alone, as the process serves it; `more` is what a test adds to it."""
    app = FastAPI(
        title="Dozor", version="1", openapi_url="/api/v1/openapi.json", docs_url=None, redoc_url=None
    )
    problems.install(app)
    for router in (*api_routers(queries, sources, pool), *more):
        app.include_router(router, prefix="/api/v1")
    return app


STORES = ("memory", "chdb")


@contextmanager
def opened(kind: str, folder: Path) -> Iterator[ClickHouseStore | InMemoryRecordStore]:
    """An empty store of a kind."""
    store = InMemoryRecordStore() if kind == "memory" else open_store(folder=folder)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def serve(
    queries: TrafficQueries,
    *,
    pool: QueryPool | None = None,
    sources: Callable[[], Sequence[SourceStatus]] = lambda: (STATUS,),
    more: Sequence[APIRouter] = (),
) -> Iterator[str]:
    """Serve the API on a free port of loopback; gives its address."""
    pool = pool or QueryPool()
    with bind("127.0.0.1", 0) as listening:
        app = application(queries, pool, sources, more)
        server = uvicorn.Server(
            uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="test-server")
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            pool.close()
            server.should_exit = True
            thread.join(10)
            assert not thread.is_alive()
