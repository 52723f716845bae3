"""Stores of every kind for the contract suite, and deliveries to fill them with."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from dozor.columns.record import REJECT
from dozor.features.traffic.core.errorlog import parse_errorlog
from dozor.features.traffic.core.filters import read_filters
from dozor.features.traffic.model import Delivery, Filters, RuleFacts
from dozor.features.traffic.ports import RecordStore, TrafficQueries
from dozor.kernel.errors import CancelledError
from dozor.kernel.finding import Severity
from tests.unit.traffic.records import batch

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LOG = "/var/log/nginx/access.log"
FACTS: Mapping[str, RuleFacts] = {
    "sqli-x": RuleFacts("sqli", Severity.CRITICAL),
    "xss-x": RuleFacts("xss", Severity.HIGH),
}


class Store(RecordStore, TrafficQueries, Protocol):
    """What every store is."""

    def close(self) -> None: ...


def requests(*rows: Mapping[str, Any], source: str = LOG, token: str = "1", format: str = "main") -> Delivery:
    return Delivery(source, token, records=batch([{"ts": NOON, **row} for row in rows]), format=format)


def errors(*lines: str, source: str = "error.log", token: str = "1") -> Delivery:
    text = "".join(f"{line}\n" for line in lines)
    parsed = parse_errorlog(text.encode())
    return Delivery(source, token, errors=parsed.records, rejects=parsed.rejects, format="nginx-error")


def rejects(*raws: str, source: str = LOG, token: str = "1", reason: str = "fields") -> Delivery:
    rows = [{"line": n, "line_offset": n * 10, "reason": reason, "raw": raw} for n, raw in enumerate(raws, 1)]
    return Delivery(source, token, rejects=pa.RecordBatch.from_pylist(rows, schema=REJECT))


def scope(*where: str, since: datetime | None = None, until: datetime | None = None) -> Filters:
    return Filters(since, until, read_filters(where=where, now=NOON).where)


def at(**span: float) -> datetime:
    """A moment after noon."""
    return NOON + timedelta(**span)


@dataclass
class Watching:
    """A watch that remembers what it was told, and calls off after some calls."""

    patience: int = 1_000_000
    shares: list[float] = field(default_factory=list)

    def progress(self, done: float) -> None:
        self.shares.append(done)
        if len(self.shares) > self.patience:
            raise CancelledError("called off")


@contextmanager
def clickhouse_server(folder: Path, password: str = "", *, port: int = 0) -> Iterator[str]:
    """A server of its own; its URL without a database."""
    port_file = folder / "port"
    port_file.unlink(missing_ok=True)
    script = Path(__file__).parents[2] / "clickhouse_http.py"
    process = subprocess.Popen(
        [sys.executable, script, folder / "server", port_file, password], env={"PORT": str(port)}
    )
    try:
        deadline = time.monotonic() + 30
        while not port_file.exists():
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port_file.read_text()}"
    finally:
        process.kill()
        process.wait()


def places(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """What tells lines apart in these tests: source and number."""
    return [(row["source"], row["line"]) for row in rows]
