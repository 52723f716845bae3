"""Questions about requests and error messages, answered from frames in memory.

What a store answers from its tables is defined here: all stores pass one suite. A frame of requests has the
columns of `columns.record.RECORD` and `source`, `batch` and `row` (`core.places`); one of errors those of
`core.errorlog.ERROR_RECORD`, `folded` and the same three.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from dozor.columns.record import ATTACK_SCORE
from dozor.features.traffic.core.errorlog import ERROR_RECORD, write_line
from dozor.features.traffic.core.filters import expression, time_bounds
from dozor.features.traffic.core.findings import finding_row
from dozor.features.traffic.core.series import ALL, OTHER, bounds, timeline_of
from dozor.features.traffic.core.steps import SECONDS, round_width
from dozor.features.traffic.core.summary import EXAMPLE_CHARS, MIN_TIMED
from dozor.features.traffic.model import (
    SPLITS,
    CountedRow,
    Dimension,
    ErrorGroup,
    Filters,
    FindingRow,
    Measure,
    RuleFacts,
    Split,
    Timeline,
    TopList,
)

GROUP_STEPS: Final = 24
"""Steps of the little time line of a group of errors."""

GROUP_HOSTS: Final = 5
"""Hosts that a group of errors names at the most."""

MOST_ROWS: Final = 10_000
"""Rows of a top list at the most."""

ORDER: Final = ("ts", "batch", "row")

_ATTACK: Final = pl.col("score") >= ATTACK_SCORE
_STATUS: Final = (
    pl.when(_ATTACK)
    .then(pl.lit("attack"))
    .when(pl.col("status") < 400)  # noqa: PLR2004 - RFC 9110, section 15
    .then(pl.lit("ok"))
    .when(pl.col("status") < 500)  # noqa: PLR2004
    .then(pl.lit("4xx"))
    .otherwise(pl.lit("5xx"))
)
_AUDIENCE: Final = (
    pl.when(_ATTACK).then(pl.lit("attackers")).when("is_bot").then(pl.lit("bots")).otherwise(pl.lit("people"))
)
_NAMED: Final = {Split.NONE: pl.lit(ALL), Split.STATUS: _STATUS, Split.AUDIENCE: _AUDIENCE}
_LISTS: Final = {Split.CLASS: "classes", Dimension.CLASS: "classes", Dimension.RULE: "rules"}
_WANTED: Final = {
    Measure.REQUESTS: pl.lit(value=True),
    Measure.BYTES: pl.lit(value=True),
    Measure.ERRORS: pl.col("errors") > 0,
    Measure.ATTACKS: pl.col("attacks") > 0,
    Measure.SECONDS: pl.col("timed") >= MIN_TIMED,
}


def in_scope(requests: pl.DataFrame, scope: Filters) -> pl.DataFrame:
    """The requests that are meant."""
    conditions = [expression(condition) for condition in scope.where]
    if (times := time_bounds(scope)) is not None:
        conditions.append(times)
    return requests.filter(conditions) if conditions else requests


def timeline(
    requests: pl.DataFrame, scope: Filters, *, step: timedelta | None = None, split: Split = Split.NONE
) -> Timeline:
    """Answer `TrafficQueries.timeline`."""
    rows = in_scope(requests, scope)
    ends = bounds(scope.since, scope.until, _ends(rows))
    if ends is None:
        return Timeline((), step or SECONDS[0], ())
    width = step or round_width(*ends)
    named = _named(rows, split)
    if split not in _NAMED:
        first = named.group_by("name").len().sort(["len", "name"], descending=[True, False])["name"]
        if len(first) > SPLITS:
            kept = pl.col("name").is_in(first.head(SPLITS).to_list())
            named = named.with_columns(name=pl.when(kept).then("name").otherwise(pl.lit(OTHER)))
    return timeline_of(_by_step(named, width), ends, width, split)


def _named(rows: pl.DataFrame, split: Split) -> pl.DataFrame:
    if split in _LISTS:
        return (
            rows.with_columns(name=pl.col(_LISTS[split])).explode("name").filter(pl.col("name").is_not_null())
        )
    return rows.with_columns(name=_NAMED.get(split, pl.col(split.value)))


def _by_step(named: pl.DataFrame, width: timedelta) -> pl.DataFrame:
    size = width // timedelta(milliseconds=1)
    return named.group_by((pl.col("ts").to_physical() // size * size).alias("step"), "name").agg(
        pl.len().cast(pl.Int64).alias("requests"),
        (pl.col("bytes").sum() if "bytes" in named.columns else pl.lit(0)).alias("bytes"),
        pl.col("client").n_unique().cast(pl.Int64).alias("clients"),
    )


def _ends(rows: pl.DataFrame) -> tuple[int, int] | None:
    millis = rows["ts"].to_physical()
    return (int(millis.min()), int(millis.max())) if len(rows) else None  # type: ignore[arg-type]  # not empty


def top(
    requests: pl.DataFrame,
    scope: Filters,
    dimension: Dimension,
    *,
    measure: Measure = Measure.REQUESTS,
    limit: int = 10,
) -> TopList:
    """Answer `TrafficQueries.top`."""
    rows = in_scope(requests, scope)
    if dimension in _LISTS:
        valued = rows.with_columns(value=pl.col(_LISTS[dimension])).explode("value")
        valued = valued.filter(pl.col("value").is_not_null())
    elif dimension is Dimension.STATUS:
        valued = rows.with_columns(value=pl.col("status").cast(pl.String).str.zfill(3))
    else:
        valued = rows.with_columns(value=pl.col(dimension.value))
    counted = valued.group_by("value").agg(
        pl.len().cast(pl.Int64).alias("requests"),
        pl.col("bytes").sum(),
        (pl.col("status") >= 400).sum().cast(pl.Int64).alias("errors"),  # noqa: PLR2004
        _ATTACK.sum().cast(pl.Int64).alias("attacks"),
        pl.col("client").n_unique().cast(pl.Int64).alias("clients"),
        pl.col("request_time").cast(pl.Float64).mean().alias("seconds"),
        pl.col("request_time").count().alias("timed"),
    )
    first = (
        counted.filter(_WANTED[measure])
        .sort([measure.value, "value"], descending=[True, False])
        .head(min(limit, MOST_ROWS))
    )
    return TopList(
        rows=tuple(CountedRow(**row) for row in first.drop("timed").iter_rows(named=True)),
        distinct=len(counted),
        requests=len(rows),
    )


def findings(
    requests: pl.DataFrame, scope: Filters, *, limit: int, rule_facts: Mapping[str, RuleFacts]
) -> tuple[FindingRow, ...]:
    """Answer `TrafficQueries.findings`."""
    attacks = (
        in_scope(requests, scope).filter(_ATTACK).with_columns(attack_class="classes").explode("attack_class")
    )
    strongest = attacks.filter(pl.col("attack_class").is_not_null()).sort(
        ["score", "batch", "row"], descending=[True, False, False]
    )
    grouped = (
        strongest.group_by("attack_class", "client", maintain_order=True)
        .agg(
            pl.col("country", "score", "evidence").first(),
            pl.len().alias("requests"),
            pl.col("ts").min().alias("first"),
            pl.col("ts").max().alias("last"),
            pl.col("status").value_counts(),
            pl.col("rules").explode(),
            pl.col("raw").first().str.slice(0, EXAMPLE_CHARS).alias("example"),
        )
        .sort(["score", "requests", "client", "attack_class"], descending=[True, True, False, False])
        .head(limit)
    )
    return tuple(
        finding_row(
            **{**row, "status": {item["status"]: item["count"] for item in row["status"]}},
            rule_facts=rule_facts,
        )
        for row in grouped.iter_rows(named=True)
    )


def error_rows(
    errors: pl.DataFrame,
    since: datetime | None,
    until: datetime | None,
    *,
    level: str | None = None,
    message: str | None = None,
) -> pl.DataFrame:
    """The lines of error logs that are meant."""
    rows = in_scope(errors, Filters(since, until))
    if level is not None:
        rows = rows.filter(pl.col("level") == level)
    return rows if message is None else rows.filter(pl.col("folded") == message)


def error_groups(
    errors: pl.DataFrame, since: datetime | None, until: datetime | None, *, level: str | None, limit: int
) -> tuple[ErrorGroup, ...]:
    """Answer `TrafficQueries.error_groups`."""
    ends = bounds(since, until, _ends(error_rows(errors, since, until)))
    if ends is None:
        return ()
    first, last = ends
    width = group_width(first, last)
    host = pl.when(pl.col("host") != "").then("host").otherwise("server")
    rows = error_rows(errors, since, until, level=level).with_columns(
        named=host, step=((pl.col("ts").to_physical() - first) // width).clip(upper_bound=GROUP_STEPS - 1)
    )
    grouped = (
        rows.sort(ORDER)
        .group_by("level", "folded")
        .agg(
            pl.len().alias("count"),
            pl.col("ts").min().alias("first"),
            pl.col("ts").max().alias("last"),
            pl.col("named").filter(pl.col("named") != "").value_counts(sort=True).struct.field("named"),
            pl.col("step").value_counts(),
            pl.struct(ERROR_RECORD.names).first().alias("example"),
        )
        .sort(["count", "level", "folded"], descending=[True, False, False])
        .head(limit)
    )
    return tuple(_group(row) for row in grouped.iter_rows(named=True))


def group_width(first_ms: int, last_ms: int) -> int:
    """Width in ms of each of the steps that a group's stretch of time is divided into."""
    return max(1, -(-(last_ms - first_ms + 1) // GROUP_STEPS))


def _group(row: dict[str, Any]) -> ErrorGroup:
    steps = {item["step"]: item["count"] for item in row["step"]}
    return ErrorGroup(
        level=row["level"],
        message=row["folded"],
        count=row["count"],
        first=row["first"],
        last=row["last"],
        hosts=tuple(row["named"][:GROUP_HOSTS]),
        steps=tuple(steps.get(number, 0) for number in range(GROUP_STEPS)),
        example=write_line(row["example"]),
    )


def error_timeline(
    errors: pl.DataFrame, since: datetime | None, until: datetime | None, *, step: timedelta | None
) -> Timeline:
    """Answer `TrafficQueries.error_timeline`."""
    rows = error_rows(errors, since, until)
    ends = bounds(since, until, _ends(rows))
    if ends is None:
        return Timeline((), step or SECONDS[0], ())
    width = step or round_width(*ends)
    named = rows.select("ts", "client", name="level")
    return timeline_of(_by_step(named, width), ends, width)
