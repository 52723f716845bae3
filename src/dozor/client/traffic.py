"""`/api/v1/traffic`: what web logs say. Every method raises `ApiError` (`dozor.client.errors`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote
from uuid import UUID

from dozor.client.connection import Connection, merged
from dozor.wire import traffic as wire
from dozor.wire.traffic import DimensionName, Level, MeasureName, Scope, Span, SplitName

if TYPE_CHECKING:
    import pyarrow as pa

_ROOT = "/api/v1/traffic"


class Traffic:
    """Questions about web traffic.

    A `scope` says which requests are meant; None is all of them. With a `query_id` (`queries.new_id`) a
    call can be watched and called off from another thread.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def summary(
        self,
        scope: Scope | None = None,
        *,
        top: int = 10,
        compare: bool = False,
        query_id: UUID | None = None,
    ) -> wire.Summary:
        """All that `dozor report --json` says; with `compare` (needs `since`) also the stretch before."""
        request = merged(wire.SummaryRequest, scope, top=top, compare=compare, query_id=query_id)
        return self._connection.get(f"{_ROOT}/summary", wire.Summary, request)

    def timeseries(
        self,
        scope: Scope | None = None,
        *,
        step: str | None = None,
        split: SplitName = "none",
        query_id: UUID | None = None,
    ) -> wire.Timeline:
        """Requests, bytes and clients over time; `step` such as `5m`, by default at most 120 steps."""
        request = merged(wire.TimelineRequest, scope, step=step, split=split, query_id=query_id)
        return self._connection.get(f"{_ROOT}/timeseries", wire.Timeline, request)

    def timeseries_table(
        self, scope: Scope | None = None, *, step: str | None = None, split: SplitName = "none"
    ) -> pa.Table:
        """The same as rows of series, start, requests, bytes and clients."""
        request = merged(wire.TimelineRequest, scope, step=step, split=split)
        return self._connection.table(f"{_ROOT}/timeseries", request)

    def top(
        self,
        dimension: DimensionName,
        scope: Scope | None = None,
        *,
        measure: MeasureName = "requests",
        limit: int = 10,
        query_id: UUID | None = None,
    ) -> wire.TopList:
        """The values with the most of a measure; at most 10,000."""
        request = merged(wire.TopRequest, scope, measure=measure, limit=limit, query_id=query_id)
        return self._connection.get(f"{_ROOT}/top/{dimension}", wire.TopList, request)

    def top_table(
        self,
        dimension: DimensionName,
        scope: Scope | None = None,
        *,
        measure: MeasureName = "requests",
        limit: int = wire.MAX_TOP,
    ) -> pa.Table:
        """The same as a table with a column for each field of `CountedRow`."""
        request = merged(wire.TopRequest, scope, measure=measure, limit=limit)
        return self._connection.table(f"{_ROOT}/top/{dimension}", request)

    def geography(self, scope: Scope | None = None, *, query_id: UUID | None = None) -> wire.Geography:
        """Requests by country, and those of no country apart."""
        request = merged(Scope, scope, query_id=query_id)
        return self._connection.get(f"{_ROOT}/geography", wire.Geography, request)

    def findings(
        self, scope: Scope | None = None, *, limit: int = 100, query_id: UUID | None = None
    ) -> wire.Findings:
        """Attacks by client and class, the highest score first."""
        request = merged(wire.FindingsRequest, scope, limit=limit, query_id=query_id)
        return self._connection.get(f"{_ROOT}/findings", wire.Findings, request)

    def changes(
        self, scope: Scope | None = None, *, limit: int = 20, query_id: UUID | None = None
    ) -> wire.Changes:
        """What differs from the stretch of the same length before; the scope needs `since`."""
        request = merged(wire.ChangesRequest, scope, limit=limit, query_id=query_id)
        return self._connection.get(f"{_ROOT}/changes", wire.Changes, request)

    def lines(
        self,
        scope: Scope | None = None,
        *,
        limit: int = 100,
        cursor: str | None = None,
        query_id: UUID | None = None,
    ) -> wire.Lines:
        """A page of requests, the newest first; `cursor` is `next` of the page before. At most 1,000."""
        request = merged(wire.LinesRequest, scope, limit=limit, cursor=cursor, query_id=query_id)
        return self._connection.get(f"{_ROOT}/lines", wire.Lines, request)

    def lines_table(self, scope: Scope | None = None, *, query_id: UUID | None = None) -> pa.Table:
        """All requests in scope, oldest first: the record's columns and `source`."""
        return self._connection.table(f"{_ROOT}/lines", merged(wire.LinesRequest, scope, query_id=query_id))

    def lines_batches(
        self, scope: Scope | None = None, *, query_id: UUID | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The same batch by batch, for what does not fit in memory; closing it stops the query."""
        request = merged(wire.LinesRequest, scope, query_id=query_id)
        with self._connection.batches(f"{_ROOT}/lines", request) as reader:
            yield from reader

    def line(self, id: str) -> wire.Line:  # noqa: A002 - the field's name
        """One request by its id; raises NotFound when it is gone."""
        return self._connection.get(f"{_ROOT}/lines/{quote(id, safe='')}", wire.Line)

    def errors(
        self, span: Span | None = None, *, level: Level | None = None, limit: int = 100
    ) -> wire.ErrorGroups:
        """Messages of error logs, the most frequent first."""
        request = merged(wire.ErrorsRequest, _time(span), level=level, limit=limit)
        return self._connection.get(f"{_ROOT}/errors", wire.ErrorGroups, request)

    def errors_timeseries(self, span: Span | None = None, *, step: str | None = None) -> wire.Timeline:
        """Lines of error logs over time, a series by level."""
        request = merged(wire.ErrorTimelineRequest, _time(span), step=step)
        return self._connection.get(f"{_ROOT}/errors/timeseries", wire.Timeline, request)

    def errors_lines(
        self,
        span: Span | None = None,
        *,
        level: Level | None = None,
        message: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> wire.ErrorLines:
        """A page of lines of error logs, the newest first; `message` as `errors` tells it."""
        request = merged(
            wire.ErrorLinesRequest, _time(span), level=level, message=message, limit=limit, cursor=cursor
        )
        return self._connection.get(f"{_ROOT}/errors/lines", wire.ErrorLines, request)

    def rejects(self, *, limit: int = 100) -> wire.Rejects:
        """The latest lines that were no requests."""
        return self._connection.get(f"{_ROOT}/rejects", wire.Rejects, wire.RejectsRequest(limit=limit))

    def sources(self) -> wire.Sources:
        """The logs that are followed, and how they are."""
        return self._connection.get(f"{_ROOT}/sources", wire.Sources)

    def coverage(self) -> wire.Coverage:
        """What the store holds."""
        return self._connection.get(f"{_ROOT}/coverage", wire.Coverage)


def _time(span: Span | None) -> Span | None:
    """The stretch of time alone: error logs know no fields of requests."""
    return None if span is None else Span(since=span.since, until=span.until)
