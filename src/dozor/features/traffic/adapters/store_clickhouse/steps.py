"""Time lines: requests, bytes and clients by step and series."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import polars as pl
import pyarrow as pa

from dozor.columns.record import ATTACK_SCORE
from dozor.features.traffic.adapters.store_clickhouse.asking import Asking
from dozor.features.traffic.adapters.store_clickhouse.conditions import Where
from dozor.features.traffic.core.series import FIXED, OTHER, bounds, timeline_of
from dozor.features.traffic.core.steps import SECONDS, round_width, step_starts, to_millis
from dozor.features.traffic.model import SPLITS, Filters, Split, Timeline

_ATTACK: Final = f"r.score >= {ATTACK_SCORE}"
_NUMBERED: Final = {
    Split.NONE: "0",
    Split.STATUS: f"multiIf({_ATTACK}, 3, r.status < 400, 0, r.status < 500, 1, 2)",
    Split.AUDIENCE: f"multiIf({_ATTACK}, 2, r.is_bot, 1, 0)",
}
"""SQL for the number of the series in `core.series.FIXED`: numbers group twice as quick as names."""

_VALUES: Final = {
    Split.CLASS: "arrayJoin(r.classes)",
    Split.COUNTRY: "r.country",
    Split.HOST: "r.host",
    Split.SOURCE: "r.source",
}
_SERIES: Final = 64
"""More than there are series: a step and a series make one number."""

CLIENTS: Final = "uniqCombined64(14)(r.client_key)"
"""Distinct clients: exact for some hundreds, then within 2 %."""


def step_number(first_ms: int, width: timedelta) -> str:
    """SQL for the number of the step that a row of `r` is in, 0 for that of the first moment."""
    size = width // timedelta(milliseconds=1)
    return f"toUInt32(intDiv(toUnixTimestamp64Milli(r.ts) - ({first_ms // size * size:d}), {size:d}))"


def timeline(asking: Asking, scope: Filters, *, step: timedelta | None, split: Split) -> Timeline:
    """Answer `TrafficQueries.timeline`."""
    ends = _ends(asking, scope)
    between = bounds(scope.since, scope.until, ends)
    if between is None:
        return Timeline((), step or SECONDS[0], ())
    width = step or round_width(*between)
    where = Where(scope)
    if split in _NUMBERED:
        names, number = list(FIXED[split]), _NUMBERED[split]
    else:
        names = _most_frequent(asking, scope, _VALUES[split])
        kept = where.bind("Array(String)", names[:SPLITS])
        # 0 for what is not among them, the last name.
        number = f"indexOf({kept}, {_VALUES[split]})"
        names = [OTHER, *names[:SPLITS]]
    table = asking.table(
        # One number for both: ClickHouse groups by a single key a tenth quicker.
        f"SELECT {step_number(between[0], width)} * {_SERIES} + toUInt32({number}) AS place, "
        f"count() AS requests, sum(r.bytes) AS bytes, {CLIENTS} AS clients "
        f"FROM {where.of('requests')} GROUP BY place",
        where,
    )
    return timeline_of(_named(table, names, between, width), between, width, split)


def _ends(asking: Asking, scope: Filters) -> tuple[int, int] | None:
    """First and last moment of what is in scope, where the scope itself does not say."""
    if scope.since is not None and scope.until is not None:
        return None
    where = Where(scope)
    found = asking.row(
        f"SELECT count() AS n, min(r.ts) AS first, max(r.ts) AS last FROM {where.of('requests')}", where
    )
    return (to_millis(found["first"]), to_millis(found["last"])) if found["n"] else None


def _most_frequent(asking: Asking, scope: Filters, value: str) -> list[str]:
    where = Where(scope)
    rows = asking.rows(
        f"SELECT {value} AS part, count() AS requests FROM {where.of('requests')} GROUP BY part "
        f"ORDER BY requests DESC, part LIMIT {SPLITS:d}",
        where,
    )
    return [row["part"] for row in rows]


def _named(table: pa.Table, names: list[str], between: tuple[int, int], width: timedelta) -> pl.DataFrame:
    """Numbers of steps and series as moments and names."""
    starts = step_starts(*between, width)
    place = pl.col("place").cast(pl.Int64)
    counted = pl.DataFrame(table).with_columns(step=place // _SERIES, name=place % _SERIES).drop("place")
    # Rows may have come since the ends were asked for.
    known = counted.filter(pl.col("step") < len(starts))
    return known.with_columns(
        step=pl.col("step") * starts.step + starts[0],
        name=pl.Series(names, dtype=pl.String).gather(known["name"]),
    )
