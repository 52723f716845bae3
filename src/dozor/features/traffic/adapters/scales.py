"""Round numbers for the axes of a chart, shared by the terminal and the page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dozor.features.traffic.model import Bucket
from dozor.kernel.i18n import _

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_INTERVALS = (
    *(timedelta(seconds=seconds) for seconds in (1, 2, 5, 10, 15, 30)),
    *(timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 15, 30)),
    *(timedelta(hours=hours) for hours in (1, 2, 3, 6, 12)),
    *(timedelta(days=days) for days in (1, 2, 7, 14, 28, 91, 182, 364, 1820, 3640)),
)


@dataclass(frozen=True, slots=True)
class TimeTick:
    """A mark of a time axis: its place from 0 (start) to 1 (end) and its label."""

    place: float
    label: str


def count_ticks(peak: int) -> list[int]:
    """Two to five even round numbers from 0 up to the first one that is not below `peak`.

    Counts are whole, so the step is 1, 2 or 5 times a power of ten, at least 1.
    """
    step = 1
    for factor in _round_steps():
        step = factor
        if factor * 4 >= peak:
            break
    top = max(-(-peak // step), 1)
    return [step * place for place in range(top + 1)]


def time_ticks(timeline: tuple[Bucket, ...], step: timedelta, most: int) -> list[TimeTick]:
    """At most `most` marks at round times over a gapless time line; midnight is told as its date."""
    if not timeline:
        return []
    start, whole = timeline[0].start.astimezone(UTC), step * len(timeline)
    interval = next((each for each in _INTERVALS if whole / each <= most - 1), _INTERVALS[-1])
    first = _EPOCH + -(-(start - _EPOCH) // interval) * interval
    times = [first + interval * number for number in range(most)]
    return [
        TimeTick((time - start) / whole, _label(time, interval)) for time in times if time < start + whole
    ]


def _round_steps() -> list[int]:
    return [factor * 10**power for power in range(30) for factor in (1, 2, 5)]


def _label(time: datetime, interval: timedelta) -> str:
    if interval >= _DAY or (time.hour, time.minute, time.second) == (0, 0, 0):
        # Translators: a pattern of strftime for a day on an axis; put the parts in the usual order.
        return time.strftime(_("%m-%d"))
    return time.strftime("%H:%M" if interval >= timedelta(minutes=1) else "%H:%M:%S")
