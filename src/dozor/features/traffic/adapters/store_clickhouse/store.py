"""Keeps deliveries exactly once and answers the questions about them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from dozor.features.traffic.adapters.store_clickhouse import errors, lists, rows, steps
from dozor.features.traffic.adapters.store_clickhouse.asking import Asking
from dozor.features.traffic.adapters.store_clickhouse.conditions import Where
from dozor.features.traffic.adapters.store_clickhouse.lines import read_batches, read_line, read_lines
from dozor.features.traffic.adapters.store_clickhouse.repeated import TOKEN_BITS, missing_rows, token_bits
from dozor.features.traffic.adapters.store_clickhouse.schema import migrate
from dozor.features.traffic.adapters.store_clickhouse.summary import summarise
from dozor.features.traffic.core.summary import TOP
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
from dozor.infra.clickhouse import ClickHouse, open_clickhouse
from dozor.kernel.errors import UnavailableError
from dozor.kernel.i18n import _, format_bytes

_LEAST_SPACE = 16 << 20
"""Bytes: an insert needs some space beside its own, and so do the files of the others in the data folder."""


_DOUBTFUL = 1000
"""Tokens of inserts that failed; each source has one at a time."""


def open_store(
    *,
    folder: Path | None = None,
    url: str | None = None,
    user: str = "default",
    password: str = "",
    database: str | None = None,
    retention_days: int | None = None,
    rule_facts: Mapping[str, RuleFacts] | None = None,
) -> ClickHouseStore:
    """Open the store; close it when done.

    Args:
        folder: Where the embedded engine keeps its files; this process owns it until `close`.
        url: Address of a ClickHouse server; when it is given, `folder` is not used.
        user: Name at the server.
        password: Of that user.
        database: Name of the database; None takes that of the URL, else `dozor`.
        retention_days: How long rows are kept; None keeps them for ever.
        rule_facts: What is known of the rules, by id, for findings.

    Raises:
        SettingsError: The URL is none, or the server refuses the user.
        JobError: Another process owns the folder, or it cannot be used.
    """
    clickhouse = open_clickhouse(folder=folder, url=url, user=user, password=password, database=database)
    store = ClickHouseStore(clickhouse, retention_days=retention_days, rule_facts=rule_facts)
    try:
        store.prepare()
    except UnavailableError:
        if clickhouse.embedded:
            store.close()
            raise
    except BaseException:
        store.close()
        raise
    return store


class ClickHouseStore:
    """A `RecordStore` and `TrafficQueries`; safe for several threads.

    Args:
        clickhouse: The database; it is closed with the store.
        retention_days: How long rows are kept; None keeps them for ever.
        rule_facts: What is known of the rules, by id, for findings.
    """

    def __init__(
        self,
        clickhouse: ClickHouse,
        *,
        retention_days: int | None = None,
        rule_facts: Mapping[str, RuleFacts] | None = None,
    ) -> None:
        self._clickhouse_raw = clickhouse
        self._retention_days = retention_days
        self._rule_facts = rule_facts or {}
        self._guard = threading.Lock()
        self._ready = False
        self._last_batch = 0
        self._formats: dict[str, str] = {}
        self._doubtful: deque[str] = deque(maxlen=_DOUBTFUL)

    def prepare(self) -> None:
        """Bring the tables up to date, once; every other call does so by itself.

        Raises:
            UnavailableError: The store does not answer for now.
        """
        with self._guard:
            if not self._ready:
                migrate(self._clickhouse_raw, retention_days=self._retention_days)
                self._ready = True

    def close(self) -> None:
        """Let go of the folder or the server."""
        self._clickhouse_raw.close()

    @property
    def _clickhouse(self) -> ClickHouse:
        if not self._ready:
            self.prepare()
        return self._clickhouse_raw

    def check(self) -> None:
        """Tell whether it takes writes at this moment."""
        clickhouse = self._clickhouse
        clickhouse.command("INSERT INTO sources SELECT '', '', now64(3) WHERE 0")
        if not clickhouse.embedded:
            return
        disks = clickhouse.query(
            "SELECT min(unreserved_space) AS free FROM system.disks WHERE NOT is_read_only"
        )
        free = disks.column("free")[0].as_py()
        if free < _LEAST_SPACE:
            raise UnavailableError(
                _("The store {place} has only {size} left to write.").format(
                    place=clickhouse.place, size=format_bytes(free)
                ),
                hint=_("Free some space; Dozor goes on by itself."),
            )

    def insert(self, delivery: Delivery) -> None:
        """Keep a delivery exactly once, by its token, its tables each."""
        self._note_format(delivery)
        if delivery.token in self._doubtful:
            delivery = replace(delivery, again=True)
        try:
            self._insert(delivery)
        except BaseException:
            # Like one that was killed, it may have left its token without its rows.
            if delivery.token not in self._doubtful:
                self._doubtful.append(delivery.token)
            raise

    def _insert(self, delivery: Delivery) -> None:
        batch, source = self._next_batch(delivery.token), delivery.source
        if delivery.records is not None and len(delivery.records):
            sent = rows.request_rows(delivery.records, source, batch)
            self._keep("hits", rows.hit_rows(sent), delivery, batch)
            self._keep("requests", sent, delivery, batch)
        if delivery.errors is not None and len(delivery.errors):
            self._keep("errors", rows.error_rows(delivery.errors, source, batch), delivery, batch)
        if delivery.rejects is not None and len(delivery.rejects):
            seen = time.time_ns() // 1_000_000
            self._keep("rejects", rows.reject_rows(delivery.rejects, source, batch, seen), delivery, batch)

    def _keep(self, table: str, sent: pa.RecordBatch, delivery: Delivery, batch: int) -> None:
        """Append rows once, whatever became of them before."""
        token = delivery.token
        # A server goes on when Dozor is killed, and an earlier insert may be under way there still.
        if delivery.again and self._clickhouse.embedded and len(sent):
            sent, token = missing_rows(self._clickhouse, table, sent, token), f"{token}/{batch}"
        if len(sent):
            self._clickhouse.insert(table, sent, token=token)

    def _note_format(self, delivery: Delivery) -> None:
        """Remember how a source is written, when that is news."""
        if not delivery.format or self._formats.get(delivery.source) == delivery.format:
            return
        self._clickhouse.command(
            "INSERT INTO sources SELECT {source:String}, {format:String}, now64(3)",
            {"source": delivery.source, "format": delivery.format},
        )
        self._formats[delivery.source] = delivery.format

    def _next_batch(self, token: str) -> int:
        """A number for an insert: greater than all before it, and unlike those of other processes."""
        with self._guard:
            self._last_batch = max((self._last_batch >> TOKEN_BITS) + 1, time.time_ns() // 1_000_000)
            self._last_batch = self._last_batch << TOKEN_BITS | token_bits(token)
            return self._last_batch

    def coverage(self) -> Coverage:
        """Tell what there is."""
        asking, where = Asking(self._clickhouse), Where()
        found = asking.row(
            "SELECT count() AS requests, min(ts) AS first, max(ts) AS last, "
            "(SELECT count() FROM rejects) AS rejected, (SELECT count() FROM errors) AS errors FROM requests",
            where,
        )
        if not found["requests"]:
            found["first"] = found["last"] = None
        return Coverage(**found)

    def summary(self, scope: Filters, *, top: int = TOP, watch: Watch | None = None) -> Summary:
        """What `dozor report` says of the same lines."""
        return summarise(self._clickhouse, scope, top=top, watch=watch)

    def totals(self, scope: Filters, *, watch: Watch | None = None) -> Totals:
        """The main numbers of a summary."""
        return lists.totals(Asking(self._clickhouse, watch), scope)

    def timeline(
        self,
        scope: Filters,
        *,
        step: timedelta | None = None,
        split: Split = Split.NONE,
        watch: Watch | None = None,
    ) -> Timeline:
        """Requests over time."""
        return steps.timeline(Asking(self._clickhouse, watch, 2), scope, step=step, split=split)

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
        return lists.top(Asking(self._clickhouse, watch, 4), scope, dimension, measure=measure, limit=limit)

    def findings(
        self, scope: Filters, *, limit: int = 100, watch: Watch | None = None
    ) -> tuple[FindingRow, ...]:
        """Attacks by client and class."""
        asking = Asking(self._clickhouse, watch, 3)
        return lists.findings(asking, scope, limit=limit, rule_facts=self._rule_facts)

    def lines(
        self, scope: Filters, *, limit: int = 100, cursor: str | None = None, watch: Watch | None = None
    ) -> Page[dict[str, Any]]:
        """Requests, the newest first."""
        return read_lines(Asking(self._clickhouse, watch), scope, limit=limit, cursor=cursor)

    def line(self, id: str) -> dict[str, Any] | None:  # noqa: A002 - the field's name
        """One request by its id; None when it is gone."""
        return read_line(Asking(self._clickhouse), id)

    def batches(self, scope: Filters, *, watch: Watch | None = None) -> Iterator[pa.RecordBatch]:
        """All requests in scope, oldest first."""
        return read_batches(self._clickhouse, scope, watch=watch)

    def error_groups(
        self, since: datetime | None, until: datetime | None, *, level: str | None = None, limit: int = 100
    ) -> tuple[ErrorGroup, ...]:
        """Messages of error logs, most frequent first."""
        return errors.groups(Asking(self._clickhouse), since, until, level=level, limit=limit)

    def error_timeline(
        self, since: datetime | None, until: datetime | None, *, step: timedelta | None = None
    ) -> Timeline:
        """Lines of error logs over time, a series by level."""
        return errors.timeline(Asking(self._clickhouse), since, until, step=step)

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
        return errors.lines(
            Asking(self._clickhouse), since, until, level=level, message=message, limit=limit, cursor=cursor
        )

    def rejects(self, *, limit: int = 100) -> tuple[Reject, ...]:
        """The latest lines that were no requests."""
        found = Asking(self._clickhouse).rows(
            "SELECT source, line, reason, raw FROM rejects "
            f"ORDER BY seen DESC, batch DESC, row DESC LIMIT {limit:d}",
            Where(),
        )
        return tuple(Reject(**row) for row in found)
