"""The chain of the audit trail: each record's hash covers the record and the hash before it.

Who changes, removes or inserts a record must make anew all hashes behind it; the lines that went to a file or
to journald, or a hash noted elsewhere, then tell.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from dozor.features.access.model import AuditRecord, ChainState, Entry
from dozor.kernel.i18n import _

START = "0" * 64
"""The hash before the first record."""


def link(entry: Entry, at: datetime, number: int, previous: str) -> AuditRecord:
    """Make the record of an entry behind the one whose hash is `previous`."""
    at = at.astimezone(UTC)
    return AuditRecord(number, at, entry, previous, digest(entry, at, number, previous))


def digest(entry: Entry, at: datetime, number: int, previous: str) -> str:
    """SHA-256 over the record as canonical JSON (sorted names, no spaces, ASCII), in hex."""
    body = {"number": number, "at": moment(at), "previous": previous, **facts(entry)}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def facts(entry: Entry) -> dict[str, Any]:
    """An entry as JSON knows it."""
    return asdict(entry) | {"event": entry.event.value, "details": dict(entry.details)}


def moment(at: datetime) -> str:
    """A time as it is hashed and stored: UTC to the microsecond, `2026-11-25T01:02:03.000004Z`."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Checker:
    """Walks along the chain and stops at the first record that does not fit.

    Args:
        head: Number and hash of a record that was the last one; None when none is known.
    """

    def __init__(self, head: tuple[int, str] | None = None) -> None:
        self._head = head
        self._number = 0
        self._hash = START

    def fault(self, record: AuditRecord) -> ChainState | None:
        """Take the next record; what is wrong with it, or None."""
        expected = self._number + 1
        if record.number != expected:
            return self._broken(expected, _("record {number} is missing").format(number=expected))
        if record.previous != self._hash:
            return self._broken(expected, _("it does not follow the record before it"))
        if record.hash != digest(record.entry, record.at, record.number, record.previous):
            return self._broken(expected, _("its content was changed"))
        if self._head and record.number == self._head[0] and record.hash != self._head[1]:
            return self._broken(expected, _("it is not the one that was written"))
        self._number, self._hash = record.number, record.hash
        return None

    def end(self) -> ChainState:
        """What was found when no record is left."""
        if self._head and self._head[0] > self._number:
            missing = self._number + 1
            return self._broken(missing, _("record {number} is missing").format(number=missing))
        return ChainState(self._number)

    def _broken(self, number: int, reason: str) -> ChainState:
        return ChainState(self._number, number, reason)
