"""Use cases of traffic: a report over logs, and records of a log in the order of its lines.

Chunks are read ahead by one thread, worked on by a few (columns release the GIL), and added up in
the order of the log, so that what comes out does not depend on timing.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol, TypeVar

import polars as pl
import pyarrow as pa

from dozor.columns.batches import filter_batch
from dozor.features.traffic.core.errorlog import parse_errorlog
from dozor.features.traffic.core.filters import expression, time_bounds
from dozor.features.traffic.core.formats import Format, Kind
from dozor.features.traffic.core.parse import detect_format, parse
from dozor.features.traffic.core.summary import TOP, Partial, Summariser, partial_summary
from dozor.features.traffic.model import Chunk, Filters, Summary
from dozor.features.traffic.ports import Annotate, Spill
from dozor.kernel.errors import JobError
from dozor.kernel.i18n import _

Item = TypeVar("Item")
Result = TypeVar("Result")


class LogSource(Protocol):
    """A log that can be read once, in chunks of whole lines."""

    @property
    def name(self) -> str:
        """What people call it: a path, or `-` for standard input."""

    def chunks(self) -> Iterator[Chunk]:
        """Read it."""


@dataclass(frozen=True)
class Run:
    """What a pipeline made of a chunk.

    Args:
        records: Schema `columns.record.RECORD`: what passed the filters, in the order of the lines.
        rejects: Schema `columns.record.REJECT`.
        parsed: How many records there were before the filters.
    """

    records: pa.RecordBatch
    rejects: pa.RecordBatch
    parsed: int


@dataclass(frozen=True)
class Pipeline:
    """bytes > records with countries, agents and verdicts; pure, for any number of threads.

    Args:
        enrich: Adds `columns.record.ENRICH_COLUMNS`.
        annotate: Adds `columns.record.DETECT_COLUMNS`.
        format: How all logs are written; None looks at each.
        json_fields: Further keys of JSON logs, key to nginx variable.
    """

    enrich: Annotate
    annotate: Annotate
    format: Format | None = None
    json_fields: Mapping[str, str] = field(default_factory=dict)

    def format_of(self, head: Chunk) -> Format:
        """The format of the log that begins with this chunk."""
        return self.format or detect_format(head.data, self.json_fields)

    def run(
        self, chunk: Chunk, format_: Format, filters: Filters, seconds: dict[str, float], *, source: str = ""
    ) -> Run:
        """Records (schema `columns.record.RECORD`) that pass the filters, and all rejects.

        Args:
            chunk: Whole lines.
            format_: How they are written.
            filters: Which records to keep.
            seconds: Time by stage; what this call took is added.
            source: Name of the log, which a filter may ask for.
        """
        started = time.perf_counter()

        def took(stage: str) -> None:
            nonlocal started
            now = time.perf_counter()
            seconds[stage] = seconds.get(stage, 0.0) + now - started
            started = now

        parsed = parse(chunk.data, format_, offset=chunk.offset, first_line=chunk.first_line)
        records = _where(parsed.records, [] if (bounds := time_bounds(filters)) is None else [bounds])
        took("parse")
        records = self.enrich(records)
        took("enrich")
        records = _where(self.annotate(records), [expression(one, source=source) for one in filters.where])
        took("detect")
        return Run(records, parsed.rejects, len(parsed.records))


@dataclass(frozen=True)
class _Counted:
    partial: Partial
    parsed: int
    rejects: pa.RecordBatch
    seconds: dict[str, float]


def report(
    sources: Sequence[LogSource],
    pipeline: Pipeline,
    *,
    spill: Spill,
    memory_budget: int,
    filters: Filters | None = None,
    workers: int = 2,
    top: int = TOP,
    stages: dict[str, float] | None = None,
) -> Summary:
    """Summarise logs.

    Args:
        sources: Access logs and error logs; each may have its own format.
        pipeline: What to do with their lines.
        spill: Where counts go that pass the budget.
        memory_budget: Bytes for counts of distinct values.
        filters: Which requests to count, and by their times which lines of error logs; rejects are
            counted always.
        workers: Chunks worked on at the same time.
        top: Rows of each top list at the most.
        stages: If given, seconds by stage are added to it (summed over threads).

    Raises:
        JobError: A source cannot be read to its end.
    """
    started = time.perf_counter()
    summariser = Summariser(spill, memory_budget, top=top)
    spent: dict[str, float] = {} if stages is None else stages
    with ThreadPoolExecutor(workers, "dozor-report") as pool:
        for source in sources:
            head, chunks = _peek(source.chunks())
            format_ = pipeline.format_of(head)
            summariser.add_source(source.name, format_.name)
            if format_.kind is Kind.ERROR_LOG:
                _read_errors(chunks, summariser, source.name, filters or Filters())
                continue

            def count(chunk: Chunk, format_: Format = format_, name: str = source.name) -> _Counted:
                seconds: dict[str, float] = {}
                run = pipeline.run(chunk, format_, filters or Filters(), seconds, source=name)
                began = time.perf_counter()
                partial = partial_summary(run.records, name)
                seconds["group"] = time.perf_counter() - began
                return _Counted(partial, run.parsed, run.rejects, seconds)

            for counted in _in_order(pool, count, chunks, ahead=workers + 1):
                began = time.perf_counter()
                summariser.add(counted.partial, parsed=counted.parsed)
                summariser.add_rejects(counted.rejects, source.name)
                _add(spent, {**counted.seconds, "merge": time.perf_counter() - began})
    began = time.perf_counter()
    summary = summariser.result(seconds=time.perf_counter() - started)
    _add(spent, {"result": time.perf_counter() - began})
    return summary


def records_in_order(
    source: LogSource, pipeline: Pipeline, *, filters: Filters | None = None, workers: int = 2
) -> Iterator[Run]:
    """Records and rejects of an access log, chunk by chunk in the order of the log.

    Raises:
        JobError: The source cannot be read to its end, or is an error log.
    """
    head, chunks = _peek(source.chunks())
    format_ = pipeline.format_of(head)
    if format_.kind is Kind.ERROR_LOG:
        raise JobError(
            _("'{name}' is an error log, which holds no requests.").format(name=source.name),
            hint=_("Give an access log."),
        )

    def run(chunk: Chunk) -> Run:
        return pipeline.run(chunk, format_, filters or Filters(), {}, source=source.name)

    with ThreadPoolExecutor(workers, "dozor-detect") as pool:
        yield from _in_order(pool, run, chunks, ahead=workers + 1)


def _peek(chunks: Iterator[Chunk]) -> tuple[Chunk, Iterator[Chunk]]:
    """The first chunk, and all of them; an empty log has one empty chunk."""
    head = next(chunks, Chunk(b"", 0, 1))
    return head, chain([head], chunks)


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item], *, ahead: int
) -> Iterator[Result]:
    """Results in the order of the items, with at most `ahead` items under way."""
    under_way: deque[Future[Result]] = deque()
    try:
        for item in items:
            under_way.append(pool.submit(work, item))
            if len(under_way) > ahead:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        for future in under_way:
            future.cancel()


def _where(records: pa.RecordBatch, conditions: Sequence[pl.Expr]) -> pa.RecordBatch:
    if not conditions or not len(records):
        return records
    keep = pl.DataFrame(records).select(pl.all_horizontal(conditions)).to_series()
    return filter_batch(records, keep)


def _read_errors(chunks: Iterable[Chunk], summariser: Summariser, name: str, filters: Filters) -> None:
    for chunk in chunks:
        parsed = parse_errorlog(chunk.data, offset=chunk.offset, first_line=chunk.first_line)
        chosen = _where(parsed.records, [] if (bounds := time_bounds(filters)) is None else [bounds])
        summariser.add_errors(chosen, name, parsed=len(parsed.records))
        summariser.add_rejects(parsed.rejects, name)


def _add(total: dict[str, float], part: Mapping[str, float]) -> None:
    for name, seconds in part.items():
        total[name] = total.get(name, 0.0) + seconds
