"""The audit trail: writes what happens, within the unit that does it, and folds floods."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from dozor.features.access.core.chain import Checker
from dozor.features.access.core.subjects import address_group, storable
from dozor.features.access.model import (
    LOCAL,
    AuditFilter,
    AuditPage,
    AuditRecord,
    ChainState,
    Entry,
    Event,
    Origin,
    Principal,
    Result,
)
from dozor.features.access.ports import AccessStore, AuditSink, Writing
from dozor.kernel.errors import DozorError

FOLD = timedelta(seconds=60)
"""For so long alike refusals become one record."""

MOST_FOLDS = 500
"""Kinds of refusal that are told apart within a minute; what is beyond is folded by its event alone."""

PAGE = 100
MOST_PER_PAGE = 1000

_AGENT = 200
_TEXT = 300

_log = logging.getLogger(__name__)

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


def entry_by(
    by: Principal | None,
    origin: Origin,
    event: Event,
    action: str,
    *,
    result: Result = "ok",
    target: str = "",
    **details: str,
) -> Entry:
    """Describe what somebody does.

    Args:
        by: Who; None for the anonymous.
        origin: Where from.
        event: Kind of record.
        action: Dotted name, or method and path.
        result: How it went.
        target: On what.
        details: Further facts; never a secret.
    """
    local = origin.address == LOCAL.address
    return Entry(
        event,
        action,
        result,
        actor=by.username if by else "",
        actor_id=(by.key_id or by.person_id or "") if by else "",
        actor_kind="local" if local else by.kind if by else "anonymous",
        target=storable(target[:_TEXT]),
        address=origin.address,
        agent=origin.agent[:_AGENT],
        details={name: storable(text[:_TEXT]) for name, text in details.items()},
    )


class Change:
    """A unit of work that writes, and the audit records that belong to it.

    Args:
        unit: Of the store.
        now: Its time.
    """

    def __init__(self, unit: Writing, now: datetime) -> None:
        self.unit = unit
        self.now = now
        self.records: list[AuditRecord] = []

    async def note(self, entry: Entry) -> None:
        """Record something; it stays only if the whole unit does."""
        self.records.append(await self.unit.append(entry, self.now))


@dataclass
class _Fold:
    entry: Entry
    until: datetime
    more: int = 0


class Ledger:
    """Records what happens and answers questions about it.

    Args:
        store: Keeps the records.
        sink: Takes them besides; None for nobody.
        clock: Tells the time.
    """

    def __init__(self, store: AccessStore, sink: AuditSink | None = None, clock: Clock = utc_now) -> None:
        self._store = store
        self._sink = sink
        self._clock = clock
        self._lock = asyncio.Lock()
        self._folds: dict[tuple[str, ...], _Fold] = {}

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Change]:
        """Change the store and record it, as a whole or not at all.

        Raises:
            UnavailableError: The store is away.
        """
        async with self._lock:
            async with self._store.writing() as unit:
                change = Change(unit, self._clock())
                yield change
            await self._hand_over(change.records)

    async def record(self, entry: Entry) -> None:
        """Record one thing by itself.

        Raises:
            UnavailableError: The store is away.
        """
        async with self.writing() as change:
            await change.note(entry)

    async def refused(self, entry: Entry) -> None:
        """Record a refusal: the first of its kind at once, those of the next minute as one with their count.

        Alike are those of one event, action, result, actor and address (a /64 of IPv6). Never raises: a
        refusal stays one when it cannot be recorded, which the log then tells.
        """
        key: tuple[str, ...] = (
            entry.event,
            entry.action,
            entry.result,
            entry.actor,
            address_group(entry.address),
        )
        if key not in self._folds and len(self._folds) >= MOST_FOLDS:
            key = (entry.event,)
        fold = self._folds.get(key)
        if fold:
            fold.more += 1
            return
        self._folds[key] = _Fold(entry if len(key) > 1 else _bare(entry), self._clock() + FOLD)
        await self._record_or_tell(entry)

    async def flush(self, *, everything: bool = False) -> None:
        """Record what was folded for a minute by now; `everything` at the end of the process."""
        now = self._clock()
        over = [key for key, fold in self._folds.items() if everything or fold.until <= now]
        for fold in [self._folds.pop(key) for key in over]:
            if fold.more:
                await self._record_or_tell(replace(fold.entry, count=fold.more))

    async def denied(self, by: Principal | None, origin: Origin, action: str, permission: str = "") -> None:
        """Record that a call was refused with 401 or 403, folded.

        Args:
            by: Who made it; None for the anonymous.
            origin: Where from.
            action: Method and route template, such as `GET /api/v1/people/{id}`; not the path as it came,
                of which there are too many.
            permission: The one that was missing.
        """
        details = {"permission": permission} if permission else {}
        await self.refused(entry_by(by, origin, Event.PERMISSION_DENIED, action, result="refused", **details))

    async def search(self, which: AuditFilter, *, before: int | None = None, limit: int = PAGE) -> AuditPage:
        """Records that fit, from the newest to the oldest.

        Args:
            which: Which ones.
            before: Cursor: only records with a lower number.
            limit: At most `MOST_PER_PAGE`.
        """
        limit = max(1, min(limit, MOST_PER_PAGE))
        async with self._store.reading() as unit:
            found = await unit.records(which, before=before, limit=limit + 1)
        records = tuple(found[:limit])
        return AuditPage(records, records[-1].number if len(found) > limit else None)

    async def export(self, which: AuditFilter) -> AsyncIterator[AuditRecord]:
        """All records that fit, from the newest to the oldest, page by page."""
        before: int | None = None
        while True:
            page = await self.search(which, before=before, limit=MOST_PER_PAGE)
            for record in page.records:
                yield record
            if page.following is None:
                return
            before = page.following

    async def verify(self) -> ChainState:
        """Check the whole chain."""
        async with self._store.reading() as unit:
            checker = Checker(await unit.head())
        async for record in self._store.chain():
            fault = checker.fault(record)
            if fault:
                return fault
        return checker.end()

    async def _record_or_tell(self, entry: Entry) -> None:
        try:
            await self.record(entry)
        except DozorError as error:
            _log.error("An audit record could not be kept: %s", error, extra={"event_type": entry.event})

    async def _hand_over(self, records: Sequence[AuditRecord]) -> None:
        if self._sink and records:
            await asyncio.to_thread(self._write, self._sink, records)

    def _write(self, sink: AuditSink, records: Sequence[AuditRecord]) -> None:
        for record in records:
            try:
                sink.write(record)
            except DozorError as error:
                _log.error("An audit record is in the database alone: %s", error)


def _bare(entry: Entry) -> Entry:
    """An entry that stands for many that differ in all but the event."""
    blank: dict[str, Any] = {
        "actor": "",
        "actor_id": "",
        "target": "",
        "address": "",
        "agent": "",
        "details": {},
    }
    return replace(entry, action="*", actor_kind="anonymous", **blank)
