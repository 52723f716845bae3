"""What traffic needs from outside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

import polars as pl
import pyarrow as pa

from dozor.features.traffic.model import (
    Arrival,
    Coverage,
    Delivery,
    Dimension,
    ErrorGroup,
    Filters,
    FindingRow,
    Followed,
    Mark,
    Measure,
    Page,
    Reject,
    Split,
    Summary,
    Timeline,
    TopList,
    Totals,
)


class Country(Protocol):
    """Knows the country of an address."""

    def countries(self, addresses: pa.Array) -> pa.Array:
        """Look up each address.

        Args:
            addresses: Texts, mostly distinct (string or string_view, no nulls): addresses in normal
                form, and among them host names and other texts.

        Returns:
            A string array of the same length without nulls: ISO 3166-1 alpha-2, or empty for a
            private or unknown address and for a text that is no address.
        """


class Annotate(Protocol):
    """A pure step that adds columns to a batch, such as detection."""

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the batch with more columns; rows, their order and the given columns stay."""


class Spill(Protocol):
    """Holds frames that do not fit in memory until they are read once at the end."""

    def write(self, name: str, part: int, frame: pl.DataFrame) -> None:
        """Append a frame to the part of that name."""

    def read(self, name: str, part: int) -> Iterator[pl.DataFrame]:
        """Yield the frames of the part in the order of writing; nothing if none was written."""


class LiveSource(Protocol):
    """Logs that grow; may be opened again after `close`.

    Used by one thread, but for `followed` and `stored`.

    scan > next, next, ... until None > scan ...
    """

    @property
    def name(self) -> str:
        """What people call it, unique among the sources: a path, a pattern, an address, or `-`."""

    def open(self, marks: Sequence[Mark]) -> None:
        """Begin where these marks say; those of other logs are among them.

        Raises:
            JobError: It cannot be followed for now, such as an address in use.
        """

    def scan(self) -> None:
        """Look what is there by now; quick, never raises for what is wrong with a file."""

    def next(self, limit: int) -> Arrival | None:
        """The next lines that were there at the last scan; None when there are no more.

        The lines of a file come in their order and each once. What a mark's intent names comes first
        and in the same range.

        Args:
            limit: Bytes to read at the most; a longer line is read nevertheless.
        """

    def stored(self, mark: Mark) -> None:
        """Hear that an arrival's `after` is written down; called by the thread that did it."""

    def followed(self) -> Sequence[Followed]:
        """What it follows, as of the last scan; safe from any thread."""

    def close(self) -> None:
        """Let go of everything; what was not stored comes again after the next `open`."""


class Checkpoints(Protocol):
    """Remembers marks. Safe for several threads."""

    def marks(self) -> tuple[Mark, ...]:
        """All marks, the one saved last at the end; of finished files of a log some latest suffice.

        Raises:
            UnavailableError: They cannot be read for now.
        """

    def save(self, mark: Mark) -> None:
        """Put a mark in the place of the one of the same file.

        One with an intent outlives a power failure once this returns; another one may be lost with
        the power, which repeats an insert of the same token.

        Raises:
            UnavailableError: It could not be written for now.
        """


class RecordStore(Protocol):
    """Keeps what sources delivered. Safe for several threads; durable when a call returns."""

    def check(self) -> None:
        """Tell whether it takes writes at this moment.

        Raises:
            UnavailableError: It does not, for now: no connection, full disk, read-only.
        """

    def insert(self, delivery: Delivery) -> None:
        """Keep a delivery exactly once, by its token, its three tables each.

        Raises:
            UnavailableError: It could not be kept for now; the same delivery may be sent again at any
                time, whether some of it was kept or not.
        """


class Watch(Protocol):
    """Follows a long question: told how far it is, asked whether anybody still wants the answer."""

    def progress(self, done: float) -> None:
        """Note the share of the work that is done, 0 to 1.

        Raises:
            CancelledError: Nobody wants the answer any more (`kernel.errors`); let it pass.
        """


class TrafficQueries(Protocol):
    """Answers questions about what is stored. Safe for several threads.

    A `scope` says which requests are meant. Every method raises UnavailableError when the store
    does not answer, and CancelledError when its watch says so. Times are UTC.
    """

    def coverage(self) -> Coverage:
        """Tell what there is, from metadata or counts that are quick at any size."""

    def summary(self, scope: Filters, *, top: int = 10, watch: Watch | None = None) -> Summary:
        """The same object, with the same numbers, as `service.report` over the same lines.

        `sources` are those with rows in scope; `seconds` is how long the question took.
        """

    def totals(self, scope: Filters, *, watch: Watch | None = None) -> Totals:
        """The main numbers of a summary, in a tenth of its time."""

    def timeline(
        self,
        scope: Filters,
        *,
        step: timedelta | None = None,
        split: Split = Split.NONE,
        watch: Watch | None = None,
    ) -> Timeline:
        """Requests over time; without a step the width that gives at most 120 steps of a round width.

        A bounded scope gives steps for all of it, empty ones too; an unbounded end is that of the data.
        """

    def top(
        self,
        scope: Filters,
        dimension: Dimension,
        *,
        measure: Measure = Measure.REQUESTS,
        limit: int = 10,
        watch: Watch | None = None,
    ) -> TopList:
        """The values with the most of a measure; `limit` at most 10,000."""

    def findings(
        self, scope: Filters, *, limit: int = 100, watch: Watch | None = None
    ) -> tuple[FindingRow, ...]:
        """Attacks by client and class, the highest score first, then the most requests."""

    def lines(
        self, scope: Filters, *, limit: int = 100, cursor: str | None = None, watch: Watch | None = None
    ) -> Page[dict[str, Any]]:
        """Requests, the newest first, in a total order that new rows do not disturb.

        A row has the record's fields (`columns.record.RECORD`), `source` and `id`, a stable opaque text.

        Raises:
            UsageError: The cursor is not one that this method gave.
        """

    def line(self, id: str) -> dict[str, Any] | None:  # noqa: A002 - the field's name
        """One request by its id; None when it is gone."""

    def batches(self, scope: Filters, *, watch: Watch | None = None) -> Iterator[pa.RecordBatch]:
        """All requests in scope, oldest first, in Arrow batches of the record's columns and `source`."""

    def error_groups(
        self, since: datetime | None, until: datetime | None, *, level: str | None = None, limit: int = 100
    ) -> tuple[ErrorGroup, ...]:
        """Messages of error logs, most frequent first."""

    def error_timeline(
        self, since: datetime | None, until: datetime | None, *, step: timedelta | None = None
    ) -> Timeline:
        """Lines of error logs over time, a series by level."""

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
        """Lines of error logs, newest first: `core.errorlog.ERROR_RECORD`, `source` and `id`.

        `message` is a folded one.
        """

    def rejects(self, *, limit: int = 100) -> tuple[Reject, ...]:
        """The latest lines that were no requests."""
