"""Time lines from counts by step and series: the order of the series, the steps without gaps."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import polars as pl

from dozor.features.traffic.core.steps import from_millis, step_starts, to_millis
from dozor.features.traffic.model import Series, Split, Timeline

OTHER: Final = "other"
"""The series of what is not among the most frequent."""

ALL: Final = "all"
"""The only series of a time line that is not divided."""

FIXED: Final = {
    Split.NONE: (ALL,),
    Split.STATUS: ("ok", "4xx", "5xx", "attack"),
    Split.AUDIENCE: ("people", "bots", "attackers"),
}
_COUNTS: Final = ("requests", "bytes", "clients")


def bounds(
    since: datetime | None, until: datetime | None, ends: tuple[int, int] | None
) -> tuple[int, int] | None:
    """First and last moment (ms since 1970) of a time line; None when nothing bounds it.

    Args:
        since: Begin of the scope, inclusive.
        until: End of the scope, exclusive.
        ends: First and last moment of what is in scope; None when nothing is.
    """
    first = to_millis(since) if since is not None else ends and ends[0]
    last = to_millis(until) - 1 if until is not None else ends and ends[1]
    return None if first is None or last is None or last < first else (first, last)


def timeline_of(
    counted: pl.DataFrame, ends: tuple[int, int], step: timedelta, split: Split | None = None
) -> Timeline:
    """A time line from counts.

    Args:
        counted: Columns step (ms since 1970), name, requests, bytes, clients; each step and name once.
        ends: First and last moment (ms since 1970).
        step: Width of a step.
        split: What it is divided by; None orders the series by their names.
    """
    starts = step_starts(*ends, step)
    place = {start: number for number, start in enumerate(starts)}
    totals: dict[str, int] = dict.fromkeys(FIXED.get(split, ()) if split else (), 0)
    counts: dict[str, tuple[list[int], ...]] = {}
    for row in counted.iter_rows(named=True):
        name = row["name"]
        totals[name] = totals.get(name, 0) + row["requests"]
        columns = counts.setdefault(name, tuple([0] * len(starts) for _ in _COUNTS))
        if (number := place.get(row["step"])) is not None:
            for column, key in zip(columns, _COUNTS, strict=True):
                column[number] += row[key]
    empty = tuple([0] * len(starts) for _ in _COUNTS)
    return Timeline(
        start=tuple(from_millis(start) for start in starts),
        step=step,
        series=tuple(
            Series(name, *(tuple(column) for column in counts.get(name, empty)))
            for name in _ordered(totals, split)
        ),
    )


def _ordered(totals: dict[str, int], split: Split | None) -> list[str]:
    if split is None:
        return sorted(totals)
    if split in FIXED:
        return list(totals)
    return sorted(totals, key=lambda name: (name == OTHER, -totals[name], name))
