"""`/api/v1/traffic`: the REST face of `TrafficQueries`.

Each route reads its parameters, asks in a thread of the pool, and writes the answer there too, so that the
event loop does nothing but wait. Failures are raised and become problems (`infra.problems`).
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import pyarrow as pa
from fastapi import APIRouter, Path, Query, Request, Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from dozor.columns.record import RECORD
from dozor.features.traffic.core.comparison import stretches
from dozor.features.traffic.core.filters import parse_condition
from dozor.features.traffic.model import (
    CountedRow,
    Dimension,
    Filters,
    Measure,
    SourceStatus,
    Split,
    Summary,
    Timeline,
    TopList,
)
from dozor.features.traffic.ports import TrafficQueries, Watch
from dozor.features.traffic.service.comparison import Part, changes
from dozor.infra.admission import needs
from dozor.infra.problems import NotFoundError, ParameterError
from dozor.infra.queries import QueryPool, first_of
from dozor.kernel.errors import DozorError, UsageError
from dozor.kernel.i18n import _
from dozor.kernel.moments import parse_moment
from dozor.wire import traffic as wire
from dozor.wire.base import Wire
from dozor.wire.problem import Problem

log = logging.getLogger(__name__)

ARROW = "application/vnd.apache.arrow.stream"

# Logs hold what strangers wrote: no browser shall keep it, or take it for a page.
_HEADERS = {"Cache-Control": "no-store", "Vary": "Accept", "X-Content-Type-Options": "nosniff"}

_MOST_STEPS = 10_000
_PIECE = 8_192  # rows of a stream that are sent at once: some megabytes
_LINES = pa.schema([*RECORD, pa.field("source", pa.string(), nullable=False)])
_STEP = re.compile(r"(\d{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
# `+` is a space in addresses, and people forget it.
_LOST_PLUS = re.compile(r"(\S+T\S+) (\d\d:?\d\d)")

_READ = needs("traffic.read")

_Responses = dict[int | str, dict[str, Any]]

_KNOWN: _Responses = {
    422: {"model": Problem, "description": "A parameter is unknown, out of range or of the wrong type."},
    500: {"model": Problem, "description": "A mistake inside Dozor, or a question that it cannot answer."},
}
_ASKED: _Responses = {
    **_KNOWN,
    409: {"model": Problem, "description": "The query was called off, or its id is taken."},
    503: {"model": Problem, "description": "The store is away, or too many questions wait: see Retry-After."},
}
_WORDS: _Responses = {
    **_ASKED,
    400: {"model": Problem, "description": "A time, a filter, a step or a cursor cannot be used."},
}
_ONE: _Responses = {**_ASKED, 404: {"model": Problem, "description": "There is no such line."}}
_STREAM: _Responses = {
    **_WORDS,
    200: {"content": {ARROW: {"schema": {"type": "string", "format": "binary"}}}},
}


def build_router(  # noqa: C901, PLR0915 - one short function per route
    queries: TrafficQueries,
    sources: Callable[[], Sequence[SourceStatus]],
    *,
    pool: QueryPool,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> APIRouter:
    """The routes, below `/traffic`.

    Args:
        queries: Answers from the store.
        sources: Tells how the followed logs are; quick, and safe to call from the event loop.
        pool: Where questions are asked.
        now: Tells the time.
    """
    router = APIRouter(prefix="/traffic", tags=["traffic"])

    async def answer(
        request: Request, query_id: UUID | None, work: Callable[[Watch], Wire], *, without: str = ""
    ) -> Response:
        body = await pool.run(
            lambda query: _json(work(query), without=without),
            id=query_id,
            gone=lambda: _gone(request),
        )
        return _ok(body)

    async def stream(
        request: Request, query_id: UUID | None, work: Callable[[Watch], Iterator[pa.RecordBatch]]
    ) -> Response:
        pieces = pool.stream(lambda query: _arrow_pieces(work(query)), id=query_id)
        # Most failures come before the first piece, while the status can still tell them.
        return _Stream(await first_of(pieces, lambda: _gone(request)), pieces)

    def scope_of(asked: wire.Scope) -> Filters:
        return _filters(asked, now())

    def span_of(asked: wire.Span) -> tuple[datetime | None, datetime | None]:
        moment = now()
        return _moment("since", asked.since, moment), _moment("until", asked.until, moment)

    def step_of(text: str | None, scope: Filters) -> timedelta | None:
        return None if text is None else _step(text, scope, queries, now())

    @router.get(
        "/summary",
        openapi_extra=_READ,
        operation_id="traffic_summary",
        response_model=wire.Summary,
        responses=_WORDS,
    )
    async def summary(request: Request, asked: Annotated[wire.SummaryRequest, Query()]) -> Response:
        """All that `dozor report --json` says, over the same lines with the same numbers."""
        moment = now()
        scope = _filters(asked, moment)
        before = _before(scope, moment) if asked.compare else None

        def work(watch: Watch) -> Wire:
            share = 0.5 if before else 1.0
            whole = queries.summary(scope, top=asked.top, watch=Part(watch, 0.0, share))
            told = wire.Summary.model_validate(whole)
            if before is None:
                return told
            earlier = queries.summary(before, top=1, watch=Part(watch, share, share))
            return told.model_copy(update={"previous": _previous(before, earlier)})

        return await answer(request, asked.query_id, work, without="" if before else "previous")

    @router.get(
        "/timeseries",
        openapi_extra=_READ,
        operation_id="traffic_timeseries",
        response_model=wire.Timeline,
        responses=_STREAM,
    )
    async def timeseries(request: Request, asked: Annotated[wire.TimelineRequest, Query()]) -> Response:
        """Requests, bytes and clients over time, divided into series."""
        scope = scope_of(asked)

        def ask(watch: Watch) -> Timeline:
            step = step_of(asked.step, scope)
            return queries.timeline(scope, step=step, split=Split(asked.split), watch=watch)

        if _wants_arrow(request):
            return await stream(request, asked.query_id, lambda watch: _timeline_batches(ask(watch)))
        return await answer(request, asked.query_id, lambda watch: wire.Timeline.model_validate(ask(watch)))

    @router.get(
        "/top/{dimension}",
        openapi_extra=_READ,
        operation_id="traffic_top",
        response_model=wire.TopList,
        responses=_STREAM,
    )
    async def top(
        request: Request, dimension: wire.DimensionName, asked: Annotated[wire.TopRequest, Query()]
    ) -> Response:
        """The values of a dimension with the most of a measure."""
        scope = scope_of(asked)

        def ask(watch: Watch) -> TopList:
            measure = Measure(asked.measure)
            return queries.top(scope, Dimension(dimension), measure=measure, limit=asked.limit, watch=watch)

        if _wants_arrow(request):
            return await stream(request, asked.query_id, lambda watch: _top_batches(ask(watch)))
        return await answer(request, asked.query_id, lambda watch: wire.TopList.model_validate(ask(watch)))

    @router.get(
        "/geography",
        openapi_extra=_READ,
        operation_id="traffic_geography",
        response_model=wire.Geography,
        responses=_WORDS,
    )
    async def geography(request: Request, asked: Annotated[wire.Scope, Query()]) -> Response:
        """Requests by country of the client, and those of no country apart."""
        scope = scope_of(asked)

        def work(watch: Watch) -> Wire:
            return _geography(queries.top(scope, Dimension.COUNTRY, limit=wire.MAX_TOP, watch=watch))

        return await answer(request, asked.query_id, work)

    @router.get(
        "/findings",
        openapi_extra=_READ,
        operation_id="traffic_findings",
        response_model=wire.Findings,
        responses=_WORDS,
    )
    async def findings(request: Request, asked: Annotated[wire.FindingsRequest, Query()]) -> Response:
        """Attacks by client and class, the highest score first."""
        scope = scope_of(asked)

        def work(watch: Watch) -> Wire:
            rows = queries.findings(scope, limit=asked.limit, watch=watch)
            return wire.Findings.model_validate({"items": rows})

        return await answer(request, asked.query_id, work)

    @router.get(
        "/changes",
        openapi_extra=_READ,
        operation_id="traffic_changes",
        response_model=wire.Changes,
        responses=_WORDS,
    )
    async def changed(request: Request, asked: Annotated[wire.ChangesRequest, Query()]) -> Response:
        """What differs from the stretch of the same length before."""
        moment = now()
        scope = _filters(asked, moment)
        _before(scope, moment)

        def work(watch: Watch) -> Wire:
            found = changes(queries, scope, now=moment, limit=asked.limit, watch=watch)
            return wire.Changes.model_validate(found)

        return await answer(request, asked.query_id, work)

    @router.get(
        "/lines",
        openapi_extra=_READ,
        operation_id="traffic_lines",
        response_model=wire.Lines,
        responses=_STREAM,
    )
    async def lines(request: Request, asked: Annotated[wire.LinesRequest, Query()]) -> Response:
        """A page of requests, the newest first; as an Arrow stream all of them, the oldest first."""
        scope = scope_of(asked)
        if _wants_arrow(request):
            _refuse_paging(asked)
            return await stream(request, asked.query_id, lambda watch: queries.batches(scope, watch=watch))

        def work(watch: Watch) -> Wire:
            with _as_cursor(asked.cursor):
                page = queries.lines(scope, limit=asked.limit, cursor=asked.cursor, watch=watch)
            return wire.Lines.model_validate({"items": page.rows, "next": page.next})

        return await answer(request, asked.query_id, work)

    @router.get(
        "/lines/{id:path}",
        openapi_extra=_READ,
        operation_id="traffic_line",
        response_model=wire.Line,
        responses=_ONE,
    )
    async def line(
        request: Request,
        id: Annotated[str, Path(max_length=200, description="`id` of a line.")],  # noqa: A002
        asked: Annotated[wire.Tracked, Query()],
    ) -> Response:
        """One request by its id."""

        def work(_watch: Watch) -> Wire:
            row = queries.line(id)
            if row is None:
                raise NotFoundError(
                    _("There is no line {id}.").format(id=id),
                    hint=_("It may have been deleted by its age; search for it by its time."),
                )
            return wire.Line.model_validate(row)

        return await answer(request, asked.query_id, work)

    @router.get(
        "/errors",
        openapi_extra=_READ,
        operation_id="traffic_errors",
        response_model=wire.ErrorGroups,
        responses=_WORDS,
    )
    async def errors(request: Request, asked: Annotated[wire.ErrorsRequest, Query()]) -> Response:
        """Messages of error logs, the most frequent first."""
        since, until = span_of(asked)

        def work(_watch: Watch) -> Wire:
            groups = queries.error_groups(since, until, level=asked.level, limit=asked.limit)
            return wire.ErrorGroups.model_validate({"items": groups})

        return await answer(request, asked.query_id, work)

    @router.get(
        "/errors/timeseries",
        openapi_extra=_READ,
        operation_id="traffic_errors_timeseries",
        response_model=wire.Timeline,
        responses=_WORDS,
    )
    async def errors_timeseries(
        request: Request, asked: Annotated[wire.ErrorTimelineRequest, Query()]
    ) -> Response:
        """Lines of error logs over time, a series by level."""
        since, until = span_of(asked)

        def work(_watch: Watch) -> Wire:
            step = step_of(asked.step, Filters(since, until))
            return wire.Timeline.model_validate(queries.error_timeline(since, until, step=step))

        return await answer(request, asked.query_id, work)

    @router.get(
        "/errors/lines",
        openapi_extra=_READ,
        operation_id="traffic_errors_lines",
        response_model=wire.ErrorLines,
        responses=_WORDS,
    )
    async def errors_lines(request: Request, asked: Annotated[wire.ErrorLinesRequest, Query()]) -> Response:
        """A page of lines of error logs, the newest first."""
        since, until = span_of(asked)

        def work(_watch: Watch) -> Wire:
            with _as_cursor(asked.cursor):
                page = queries.error_lines(
                    since,
                    until,
                    level=asked.level,
                    message=asked.message,
                    limit=asked.limit,
                    cursor=asked.cursor,
                )
            return wire.ErrorLines.model_validate({"items": page.rows, "next": page.next})

        return await answer(request, asked.query_id, work)

    @router.get(
        "/rejects",
        openapi_extra=_READ,
        operation_id="traffic_rejects",
        response_model=wire.Rejects,
        responses=_ASKED,
    )
    async def rejects(request: Request, asked: Annotated[wire.RejectsRequest, Query()]) -> Response:
        """The latest lines that were no requests."""

        def work(_watch: Watch) -> Wire:
            return wire.Rejects.model_validate({"items": queries.rejects(limit=asked.limit)})

        return await answer(request, asked.query_id, work)

    @router.get(
        "/sources",
        openapi_extra=_READ,
        operation_id="traffic_sources",
        response_model=wire.Sources,
        responses=_KNOWN,
    )
    async def followed(_asked: Annotated[wire.Nothing, Query()]) -> Response:
        """The logs that are followed, and how they are; it answers also when the store does not."""
        return _ok(_json(wire.Sources.model_validate({"items": sources()})))

    @router.get(
        "/coverage",
        openapi_extra=_READ,
        operation_id="traffic_coverage",
        response_model=wire.Coverage,
        responses=_ASKED,
    )
    async def coverage(request: Request, asked: Annotated[wire.Tracked, Query()]) -> Response:
        """What the store holds."""

        def work(_watch: Watch) -> Wire:
            return wire.Coverage.model_validate(queries.coverage())

        return await answer(request, asked.query_id, work)

    return router


# Parameters


def _filters(asked: wire.Scope, now: datetime) -> Filters:
    """What the shared parameters mean.

    Raises:
        ParameterError: One of them cannot be used.
    """
    typed = [("where", text, text) for text in asked.where]
    # In quotes a value is taken as it is, whatever it holds.
    typed += [
        (name, value, f'{name} = "{value}"')
        for name in wire.FIELDS
        if (value := getattr(asked, name)) is not None
    ]
    conditions = []
    for name, value, condition in typed:
        with _as_parameter(name, value):
            conditions.append(parse_condition(condition, now=now))
    return Filters(_moment("since", asked.since, now), _moment("until", asked.until, now), tuple(conditions))


def _moment(name: str, text: str | None, now: datetime) -> datetime | None:
    if text is None:
        return None
    lost = _LOST_PLUS.fullmatch(text.strip())
    with _as_parameter(name, text):
        return parse_moment(f"{lost[1]}+{lost[2]}" if lost else text, now=now)


def _step(text: str, scope: Filters, queries: TrafficQueries, now: datetime) -> timedelta:
    """A width that does not make too many steps.

    Raises:
        ParameterError: It is none, or does.
    """
    match = _STEP.fullmatch(text.strip())
    step = timedelta(seconds=int(match[1]) * _SECONDS[match[2]]) if match else timedelta()
    if not step:
        raise ParameterError(
            "step",
            text,
            _("Step '{text}' cannot be read.").format(text=text),
            hint=_("Write a width such as 10s, 5m, 1h, 1d."),
        )
    held = queries.coverage() if scope.since is None or scope.until is None else None
    first = scope.since or (held and held.first) or now
    last = scope.until or (held and held.last) or now
    if (last - first) / step > _MOST_STEPS:
        raise ParameterError(
            "step",
            text,
            _("Step '{text}' makes more than {most} steps.").format(text=text, most=_MOST_STEPS),
            hint=_("Give a wider step, or a shorter stretch of time."),
        )
    return step


def _before(scope: Filters, now: datetime) -> Filters:
    since = "" if scope.since is None else scope.since.isoformat()
    with _as_parameter("since", since):
        return stretches(scope, now=now)[1]


def _refuse_paging(asked: wire.LinesRequest) -> None:
    for name in ("limit", "cursor"):
        if name in asked.model_fields_set:
            raise ParameterError(
                name,
                str(getattr(asked, name)),
                _("An Arrow stream has no pages."),
                hint=_("Leave limit and cursor out, or ask for JSON."),
            )


@contextmanager
def _as_parameter(name: str, value: str) -> Iterator[None]:
    """Tell which parameter it is that cannot be used."""
    try:
        yield
    except UsageError as error:
        raise ParameterError(name, value, error.message, hint=error.hint) from error


@contextmanager
def _as_cursor(cursor: str | None) -> Iterator[None]:
    """Of what the store refuses, the cursor is to blame: all other words were read before it was asked."""
    with nullcontext() if cursor is None else _as_parameter("cursor", cursor):
        yield


def _wants_arrow(request: Request) -> bool:
    """Whether `Accept` names Arrow, and not JSON before it."""
    kinds = [part.partition(";")[0].strip().lower() for part in request.headers.get("Accept", "").split(",")]
    wanted = next((kind for kind in kinds if kind in {ARROW, "application/json"}), "")
    return wanted == ARROW


# Answers


async def _gone(request: Request) -> None:
    """Return when the caller hung up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _json(answer: Wire, *, without: str = "") -> bytes:
    return answer.model_dump_json(exclude={without}).encode()


