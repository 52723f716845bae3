"""What tests of live ingest share: a store that counts, lines that can be told apart, waiting with an end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from dozor.columns.record import DETECT_COLUMNS, ENRICH_COLUMNS
from dozor.features.traffic.model import Arrival, Delivery
from dozor.features.traffic.ports import LiveSource
from dozor.features.traffic.service import Pipeline
from dozor.features.traffic.service.live import LiveIngest
from dozor.kernel.errors import UnavailableError

DEADLINE = 20.0


def line(number: int, *, agent: str = "test", at: int = 0) -> bytes:
    """A line in the format `combined` that no other number gives."""
    return (
        f"198.51.100.7 - - [22/Nov/2026:10:{at // 60 % 60:02}:{at % 60:02} +0000] "
        f'"GET /n/{number} HTTP/1.1" 200 17 "-" "{agent}"\n'
    ).encode()


def lines(first: int, count: int) -> bytes:
    return b"".join(line(number) for number in range(first, first + count))


def wait_for(what: Callable[[], object], deadline: float = DEADLINE) -> None:
    """Wait until it is true; fail when it is not within the deadline (seconds)."""
    end = time.monotonic() + deadline
    while not what():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.005)


class CountingStore:
    """Keeps deliveries by token, as a store must; can be away."""

    def __init__(self) -> None:
        self.deliveries: dict[str, Delivery] = {}
        self.asked: list[str] = []
        self.away = False
        self.hold = threading.Event()
        self.hold.set()
        self._lock = threading.Lock()

    def check(self) -> None:
        if self.away:
            raise UnavailableError("The store is away.")

    def insert(self, delivery: Delivery) -> None:
        self.hold.wait(DEADLINE)
        self.check()
        with self._lock:
            self.asked.append(delivery.token)
            self.deliveries.setdefault(delivery.token, delivery)

    def values(self, column: str = "path", *, table: str = "records") -> list[Any]:
        """A column of everything stored, in the order of storing."""
        with self._lock:
            batches = [getattr(delivery, table) for delivery in self.deliveries.values()]
        return [value for batch in batches if batch is not None for value in batch.column(column).to_pylist()]

    def numbers(self) -> Counter[int]:
        """How often each line of `line` is stored."""
        return Counter(int(path.removeprefix("/n/")) for path in self.values())


def no_change(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    empty = {pa.string(): "", pa.bool_(): False, pa.float32(): 0.0}
    arrays = [pa.array([empty.get(field.type, [])] * len(batch), field.type) for field in schema]
    return pa.RecordBatch.from_arrays([*batch.columns, *arrays], schema=pa.schema([*batch.schema, *schema]))


PLAIN_PIPELINE = Pipeline(
    enrich=lambda batch: no_change(batch, ENRICH_COLUMNS),
    annotate=lambda batch: no_change(batch, DETECT_COLUMNS),
)


@contextmanager
def running(ingest: LiveIngest) -> Iterator[Callable[[], None]]:
    """Run it in a thread of its own; what comes ends it, and waits for that."""
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    failed: list[BaseException] = []

    def body() -> None:
        try:
            loop.run_until_complete(ingest.run(stop))
        except BaseException as error:  # noqa: BLE001 - raised again below
            failed.append(error)
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())

    thread = threading.Thread(target=body)
    thread.start()

    def end() -> None:
        if thread.is_alive():
            loop.call_soon_threadsafe(stop.set)
        thread.join(DEADLINE)
        assert not thread.is_alive(), "ingest did not end"

    try:
        yield end
    finally:
        end()
        loop.close()
    if failed:
        raise failed[0]


def take_all(source: LiveSource, limit: int = 1 << 20) -> list[Arrival]:
    """Everything that a scan finds."""
    source.scan()
    taken: list[Arrival] = []
    while (arrival := source.next(limit)) is not None:
        taken.append(arrival)
    return taken


def text(arrivals: Sequence[Arrival]) -> bytes:
    return b"".join(bytes(arrival.data) for arrival in arrivals)
