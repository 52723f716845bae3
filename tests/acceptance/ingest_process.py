"""A process that tests kill: live ingest into the embedded store, with places where it kills itself.

    ingest_process.py follow FOLDER SOURCE... [--kill PLACE:COUNT]
    ingest_process.py dump FOLDER

`follow` writes how its logs come along into FOLDER/status.json and ends on SIGTERM. PLACE is a step of
storing; the process kills itself with SIGKILL when it comes there for the COUNT-th time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dozor.app.pipeline import build_pipeline
from dozor.app.settings import Settings
from dozor.features.traffic.adapters.checkpoint_sqlite import SqliteCheckpoints
from dozor.features.traffic.adapters.store_clickhouse import open_store
from dozor.features.traffic.adapters.syslog import SyslogSource
from dozor.features.traffic.adapters.tail import TailSource
from dozor.features.traffic.model import Delivery, Filters, Mark
from dozor.features.traffic.ports import Checkpoints, LiveSource, RecordStore
from dozor.features.traffic.service.live import LiveIngest, Pace

PLACES = ("intent", "partial", "insert", "stored", "mark")
"""After the intent; when one table of several is written; while the insert runs; after it; after the mark."""


class Fuse:
    """Kills the process when it comes to a place for the n-th time."""

    def __init__(self, text: str | None) -> None:
        place, _, count = (text or ":0").partition(":")
        self._place, self._left = place, int(count)
        self._lock = threading.Lock()

    def burns(self, place: str) -> bool:
        with self._lock:
            self._left -= place == self._place
            return place == self._place and self._left == 0

    def reach(self, place: str) -> None:
        if self.burns(place):
            kill()


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class FusedCheckpoints:
    """Checkpoints with the places around a save."""

    def __init__(self, inner: Checkpoints, fuse: Fuse) -> None:
        self._inner, self._fuse = inner, fuse

    def marks(self) -> tuple[Mark, ...]:
        return self._inner.marks()

    def save(self, mark: Mark) -> None:
        self._inner.save(mark)
        self._fuse.reach("mark" if mark.end is None else "intent")


class FusedStore:
    """A store with the places within and after an insert."""

    def __init__(self, inner: RecordStore, fuse: Fuse) -> None:
        self._inner, self._fuse = inner, fuse

    def check(self) -> None:
        self._inner.check()

    def insert(self, delivery: Delivery) -> None:
        if delivery.records is not None and delivery.rejects is not None and self._fuse.burns("partial"):
            self._inner.insert(replace(delivery, rejects=None))
            kill()
        if self._fuse.burns("insert"):
            threading.Timer(0.004, kill).start()
        self._inner.insert(delivery)
        self._fuse.reach("stored")


def source_of(text: str, folder: Path) -> LiveSource:
    if text.startswith("syslog:"):
        _, protocol, port = text.split(":")
        udp = protocol == "udp"
        return SyslogSource("udp" if udp else "tcp", "127.0.0.1", int(port), spool=folder / "spool")
    return TailSource(text)


def follow(folder: Path, sources: Sequence[str], fuse: Fuse) -> None:
    store = open_store(folder=folder / "events")
    checkpoints = SqliteCheckpoints(folder / "checkpoints.sqlite")
    ingest = LiveIngest(
        [source_of(source, folder) for source in sources],
        build_pipeline(Settings()),
        FusedStore(store, fuse),
        FusedCheckpoints(checkpoints, fuse),
        pace=Pace(delay=0.05),
    )
    asyncio.run(_follow(ingest, folder / "status.json"))
    store.close()
    checkpoints.close()


async def _follow(ingest: LiveIngest, told: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    running = asyncio.create_task(ingest.run(stop))
    while not running.done():
        status = {one.name: [one.state, one.lag_bytes, one.lines] for one in ingest.status()}
        told.with_suffix(".new").write_text(json.dumps(status))
        told.with_suffix(".new").replace(told)
        await asyncio.wait({running}, timeout=0.1)
    await running


def dump(folder: Path) -> dict[str, dict[str, list[str]]]:
    """Targets, messages and rejects by source."""
    store = open_store(folder=folder / "events")
    found: dict[str, dict[str, list[str]]] = {"requests": {}, "errors": {}, "rejects": {}}
    for batch in store.batches(Filters()):
        names, targets = (batch.column(name).to_pylist() for name in ("source", "target"))
        for name, target in zip(names, targets, strict=True):
            found["requests"].setdefault(name, []).append(target)
    for row in _all_errors(store.error_lines):
        found["errors"].setdefault(row["source"], []).append(row["message"])
    for reject in store.rejects(limit=10_000):
        found["rejects"].setdefault(reject.source, []).append(reject.raw)
    store.close()
    return found


def _all_errors(ask: Callable[..., Any]) -> Iterator[dict[str, Any]]:
    cursor: str | None = None
    while True:
        page = ask(None, None, limit=1000, cursor=cursor)
        yield from page.rows
        cursor = page.next
        if cursor is None:
            return


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["follow", "dump"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("sources", nargs="*")
    parser.add_argument("--kill")
    asked = parser.parse_args()
    if asked.what == "follow":
        follow(asked.folder, asked.sources, Fuse(asked.kill))
    else:
        json.dump(dump(asked.folder), sys.stdout)


if __name__ == "__main__":
    main()
