"""An audit record as a JSON line, and as a line of CSV."""

from __future__ import annotations

import csv
import io
import json

from dozor.features.access.core.chain import facts, moment
from dozor.features.access.model import AuditRecord

COLUMNS = (
    *("number", "at", "event", "action", "result", "actor", "actor_kind", "actor_id"),
    *("target", "address", "agent", "count", "details", "previous", "hash"),
)
_RISKY = ("=", "+", "-", "@", "\t", "\r")


def as_json(record: AuditRecord) -> str:
    """One object without line breaks; ASCII, so that hostile signs reach no terminal."""
    return json.dumps(_body(record), separators=(",", ":"))


def as_csv(record: AuditRecord) -> str:
    """One line, ended by CR LF (RFC 4180); an apostrophe goes before what a spreadsheet would run."""
    body = _body(record) | {"details": json.dumps(dict(record.entry.details), sort_keys=True)}
    line = io.StringIO()
    csv.writer(line).writerow([_harmless(body[name]) for name in COLUMNS])
    return line.getvalue()


def csv_header() -> str:
    """The line of names."""
    return ",".join(COLUMNS) + "\r\n"


def _body(record: AuditRecord) -> dict[str, object]:
    chain = {"number": record.number, "at": moment(record.at)}
    return chain | facts(record.entry) | {"previous": record.previous, "hash": record.hash}


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_RISKY) else value
