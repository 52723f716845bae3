"""A store that keeps everything in memory, for tests and for short runs; it forgets when the process ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pyarrow as pa

from dozor.columns.batches import column_to_arrow, to_batch
from dozor.columns.record import RECORD, REJECT
from dozor.features.traffic.adapters.spill_memory import InMemorySpill
from dozor.features.traffic.core import questions
from dozor.features.traffic.core.errorlog import ERROR_RECORD, fold_messages
from dozor.features.traffic.core.places import Place, read_cursor, read_place
from dozor.features.traffic.core.steps import to_millis
from dozor.features.traffic.core.summary import TOP, Summariser, partial_summary
from dozor.features.traffic.model import (
    Coverage,
    Delivery,
    Dimension,
    ErrorGroup,
    Filters,
    FindingRow,
    Measure,
    Page,
    Reject,
    RuleFacts,
    Split,
    Summary,
    Timeline,
    TopList,
    Totals,
)
from dozor.features.traffic.ports import Watch

_BUDGET = 1 << 40
_BATCH = 65_536
_PLACE = pa.schema(
    [pa.field("source", pa.string()), pa.field("batch", pa.int64()), pa.field("row", pa.uint32())]
)
_STORED = pa.schema([*RECORD, _PLACE.field("source")])


class InMemoryRecordStore:
    """A `RecordStore` and `TrafficQueries`.

    Args:
        rule_facts: What is known of the rules, by id, for findings.
    """

    def __init__(self, *, rule_facts: Mapping[str, RuleFacts] | None = None) -> None:
        self._rule_facts = rule_facts or {}
        self._guard = threading.Lock()
        self._tokens: set[str] = set()
        self._formats: dict[str, str] = {}
        self._tables = {
            "requests": _empty([*RECORD, *_PLACE]),
            "errors": _empty([*ERROR_RECORD, pa.field("folded", pa.string()), *_PLACE]),
            "rejects": _empty([*REJECT, *_PLACE]),
        }

    def check(self) -> None:
        """It takes writes at any moment."""

    def close(self) -> None:
        """Nothing is held that would have to be let go."""

    def insert(self, delivery: Delivery) -> None:
        """Keep a delivery once, by its token."""
        with self._guard:
            if delivery.token in self._tokens:
                return
            self._tokens.add(delivery.token)
            if delivery.format:
                self._formats[delivery.source] = delivery.format
            batch = len(self._tokens)
            for table, rows in (
                ("requests", delivery.records),
                ("errors", delivery.errors),
                ("rejects", delivery.rejects),
            ):
                if rows is not None and len(rows):
                    kept = _placed(rows, delivery.source, batch)
                    if table == "errors":
                        kept = kept.with_columns(folded=fold_messages(kept["message"]))
                    columns = self._tables[table].columns
                    self._tables[table] = pl.concat([self._tables[table], kept.select(columns)])

    def coverage(self) -> Coverage:
        """Tell what there is."""
        requests = self._tables["requests"]
        first, last = requests["ts"].min(), requests["ts"].max()
        return Coverage(
            requests=len(requests),
            first=first if isinstance(first, datetime) else None,
            last=last if isinstance(last, datetime) else None,
            rejected=len(self._tables["rejects"]),
            errors=len(self._tables["errors"]),
        )

    def summary(self, scope: Filters, *, top: int = TOP, watch: Watch | None = None) -> Summary:
        """What `dozor report` says of the same lines."""
        started = time.perf_counter()
        _tell(watch)
        chosen = questions.in_scope(self._tables["requests"], scope)
        errors = questions.error_rows(self._tables["errors"], scope.since, scope.until)
        rejects = self._tables["rejects"]
        summariser = Summariser(InMemorySpill(), _BUDGET, top=top)
        named = sorted({*chosen["source"], *errors["source"], *rejects["source"]})
        for name in named:
            summariser.add_source(name, self._formats.get(name, ""))
        for (name, _), rows in _deliveries(chosen):
            summariser.add(partial_summary(to_batch(rows, RECORD), name), parsed=0)
        for (name, _), rows in _deliveries(errors):
            summariser.add_errors(to_batch(rows, ERROR_RECORD), name, parsed=0)
        for (name, _), rows in _deliveries(rejects):
            summariser.add_rejects(to_batch(rows, REJECT), name)
        nothing = to_batch(chosen.clear(), RECORD)
        for table in ("requests", "errors"):
            for name, count in self._tables[table].group_by("source").len().iter_rows():
                if name in named:
                    summariser.add(partial_summary(nothing, name), parsed=count)
        return summariser.result(seconds=time.perf_counter() - started)

    def totals(self, scope: Filters, *, watch: Watch | None = None) -> Totals:
        """The main numbers of a summary."""
        _tell(watch)
        return questions.totals(self._tables["requests"], scope)

    def timeline(
        self,
        scope: Filters,
        *,
        step: timedelta | None = None,
        split: Split = Split.NONE,
        watch: Watch | None = None,
    ) -> Timeline:
        """Requests over time."""
        _tell(watch)
        return questions.timeline(self._tables["requests"], scope, step=step, split=split)

    def top(
        self,
        scope: Filters,
        dimension: Dimension,
        *,
        measure: Measure = Measure.REQUESTS,
        limit: int = 10,
        watch: Watch | None = None,
    ) -> TopList:
        """The values with the most of a measure."""
        _tell(watch)
        return questions.top(self._tables["requests"], scope, dimension, measure=measure, limit=limit)

    def findings(
        self, scope: Filters, *, limit: int = 100, watch: Watch | None = None
    ) -> tuple[FindingRow, ...]:
        """Attacks by client and class."""
        _tell(watch)
        return questions.findings(self._tables["requests"], scope, limit=limit, rule_facts=self._rule_facts)

    def lines(
        self, scope: Filters, *, limit: int = 100, cursor: str | None = None, watch: Watch | None = None
    ) -> Page[dict[str, Any]]:
        """Requests, the newest first."""
        _tell(watch)
        return _page(questions.in_scope(self._tables["requests"], scope), limit, cursor)

    def line(self, id: str) -> dict[str, Any] | None:  # noqa: A002 - the field's name
        """One request by its id; None when it is gone."""
        place = read_place(id)
        if place is None:
            return None
        rows = self._tables["requests"].filter(pl.col("batch") == place.batch, pl.col("row") == place.row)
        found = _rows(rows.filter(pl.col("ts").to_physical() == place.ms))
        return found[0] if found else None

    def batches(self, scope: Filters, *, watch: Watch | None = None) -> Iterator[pa.RecordBatch]:
        """All requests in scope, oldest first."""
        rows = questions.in_scope(self._tables["requests"], scope).sort(questions.ORDER)
        for start in range(0, len(rows), _BATCH):
            _tell(watch, start / len(rows))
            yield to_batch(rows.slice(start, _BATCH), _STORED)

    def error_groups(
        self, since: datetime | None, until: datetime | None, *, level: str | None = None, limit: int = 100
    ) -> tuple[ErrorGroup, ...]:
        """Messages of error logs, most frequent first."""
        return questions.error_groups(self._tables["errors"], since, until, level=level, limit=limit)

    def error_timeline(
        self, since: datetime | None, until: datetime | None, *, step: timedelta | None = None
    ) -> Timeline:
        """Lines of error logs over time, a series by level."""
        return questions.error_timeline(self._tables["errors"], since, until, step=step)

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
        """Lines of error logs, newest first."""
        rows = questions.error_rows(self._tables["errors"], since, until, level=level, message=message)
        return _page(rows.drop("folded"), limit, cursor)

    def rejects(self, *, limit: int = 100) -> tuple[Reject, ...]:
        """The latest lines that were no requests."""
        latest = self._tables["rejects"].sort(["batch", "row"], descending=True).head(limit)
        return tuple(Reject(**row) for row in latest.select("source", "line", "reason", "raw").to_dicts())


def _empty(fields: list[pa.Field]) -> pl.DataFrame:
    return pl.DataFrame(pa.schema(fields).empty_table())


def _placed(rows: pa.RecordBatch, source: str, batch: int) -> pl.DataFrame:
    # A copy of the texts: their views would keep all the bytes that were read alive.
    columns = {
        name: pl.Series(column_to_arrow(pl.Series(rows.column(name)), pa.string()))
        if rows.column(name).type == pa.string_view()
        else pl.Series(rows.column(name))
        for name in rows.schema.names
    }
    return pl.DataFrame(columns).with_columns(
        source=pl.lit(source),
        batch=pl.lit(batch, pl.Int64),
        row=pl.int_range(len(rows), dtype=pl.UInt32),
    )


def _deliveries(rows: pl.DataFrame) -> Iterator[tuple[tuple[str, int], pl.DataFrame]]:
    """The rows of each delivery, in the order in which they came."""
    parts = rows.sort(["batch", "row"]).partition_by(["source", "batch"], as_dict=True, maintain_order=True)
    for (source, batch), part in parts.items():
        yield (str(source), int(batch)), part


def _page(rows: pl.DataFrame, limit: int, cursor: str | None) -> Page[dict[str, Any]]:
    ordered = rows.sort(questions.ORDER, descending=True)
    if cursor is not None:
        place = read_cursor(cursor)
        ms, batch, row = pl.col("ts").to_physical(), pl.col("batch"), pl.col("row")
        ordered = ordered.filter(
            (ms < place.ms)
            | ((ms == place.ms) & ((batch < place.batch) | ((batch == place.batch) & (row < place.row))))
        )
    found = _rows(ordered.head(limit))
    return Page(tuple(found), found[-1]["id"] if len(ordered) > limit and found else None)


def _rows(rows: pl.DataFrame) -> list[dict[str, Any]]:
    return [
        {**row, "id": str(Place(to_millis(row["ts"]), row.pop("batch"), row.pop("row")))}
        for row in rows.to_dicts()
    ]


def _tell(watch: Watch | None, share: float = 0.0) -> None:
    if watch is not None:
        watch.progress(share)
