"""Made-up traffic as a web server would log it: the last days at once, then line by line as time goes by.

It writes `access.log` and `error.log` and knows nothing of who reads them. What is written already says
how far it came: a restart goes on behind the last line, so that nothing is written twice and no gap stays.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Final

import polars as pl

from dozor.features.traffic.core.demo import (
    SECOND,
    DemoFormat,
    DemoOptions,
    World,
    access_lines,
    backfill,
    build_world,
    error_lines,
)
from dozor.kernel.errors import UnavailableError
from dozor.kernel.i18n import _

AttackSamples = Callable[[], Mapping[str, Sequence[str]]]

_PARTS: Final = 12  # of a day
_SLICE: Final = 50_000  # events; their text is ten times their size
_TAIL: Final = 1 << 16
_TIME: Final = re.compile(rb"\[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\]")


class DemoFeed:
    """Writes demo traffic until it is told to stop; a service of the supervisor.

    Args:
        folder: Where the logs are written; made when missing.
        samples: Attack texts by class, asked for once.
        options: Who visits, and how much.
        days: How far the past reaches that is written at once.
        now: The clock, UTC.
        tick: Seconds between two writes.
        rotate_at: Bytes at which a log is renamed to `.1`, in place of the one before.
    """

    name = "demo"

    def __init__(
        self,
        folder: Path,
        samples: AttackSamples,
        *,
        options: DemoOptions | None = None,
        days: int = 2,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        tick: float = 0.5,
        rotate_at: int = 256 << 20,
    ) -> None:
        self.access, self.error = folder / "access.log", folder / "error.log"
        self._samples = samples
        self._options = options or DemoOptions(seed=7, requests_per_day=150_000)
        self._days = days
        self._now = now
        self._tick = tick
        self._rotate_at = rotate_at

    async def run(self, stop: asyncio.Event) -> None:
        """Write what is due until `stop`.

        Raises:
            UnavailableError: A log cannot be written, as on a full disk.
        """
        due = self.write()
        while not stop.is_set():
            await asyncio.to_thread(next, due)
            waiting = asyncio.create_task(stop.wait())
            await asyncio.wait({waiting}, timeout=self._tick)
            waiting.cancel()

    def write(self) -> Iterator[int]:
        """Write at each step what is due by now; yields how many lines that were. Endless."""
        try:
            self.access.parent.mkdir(parents=True, exist_ok=True)
            begin = self._begin()
            world, line = build_world(self._options, self._samples()), 1
            for part in _parts(world, begin):
                rest = part
                while len(rest):
                    at = round(self._now().timestamp() * SECOND)
                    due = int(rest["t"].search_sorted(at, side="right"))
                    for events in rest[:due].iter_slices(_SLICE):
                        self._append(events, line)
                        line += len(events)
                    rest = rest[due:]
                    if len(rest):
                        yield due
        except OSError as error:
            raise UnavailableError(
                _("Demo traffic cannot be written to {path}: {reason}.").format(
                    path=error.filename or self.access.parent, reason=error.strerror
                ),
                hint=_("Free some space, or let this user write there."),
            ) from error

    def _begin(self) -> datetime:
        """The moment to go on from: after the last line, but not further back than the days to show."""
        earliest = self._now() - timedelta(days=self._days)
        last = _last_time(self.access) or _last_time(_rotated(self.access))
        return earliest if last is None else max(earliest, last + timedelta(seconds=1))

    def _append(self, events: pl.DataFrame, first_line: int) -> None:
        self._write(self.access, access_lines(events, DemoFormat.MAIN).to_list())
        self._write(self.error, error_lines(events, first_line))

    def _write(self, path: Path, lines: Sequence[str]) -> None:
        if path.exists() and path.stat().st_size >= self._rotate_at:
            path.rename(_rotated(path))
        with path.open("ab") as file:
            # A line that was cut off by a crash or a full disk must not swallow the next one.
            cut = file.tell() and not _ends_with_line(path)
            file.write(("\n" if cut else "").encode() + "".join(f"{line}\n" for line in lines).encode())


def _parts(world: World, begin: datetime) -> Iterator[pl.DataFrame]:
    """All that happens from `begin` on, in parts of some hours.

    Each day is made at once and takes 50 MB; what is to come of it is kept packed.
    """
    for day in count():
        # A seed of its own for each, so that days differ.
        options = replace(world.options, seed=world.options.seed + day)
        events = next(backfill(replace(world, options=options), begin + timedelta(days=day + 1), 1))
        parts = [
            part.write_ipc(None, compression="zstd").getvalue()
            for part in events.iter_slices(max(1, len(events) // _PARTS))
        ]
        del events
        for packed in parts:
            yield pl.read_ipc(packed)


def _rotated(path: Path) -> Path:
    return path.with_name(path.name + ".1")


def _ends_with_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"


def _last_time(path: Path) -> datetime | None:
    """Time of the last line of an access log; None when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL))
            found = _TIME.findall(file.read())
    except FileNotFoundError:
        return None
    return datetime.strptime(found[-1].decode(), "%d/%b/%Y:%H:%M:%S %z") if found else None
