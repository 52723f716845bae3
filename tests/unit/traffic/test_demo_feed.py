from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from dozor.features.traffic.adapters.demo_feed import DemoFeed
from dozor.features.traffic.core.demo import DemoOptions
from dozor.features.traffic.core.errorlog import parse_errorlog
from dozor.features.traffic.core.formats import find_format
from dozor.features.traffic.core.parse import parse
from dozor.kernel.errors import UnavailableError

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
TINY = DemoOptions(seed=7, requests_per_day=2_000)


class FakeClock:
    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        return self.time

    def pass_(self, **units: float) -> None:
        self.time += timedelta(**units)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def feed(folder: Path, clock: FakeClock, *, days: int = 1, rotate_at: int = 1 << 30) -> DemoFeed:
    return DemoFeed(
        folder, lambda: {"sqli": ["' OR 1=1--"]}, options=TINY, days=days, now=clock, rotate_at=rotate_at
    )


def times(path: Path) -> list[datetime]:
    found = re.findall(r"\[(\d\d/\w{3}/\d{4}:[\d:]+ \+0000)\]", path.read_text(encoding="latin-1"))
    return [datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z") for text in found]


def test_the_past_is_written_at_once_and_the_future_as_it_comes(tmp_path: Path, clock: FakeClock) -> None:
    writing = feed(tmp_path, clock).write()
    next(writing)
    before = times(tmp_path / "access.log")
    assert before == sorted(before)
    assert START - timedelta(days=1) <= before[0] < START - timedelta(hours=22)
    assert START - timedelta(hours=1) < before[-1] <= START
    next(writing)
    assert times(tmp_path / "access.log") == before
    clock.pass_(minutes=30)
    next(writing)
    after = times(tmp_path / "access.log")[len(before) :]
    assert after
    assert all(START - timedelta(seconds=1) < time <= clock.time for time in after)


def test_every_line_is_one_that_dozor_reads(tmp_path: Path, clock: FakeClock) -> None:
    next(feed(tmp_path, clock).write())
    parsed = parse((tmp_path / "access.log").read_bytes(), find_format("main", {}), offset=0, first_line=1)
    # The demo has junk in it that no parser takes for a request.
    assert len(parsed.records) > 20 * len(parsed.rejects)
    errors = parse_errorlog((tmp_path / "error.log").read_bytes(), offset=0, first_line=1)
    assert len(errors.records) > 0


def test_a_restart_goes_on_behind_the_last_line(tmp_path: Path, clock: FakeClock) -> None:
    next(feed(tmp_path, clock).write())
    before = times(tmp_path / "access.log")
    next(feed(tmp_path, clock).write())
    assert times(tmp_path / "access.log") == before
    clock.pass_(hours=5)
    next(feed(tmp_path, clock).write())
    after = times(tmp_path / "access.log")
    assert after[: len(before)] == before
    assert after[len(before)] > before[-1]
    assert max(later - earlier for earlier, later in pairwise(after)) < timedelta(hours=1)


def test_a_feed_that_rested_for_weeks_begins_with_the_last_days(tmp_path: Path, clock: FakeClock) -> None:
    next(feed(tmp_path, clock).write())
    count = len(times(tmp_path / "access.log"))
    clock.pass_(days=30)
    next(feed(tmp_path, clock).write())
    assert times(tmp_path / "access.log")[count] > clock.time - timedelta(days=1)


def test_a_line_that_was_cut_off_swallows_no_other(tmp_path: Path, clock: FakeClock) -> None:
    next(feed(tmp_path, clock).write())
    with (tmp_path / "access.log").open("ab") as file:
        file.write(b"1.2.3.4 - - [24/Nov/2026:11:5")
    clock.pass_(hours=1)
    next(feed(tmp_path, clock).write())
    lines = (tmp_path / "access.log").read_text(encoding="latin-1").splitlines()
    at = lines.index("1.2.3.4 - - [24/Nov/2026:11:5")
    assert "[24/Nov/2026:12:" in lines[at + 1]


def test_logs_are_rotated_and_one_old_file_is_kept(tmp_path: Path, clock: FakeClock) -> None:
    writing = feed(tmp_path, clock, rotate_at=50_000).write()
    next(writing)
    for _hour in range(3):
        clock.pass_(hours=1)
        next(writing)
    assert {path.name for path in tmp_path.iterdir()} == {"access.log", "access.log.1", "error.log"} | (
        {"error.log.1"} if (tmp_path / "error.log.1").exists() else set()
    )
    assert times(tmp_path / "access.log")[0] > times(tmp_path / "access.log.1")[-1] - timedelta(seconds=1)


def test_a_clock_that_goes_back_writes_nothing_until_it_has_caught_up(
    tmp_path: Path, clock: FakeClock
) -> None:
    writing = feed(tmp_path, clock).write()
    next(writing)
    before = times(tmp_path / "access.log")
    clock.pass_(hours=-2)
    next(writing)
    assert times(tmp_path / "access.log") == before


def test_it_stops_when_it_is_told_to(tmp_path: Path, clock: FakeClock) -> None:
    async def main() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(feed(tmp_path, clock).run(stop))
        await asyncio.sleep(0)
        stop.set()
        await asyncio.wait_for(running, 30)

    asyncio.run(main())
    assert times(tmp_path / "access.log")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "demo").write_text("a file")
    with pytest.raises(UnavailableError, match=r"Demo traffic cannot be written to .*/demo: "):
        next(feed(tmp_path / "demo", clock).write())
