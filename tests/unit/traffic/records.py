"""Makes annotated record batches for tests from a few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from dozor.columns.record import RECORD

START = datetime(2026, 11, 1, tzinfo=UTC)

_DEFAULTS: Mapping[str, Any] = {
    "line": 1,
    "line_offset": 0,
    "raw": "",
    "ts": START,
    "client": "192.0.2.1",
    "user": "",
    "method": "GET",
    "target": "/",
    "path": "/",
    "query": "",
    "protocol": "HTTP/1.1",
    "status": 200,
    "bytes": 100,
    "referer": "",
    "user_agent": "",
    "host": "",
    "forwarded_for": "",
    "request_time": None,
    "upstream_time": None,
    "country": "",
    "is_bot": False,
    "ua_family": "",
    "rules": [],
    "classes": [],
    "score": 0.0,
    "evidence": [],
}


def batch(rows: Sequence[Mapping[str, Any]]) -> pa.RecordBatch:
    """One record per mapping; what it does not name has a default, and the target is path and query."""
    full = [{**_DEFAULTS, **row} for row in rows]
    for row, given in zip(full, rows, strict=True):
        if "target" not in given:
            row["target"] = row["path"] + (f"?{row['query']}" if row["query"] else "")
    columns = [pa.array([row[field.name] for row in full], field.type) for field in RECORD]
    return pa.RecordBatch.from_arrays(columns, schema=RECORD)


def attack(attack_class: str, score: float = 0.9, **fields: Any) -> dict[str, Any]:
    """Fields of a request that a rule hit."""
    evidence = [{"where": "query:q", "decoded": "decoded", "matched": "match", "rule": f"{attack_class}-x"}]
    hit = {"classes": [attack_class], "rules": [f"{attack_class}-x"], "score": score, "evidence": evidence}
    return {**hit, **fields}
