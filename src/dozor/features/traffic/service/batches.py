"""What becomes of lines that arrived: one batch, parsed, enriched and detected, ready to be stored."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from dozor.features.traffic.core.errorlog import parse_errorlog
from dozor.features.traffic.core.formats import ERROR_LOG, Format, Kind, find_format
from dozor.features.traffic.core.parse import detect_format
from dozor.features.traffic.model import Arrival, Delivery, Filters, Mark
from dozor.features.traffic.service import Pipeline
from dozor.kernel.errors import UsageError
from dozor.kernel.finding import Finding


@dataclass(slots=True)
class Batch:
    """What became of an arrival. `size` is the bytes of its lines."""

    mark: Mark
    after: Mark
    size: int
    format: Format | None = None
    delivery: Delivery | None = None
    findings: Sequence[Finding] = ()
    lines: int = 0
    rejected: int = 0
    last: datetime | None = None


class Stages:
    """Seconds spent by stage, summed over threads; safe for these."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[str, float] = {}

    def add(self, part: dict[str, float]) -> None:
        """Add seconds by stage."""
        with self._lock:
            for name, seconds in part.items():
                self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add the time that the block takes."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add({name: time.perf_counter() - began})

    def snapshot(self) -> dict[str, float]:
        """Seconds so far by stage."""
        with self._lock:
            return dict(self._seconds)


class Maker:
    """Makes a delivery of what arrived; pure but for its clock.

    Args:
        pipeline: What to do with lines of access logs.
        findings: Makes findings of a batch of schema `columns.record.RECORD`; None makes none.
    """

    def __init__(
        self, pipeline: Pipeline, findings: Callable[[pa.RecordBatch], Iterable[Finding]] | None
    ) -> None:
        self._pipeline, self._findings = pipeline, findings
        self.stages = Stages()

    def make(self, arrival: Arrival, known: Format | None) -> Batch:
        """Parse, enrich, detect.

        Args:
            arrival: Lines of one log.
            known: Their format, if it is known already.
        """
        if not arrival.data:
            return Batch(arrival.mark, arrival.after, 0)
        format_ = known or self._named(arrival.mark.format) or self._pipeline.format_of(arrival)
        batch = self._as(arrival, format_)
        if batch.rejected and not batch.lines:
            other = self._other_format(arrival, format_)
            again = batch if other is None else self._as(arrival, other)
            batch = again if again.lines else batch
        return batch

    def _as(self, arrival: Arrival, format_: Format) -> Batch:
        mark, seconds = arrival.mark, dict[str, float]()
        batch = Batch(mark, arrival.after, len(arrival.data))
        if format_.kind is Kind.ERROR_LOG:
            began = time.perf_counter()
            errors = parse_errorlog(arrival.data, offset=arrival.offset, first_line=arrival.first_line)
            seconds["parse"] = time.perf_counter() - began
            rows, rejects = errors.records, errors.rejects
            delivery = Delivery(mark.name, mark.token, errors=rows, rejects=rejects, format=format_.name)
        else:
            run = self._pipeline.run(arrival, format_, Filters(), seconds, source=mark.name)
            rows, rejects = run.records, run.rejects
            delivery = Delivery(mark.name, mark.token, records=rows, rejects=rejects, format=format_.name)
            if self._findings is not None:
                batch.findings = tuple(self._findings(rows))
        batch.lines, batch.rejected = len(rows), len(rejects)
        batch.format = format_ if batch.lines else None
        batch.mark = replace(mark, format=format_.name)
        batch.after = replace(arrival.after, format=format_.name)
        if batch.lines:
            batch.last = pc.max(rows.column("ts")).as_py()
        if batch.lines or batch.rejected:
            batch.delivery = _without_empty(replace(delivery, again=arrival.again))
        self.stages.add(seconds)
        return batch

    def _named(self, name: str) -> Format | None:
        """The format that an earlier process knew the log by."""
        if not name or (self._pipeline.format is not None and name != ERROR_LOG.name):
            return None
        try:
            return find_format(name, self._pipeline.json_fields)
        except UsageError:  # a format of the user's own, which is not kept
            return None

    def _other_format(self, arrival: Arrival, tried: Format) -> Format | None:
        """A format that fits better, for a log whose format was changed, or for an error log."""
        found = detect_format(arrival.data, self._pipeline.json_fields)
        if found.name == tried.name or (self._pipeline.format is not None and found is not ERROR_LOG):
            return None
        return found


def _without_empty(delivery: Delivery) -> Delivery:
    def rows(batch: pa.RecordBatch | None) -> pa.RecordBatch | None:
        return batch if batch is not None and len(batch) else None

    return replace(
        delivery, records=rows(delivery.records), errors=rows(delivery.errors), rejects=rows(delivery.rejects)
    )
