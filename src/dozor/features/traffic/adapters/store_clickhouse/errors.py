"""Questions about nginx's error logs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import polars as pl

from dozor.features.traffic.adapters.store_clickhouse.asking import Asking, Row
from dozor.features.traffic.adapters.store_clickhouse.conditions import Where
from dozor.features.traffic.adapters.store_clickhouse.lines import before, page
from dozor.features.traffic.adapters.store_clickhouse.steps import step_number
from dozor.features.traffic.core.errorlog import ERROR_RECORD, write_line
from dozor.features.traffic.core.places import read_cursor
from dozor.features.traffic.core.series import bounds, timeline_of
from dozor.features.traffic.core.steps import SECONDS, round_width, step_starts, to_millis
from dozor.features.traffic.model import ErrorGroup, Page, Timeline

STEPS: Final = 24
"""Steps of a group's little time line."""

_HOSTS: Final = 5
_FIELDS: Final = ", ".join(ERROR_RECORD.names)
_ROW: Final = ", ".join(f"r.{name}" for name in ERROR_RECORD.names)


def groups(
    asking: Asking, since: datetime | None, until: datetime | None, *, level: str | None, limit: int
) -> tuple[ErrorGroup, ...]:
    """Answer `TrafficQueries.error_groups`."""
    ends = _ends(asking, since, until)
    if ends is None:
        return ()
    where = _where(since, until, level=level)
    first, last = ends
    width = max(1, -(-(last - first + 1) // STEPS))
    place = (
        f"least({STEPS - 1}, intDiv(toUnixTimestamp64Milli(ts) - {where.bind('Int64', first)}, {width:d}))"
    )
    rows = asking.rows(
        "SELECT r.level AS level, r.folded AS message, count() AS count, min(ts) AS first, max(ts) AS last, "
        f"topK({_HOSTS}, 20)(if(r.host != '', r.host, r.server)) AS hosts, "
        f"sumMap([toUInt8({place})], [toUInt64(1)]) AS steps, "
        f"argMin(tuple({_ROW}), (r.ts, r.batch, r.row)) AS example "
        f"FROM {where.of('errors')} GROUP BY r.level, message "
        f"ORDER BY count DESC, level, message LIMIT {limit:d}",
        where,
    )
    return tuple(_group(row) for row in rows)


def timeline(
    asking: Asking, since: datetime | None, until: datetime | None, *, step: timedelta | None
) -> Timeline:
    """Answer `TrafficQueries.error_timeline`."""
    ends = _ends(asking, since, until)
    if ends is None:
        return Timeline((), step or SECONDS[0], ())
    width = step or round_width(*ends)
    where = _where(since, until)
    table = asking.table(
        f"SELECT {step_number(ends[0], width)} AS step, level AS name, count() AS requests, "
        "toInt64(0) AS bytes, uniqExact(client) AS clients "
        f"FROM {where.of('errors')} GROUP BY step, name",
        where,
    )
    starts = step_starts(*ends, width)
    counted = pl.DataFrame(table).with_columns(pl.col("step").cast(pl.Int64) * starts.step + starts[0])
    return timeline_of(counted, ends, width)


def lines(
    asking: Asking,
    since: datetime | None,
    until: datetime | None,
    *,
    level: str | None,
    message: str | None,
    limit: int,
    cursor: str | None,
) -> Page[Row]:
    """Answer `TrafficQueries.error_lines`."""
    where = _where(since, until, level=level, message=message)
    if cursor is not None:
        before(where, read_cursor(cursor))
    return page(
        asking.rows(
            f"SELECT {_FIELDS}, source, batch, row FROM errors WHERE {where} "
            f"ORDER BY ts DESC, batch DESC, row DESC LIMIT {limit + 1:d}",
            where,
        ),
        limit,
    )


def _ends(asking: Asking, since: datetime | None, until: datetime | None) -> tuple[int, int] | None:
    where = _where(since, until)
    found = asking.row(
        f"SELECT count() AS n, min(ts) AS first, max(ts) AS last FROM {where.of('errors')}", where
    )
    ends = (to_millis(found["first"]), to_millis(found["last"])) if found["n"] else None
    return bounds(since, until, ends)


def _where(
    since: datetime | None, until: datetime | None, *, level: str | None = None, message: str | None = None
) -> Where:
    where = Where()
    where.between("ts", since, until)
    if level is not None:
        where.add(f"level = {where.bind('String', level)}")
    if message is not None:
        where.add(f"folded = {where.bind('String', message)}")
    return where


def _group(row: Row) -> ErrorGroup:
    numbers, counts = row["steps"].values()
    steps = dict(zip(numbers, counts, strict=True))
    example = dict(zip(ERROR_RECORD.names, row["example"].values(), strict=True))
    return ErrorGroup(
        level=row["level"],
        message=row["message"],
        count=row["count"],
        first=row["first"],
        last=row["last"],
        hosts=tuple(host for host in row["hosts"] if host),
        steps=tuple(steps.get(number, 0) for number in range(STEPS)),
        example=write_line(example),
    )
