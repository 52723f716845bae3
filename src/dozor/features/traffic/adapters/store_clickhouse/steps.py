"""Time lines: requests, bytes and clients by step and series."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import polars as pl

from dozor.columns.record import ATTACK_SCORE
from dozor.features.traffic.adapters.store_clickhouse.asking import Asking
from dozor.features.traffic.adapters.store_clickhouse.conditions import Where
from dozor.features.traffic.core.series import ALL, OTHER, bounds, timeline_of
from dozor.features.traffic.core.steps import SECONDS, round_width, to_millis
from dozor.features.traffic.model import SPLITS, Filters, Split, Timeline

_ATTACK: Final = f"score >= {ATTACK_SCORE}"
_SERIES: Final = {
    Split.NONE: f"'{ALL}'",
    Split.STATUS: f"multiIf({_ATTACK}, 'attack', status < 400, 'ok', status < 500, '4xx', '5xx')",
    Split.AUDIENCE: f"multiIf({_ATTACK}, 'attackers', is_bot, 'bots', 'people')",
    Split.CLASS: "arrayJoin(classes)",
    Split.COUNTRY: "country",
    Split.HOST: "host",
    Split.SOURCE: "source",
}
_OPEN: Final = {Split.CLASS, Split.COUNTRY, Split.HOST, Split.SOURCE}
"""Splits by values of which there may be any number."""


def step_of(size: int) -> str:
    """SQL for the step that a row is in: ms since 1970, a multiple of the size."""
    return f"toUnixTimestamp64Milli(ts) - positiveModulo(toUnixTimestamp64Milli(ts), {size:d})"


def timeline(asking: Asking, scope: Filters, *, step: timedelta | None, split: Split) -> Timeline:
    """Answer `TrafficQueries.timeline`."""
    where = Where(scope)
    found = asking.row(
        f"SELECT count() AS n, min(ts) AS first, max(ts) AS last FROM {where.of('requests')}", where
    )
    ends = (to_millis(found["first"]), to_millis(found["last"])) if found["n"] else None
    between = bounds(scope.since, scope.until, ends)
    if between is None:
        return Timeline((), step or SECONDS[0], ())
    width = step or round_width(*between)
    part, name = _SERIES[split], "part"
    if split in _OPEN:
        where = Where(scope)
        rows = asking.rows(
            f"SELECT {part} AS part, count() AS requests FROM {where.of('requests')} GROUP BY part "
            f"ORDER BY requests DESC, part LIMIT {SPLITS + 1:d}",
            where,
        )
        where = Where(scope)
        if len(rows) > SPLITS:
            kept = where.bind("Array(String)", [row["part"] for row in rows[:SPLITS]])
            name = f"if(has({kept}, part), part, {where.bind('String', OTHER)})"
    else:
        where = Where(scope)
    size = width // timedelta(milliseconds=1)
    table = asking.table(
        f"SELECT step, {name} AS name, count() AS requests, sum(bytes) AS bytes, uniqExact(client) AS clients "
        f"FROM (SELECT {step_of(size)} AS step, {part} AS part, bytes, client FROM {where.of('requests')}) "
        "GROUP BY step, name",
        where,
    )
    return timeline_of(pl.DataFrame(table), between, width, split)
