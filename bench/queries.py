"""Six questions of the console over a store of millions of rows, and what keeping these rows costs.

The store is filled once through the real pipeline, in batches of the size that `dozor up` makes, and stays in
var/bench for the next run. Each question is asked many times, in turn with the others, as the pages do;
ClickHouse caches no answers.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from bench.generate import LogSpec, access_log, attack_samples
from dozor.app.pipeline import build_pipeline
from dozor.app.settings import Settings
from dozor.features.traffic.adapters.files import open_chunks
from dozor.features.traffic.adapters.store_clickhouse import ClickHouseStore, open_store
from dozor.features.traffic.core.filters import read_filters
from dozor.features.traffic.core.formats import find_format
from dozor.features.traffic.model import Chunk, Delivery, Dimension, Filters, Measure, Split
from dozor.kernel.i18n import format_bytes

FOLDER: Final = Path("var/bench")
ROWS: Final = 20_000_000
GOAL_MS: Final = 300
_ROUNDS: Final = 20
_EVERYTHING: Final = Filters()

Question = Callable[[ClickHouseStore], object]

QUESTIONS: Final[dict[str, Question]] = {
    "totals with unique clients": lambda store: store.totals(_EVERYTHING),
    "time line by status": lambda store: store.timeline(_EVERYTHING, split=Split.STATUS),
    "top paths": lambda store: store.top(_EVERYTHING, Dimension.PATH),
    "top clients by errors": lambda store: store.top(_EVERYTHING, Dimension.CLIENT, measure=Measure.ERRORS),
    "countries": lambda store: store.top(_EVERYTHING, Dimension.COUNTRY, limit=300),
    "findings": lambda store: store.findings(_EVERYTHING),
}
FURTHER: Final[dict[str, Question]] = {
    "latest lines": lambda store: store.lines(_EVERYTHING),
    "latest errors of a path": lambda store: store.lines(_where("status >= 500", "path ~ ^/search")),
    "whole summary": lambda store: store.summary(_EVERYTHING),
    "one day: summary": lambda store: store.summary(_last(store, timedelta(days=1))),
    "one day: time line": lambda store: store.timeline(_last(store, timedelta(days=1)), split=Split.STATUS),
}


def run(rows: int = ROWS) -> bool:
    """Print the table; False when a goal is missed.

    Args:
        rows: Rows of the store, about.
    """
    folder = FOLDER / f"store-{rows}"
    if not (folder / "filled").exists():
        shutil.rmtree(folder, ignore_errors=True)
        _fill(folder, rows)
        (folder / "filled").touch()
    store = open_store(folder=folder)
    try:
        coverage = store.coverage()
        size = sum(file.stat().st_size for file in (folder / "chdb").rglob("*") if file.is_file())
        print(
            f"{coverage.requests:,} rows, {coverage.first} to {coverage.last}, {format_bytes(size)} on disk"
        )
        print(f"{'question':<28}{'p50':>9}{'p95':>9}")
        worst = max(_time(store, QUESTIONS, _ROUNDS))
        _time(store, FURTHER, 5)
    finally:
        store.close()
    print(f"Slowest p95 of the six: {worst:.0f} ms; the goal is below {GOAL_MS} ms.")
    return worst < GOAL_MS


def _time(store: ClickHouseStore, questions: dict[str, Question], rounds: int) -> list[float]:
    """Print and return the p95 of each, in ms."""
    took: dict[str, list[float]] = {name: [] for name in questions}
    for number in range(rounds + 1):
        for name, ask in questions.items():
            started = time.perf_counter()
            ask(store)
            if number:  # the first round reads from disk
                took[name].append(1000 * (time.perf_counter() - started))
    for name, times in took.items():
        print(f"{name:<28}{statistics.median(times):>6.0f} ms{_p95(times):>6.0f} ms", flush=True)
    return [_p95(times) for times in took.values()]


def _p95(times: list[float]) -> float:
    return sorted(times)[max(0, -(-95 * len(times) // 100) - 1)]


def _where(*conditions: str) -> Filters:
    return read_filters(where=conditions, now=datetime.now(UTC))


def _last(store: ClickHouseStore, span: timedelta) -> Filters:
    last = store.coverage().last
    return Filters() if last is None else Filters(since=last - span)


def _fill(folder: Path, rows: int) -> None:
    """Make the store; parsing runs beside the inserts, which are timed."""
    log = access_log(LogSpec(rows, 0.3), attack_samples(), FOLDER)
    store = open_store(folder=folder)
    started, inserting, done = time.perf_counter(), 0.0, 0
    cpu = time.process_time()
    for number, delivery in enumerate(_deliveries(log)):
        began = time.perf_counter()
        store.insert(delivery)
        inserting += time.perf_counter() - began
        done += len(delivery.records or ())
        if number % 20 == 0:
            print(f"\r{done:,} rows", end="", flush=True)
    seconds = time.perf_counter() - started
    store.close()
    print(
        f"\r{done:,} rows kept in {seconds:.0f} s, {done / inserting:,.0f} rows/s while inserting "
        f"({(time.process_time() - cpu) / done * 1e6:.2f} us of CPU a row with parsing and merges)"
    )


def _deliveries(log: Path) -> Iterator[Delivery]:
    pipeline = build_pipeline(Settings(), "combined")
    format_ = find_format("combined", {})
    for chunk in open_chunks(str(log)):
        whole = Chunk(chunk.data, chunk.offset, chunk.first_line)
        run = pipeline.run(whole, format_, _EVERYTHING, {})
        yield Delivery("access.log", f"bench:{chunk.offset}", run.records, format="combined")
