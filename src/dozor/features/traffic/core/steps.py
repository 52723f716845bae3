"""Steps of time lines: round widths that are few enough to draw, from the first to the last without gaps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

MAX_STEPS: Final = 120
"""Steps of a time line at the most, unless a width was asked for."""

MINUTES: Final = [
    *(timedelta(minutes=m) for m in (1, 2, 5, 10, 15, 30)),
    *(timedelta(hours=h) for h in (1, 2, 3, 6, 12)),
    *(timedelta(days=d) for d in (1, 2, 7, 14, 30, 90, 365, 3_650, 36_500)),
]
"""Round widths from a minute up."""

SECONDS: Final = [timedelta(seconds=s) for s in (1, 2, 5, 10, 15, 30)] + MINUTES
"""Round widths from a second up."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


def to_millis(moment: datetime) -> int:
    """Milliseconds since 1970; what is finer is cut off."""
    return (moment - _EPOCH) // _MS


def from_millis(number: int) -> datetime:
    """The moment of these milliseconds since 1970."""
    return _EPOCH + timedelta(milliseconds=number)


def round_width(first_ms: int, last_ms: int, widths: Sequence[timedelta] = SECONDS) -> timedelta:
    """The smallest of the widths that makes at most `MAX_STEPS` steps from the first to the last moment."""
    for width in widths:
        if last_ms // (width // _MS) - first_ms // (width // _MS) < MAX_STEPS:
            return width
    return widths[-1]


def step_starts(first_ms: int, last_ms: int, width: timedelta) -> range:
    """Where the steps begin that hold the moments from first to last: multiples of the width since 1970."""
    size = max(1, width // _MS)
    return range(first_ms // size * size, last_ms // size * size + 1, size)