def _ok(body: bytes) -> Response:
    return Response(body, media_type="application/json", headers=_HEADERS)


def _previous(scope: Filters, summary: Summary) -> wire.Previous:
    def answered(first_digit: str) -> int:
        return sum(count for status, count in summary.status.items() if status.startswith(first_digit))

    return wire.Previous.model_validate(
        {
            "since": scope.since,
            "until": scope.until,
            "client_errors": answered("4"),
            "server_errors": answered("5"),
            **{
                name: getattr(summary, name)
                for name in ("requests", "unique_clients", "bytes", "attack_requests", "bots")
            },
        }
    )


def _geography(list_: TopList) -> wire.Geography:
    nobody = CountedRow(value="", requests=0, bytes=0, errors=0, attacks=0, clients=0)
    return wire.Geography.model_validate(
        {
            "countries": [row for row in list_.rows if row.value],
            "unknown": next((row for row in list_.rows if not row.value), nobody),
            "requests": list_.requests,
        }
    )


def _top_batches(list_: TopList) -> Iterator[pa.RecordBatch]:
    schema = pa.schema(
        [
            pa.field("value", pa.string(), nullable=False),
            *(
                pa.field(name, pa.int64(), nullable=False)
                for name in ("requests", "bytes", "errors", "attacks", "clients")
            ),
            pa.field("seconds", pa.float64()),
        ]
    )
    columns = [[getattr(row, field.name) for row in list_.rows] for field in schema]
    yield pa.record_batch(columns, schema=schema)


