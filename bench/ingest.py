"""Measures live ingest with detection into the embedded store: from a file, followed, and write to visible.

Each measure runs in a process of its own with a fresh data folder; the writer of live lines is another
process, which competes for the same cores as a server would.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shlex
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from bench import report

if TYPE_CHECKING:
    from dozor.features.traffic.adapters.store_clickhouse import ClickHouseStore
    from dozor.features.traffic.service.live import LiveIngest

FILE_LINES: Final = 2_000_000
RATES: Final = (25_000, 50_000, 75_000, 100_000, 125_000, 150_000, 200_000)
RATE_SECONDS: Final = 6.0
LATENCY_RATE: Final = 10_000
LATENCY_SECONDS: Final = 24.0
WARM_SECONDS: Final = 2.0
"""The first lines of a live measure pay for first calls; they are not counted."""

_MOST_LAG: Final = 1.0  # seconds; a rate is kept when lines wait less at its end
_STEP: Final = 0.01
_MIB: Final = 1 << 20

Say = Callable[[str], None]


def run(say: Say = print) -> bool:
    """Measure and print; False when a line is missing or doubled."""
    say(f"Busy before the start: {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores.")
    log = _generate()
    right = True
    for name in ("file", "live", "latency"):
        right = _measure(name, log, say) and right
    return right


def _generate() -> Path:
    command = [sys.executable, "-m", "bench", "generate", "--lines", str(FILE_LINES), "--distinct", "0.3"]
    made = subprocess.run(command, check=True, cwd=report.ROOT, stdout=subprocess.PIPE, text=True)
    return Path(made.stdout.strip())


def _measure(name: str, log: Path, say: Say) -> bool:
    command = [sys.executable, "-m", "bench.ingest", name, str(log)]
    done = subprocess.run(command, check=False, cwd=report.ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        say(f"{shlex.join(command)} failed.")
        return False
    found: dict[str, Any] = json.loads(done.stdout)
    say("\n".join(_told(name, found)))
    return bool(found["right"])


def _told(name: str, found: dict[str, Any]) -> Iterator[str]:
    match name:
        case "file":
            yield f"\n## From a file of {found['lines']:,} lines\n"
            yield f"{found['lines'] / found['seconds']:,.0f} lines/s ({found['seconds']:.2f} s)"
            yield f"{found['cpu'] / found['lines'] * 1e6:.1f} us of processor time for each line"
        case "live":
            yield "\n## Followed live\n"
            for rate in found["rates"]:
                kept = "kept" if rate["lag"] < _MOST_LAG else "not kept"
                written = f"written {rate['written']:>9,}/s"
                yield f"{rate['wanted']:>9,} lines/s: {written}, lag {rate['lag']:.2f} s, {kept}"
        case _:
            yield f"\n## From write to visible at {found['rate']:,} lines/s over {found['seconds']:.0f} s\n"
            yield f"p50 {found['p50']:.0f} ms, p99 {found['p99']:.0f} ms, longest {found['longest']:.0f} ms"
            yield f"{found['cpu']:.2f} cores in use"
    yield f"peak memory {found['peak'] / _MIB:,.0f} MiB; stored once: {'yes' if found['right'] else 'NO'}"
    spent = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in found["stages"].items())
    yield f"seconds by stage, summed over threads: {spent}"


def main(arguments: list[str]) -> int:
    """One measure in this process; prints what it found as JSON."""
    name, log = arguments[0], Path(arguments[1])
    with TemporaryDirectory(prefix="dozor-bench-", dir=report.FOLDER) as folder:
        match name:
            case "write":
                write(log, Path(arguments[2]), float(arguments[3]), float(arguments[4]))
                return 0
            case "file":
                found = measure_file(log, Path(folder))
            case "live":
                found = measure_live(log, Path(folder))
            case _:
                found = measure_latency(log, Path(folder))
    found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(found))
    return 0


@contextmanager
def ingesting(log: Path, folder: Path) -> Iterator[tuple[LiveIngest, ClickHouseStore]]:
    """Live ingest of one log as `dozor up` runs it, in this process."""
    from dozor.app.pipeline import build_detector, build_pipeline  # noqa: PLC0415 - only here it is needed
    from dozor.app.settings import Settings  # noqa: PLC0415
    from dozor.features.traffic.adapters.checkpoint_sqlite import SqliteCheckpoints  # noqa: PLC0415
    from dozor.features.traffic.adapters.store_clickhouse import open_store  # noqa: PLC0415
    from dozor.features.traffic.adapters.tail import TailSource  # noqa: PLC0415
    from dozor.features.traffic.service.live import LiveIngest  # noqa: PLC0415

    settings = Settings()
    store = open_store(folder=folder / "events")
    checkpoints = SqliteCheckpoints(folder / "checkpoints.sqlite")
    ingest = LiveIngest(
        [TailSource(log)],
        build_pipeline(settings),
        store,
        checkpoints,
        findings=build_detector(settings).findings,
    )
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(ingest.run(stop)))
    thread.start()
    try:
        yield ingest, store
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        store.close()
        checkpoints.close()


def measure_file(log: Path, folder: Path) -> dict[str, Any]:
    """How long a log takes that is there already."""
    report._warm(log)  # noqa: SLF001 - the same measure
    began = time.perf_counter()
    with ingesting(log, folder) as (ingest, store):
        started, used = time.perf_counter(), time.process_time()
        while sum(status.lines for status in ingest.status()) < FILE_LINES:
            time.sleep(0.01)
        seconds, cpu = time.perf_counter() - started, time.process_time() - used
        count = store.coverage().requests
        stages = {"setup": started - began, **ingest.seconds()}
    right = count == FILE_LINES
    return {"lines": FILE_LINES, "seconds": seconds, "cpu": cpu, "stages": stages, "right": right}


def measure_live(log: Path, folder: Path) -> dict[str, Any]:
    """Which rates are kept up with."""
    live, rates, total = folder / "access.log", [], 0
    live.touch()
    with ingesting(live, folder) as (ingest, store):
        for wanted in RATES:
            notes = _start_writer(log, live, wanted, RATE_SECONDS)
            written = json.loads(notes.communicate()[0])
            lag = max(status.lag_seconds or 0.0 for status in ingest.status())
            lines = written[-1][1]
            total += lines
            rates.append({"wanted": wanted, "written": round(lines / RATE_SECONDS), "lag": lag})
            while sum(status.lines for status in ingest.status()) < total:
                time.sleep(0.05)
        count, stages = store.coverage().requests, ingest.seconds()
    return {"rates": rates, "stages": stages, "right": count == total}


def measure_latency(log: Path, folder: Path) -> dict[str, Any]:
    """How long it takes from the write of a line until a query counts it."""
    live, seen = folder / "access.log", list[tuple[float, int]]()
    live.touch()
    with ingesting(live, folder) as (ingest, store):
        writer = _start_writer(log, live, LATENCY_RATE, LATENCY_SECONDS)
        began, used = time.monotonic(), time.process_time()
        while writer.poll() is None or seen[-1][1] < LATENCY_RATE * LATENCY_SECONDS * 0.999:
            count = store.coverage().requests
            seen.append((time.monotonic(), count))
            time.sleep(0.02)
            if time.monotonic() - began > LATENCY_SECONDS * 2:
                break
        cpu = (time.process_time() - used) / (time.monotonic() - began)
        written = json.loads(writer.communicate()[0])
        count, stages = store.coverage().requests, ingest.seconds()
    waits = _waits(written, seen)
    hundredths = statistics.quantiles(waits, n=100)
    return {
        "rate": LATENCY_RATE,
        "seconds": LATENCY_SECONDS,
        "p50": hundredths[49] * 1000,
        "p99": hundredths[98] * 1000,
        "longest": max(waits) * 1000,
        "cpu": cpu,
        "stages": stages,
        "right": count == written[-1][1],
    }


def _waits(written: list[tuple[float, int]], seen: list[tuple[float, int]]) -> list[float]:
    """Seconds until the lines of each write were counted."""
    waits, looks = [], iter(seen)
    moment, count = next(looks)
    start = written[0][0] + WARM_SECONDS
    for when, lines in written:
        while count < lines:
            moment, count = next(looks)
        if when >= start:
            waits.append(moment - when)
    return waits


def _start_writer(log: Path, live: Path, rate: float, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.ingest", "write", str(log), str(live), str(rate), str(seconds)]
    return subprocess.Popen(command, cwd=report.ROOT, stdout=subprocess.PIPE, text=True)


def write(log: Path, live: Path, rate: float, seconds: float) -> None:
    """Append lines of a log to another at a rate; print when how many were written."""
    notes: list[tuple[float, int]] = []
    count, start = 0, time.monotonic()
    with log.open("rb") as lines, live.open("ab", buffering=0) as file:
        while (now := time.monotonic() - start) < seconds:
            due = int(min(now + _STEP, seconds) * rate) - count
            file.write(b"".join(lines.readline() for _ in range(due)))
            count += due
            notes.append((time.monotonic(), count))
            time.sleep(max(0.0, start + now + _STEP - time.monotonic()))
    print(json.dumps(notes))


if __name__ == "__main__":
    os.environ.pop("DOZOR_TIMINGS", None)
    sys.exit(main(sys.argv[1:]))