def _timeline_batches(timeline: Timeline) -> Iterator[pa.RecordBatch]:
    schema = pa.schema(
        [
            pa.field("series", pa.string(), nullable=False),
            pa.field("start", pa.timestamp("ms", tz="UTC"), nullable=False),
            *(pa.field(name, pa.int64(), nullable=False) for name in ("requests", "bytes", "clients")),
        ]
    )
    for series in timeline.series:
        names = [series.name] * len(timeline.start)
        counts = (series.requests, series.bytes, series.clients)
        yield pa.record_batch([names, timeline.start, *counts], schema=schema)


def _arrow_pieces(batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    """An Arrow stream in small pieces; without batches it is one of lines, with no rows."""
    out = io.BytesIO()
    writer = None
    for batch in batches:
        schema = _plain(batch.schema)
        if writer is None:
            writer = pa.ipc.new_stream(out, schema)
        for start in range(0, len(batch), _PIECE):
            writer.write_batch(batch.slice(start, _PIECE).cast(schema))
            yield _taken(out)
    (writer or pa.ipc.new_stream(out, _plain(_LINES))).close()
    yield _taken(out)


def _plain(schema: pa.Schema) -> pa.Schema:
    """The schema with texts as all readers of Arrow know them.

    A slice of views would also carry the texts of all other rows of its batch.
    """
    plain = [
        field.with_type(pa.string()) if pa.types.is_string_view(field.type) else field for field in schema
    ]
    return pa.schema(plain)


def _taken(out: io.BytesIO) -> bytes:
    piece = out.getvalue()
    out.seek(0)
    out.truncate()
    return piece


class _Stream(StreamingResponse):
    """Pieces as they come; a failure in the middle leaves the answer without its end, which is noticed."""

    def __init__(self, first: bytes, pieces: AsyncGenerator[bytes, None]) -> None:
        super().__init__(_chain(first, pieces), media_type=ARROW, headers=_HEADERS)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._pieces.aclose()

    async def stream_response(self, send: Send) -> None:
        try:
            await super().stream_response(send)
        except DozorError as error:
            log.warning("Stream broken off: %s", error)


async def _chain(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    yield first
    async for piece in rest:
        yield piece
