"""Top lists, and findings by client and class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dozor.columns.record import ATTACK_SCORE
from dozor.features.traffic.adapters.store_clickhouse.asking import Asking, Row
from dozor.features.traffic.adapters.store_clickhouse.conditions import Where
from dozor.features.traffic.adapters.store_clickhouse.ranks import ORDER, first_rows, place_of, strongest
from dozor.features.traffic.adapters.store_clickhouse.steps import CLIENTS
from dozor.features.traffic.core.findings import finding_row
from dozor.features.traffic.core.steps import to_millis
from dozor.features.traffic.core.summary import MIN_TIMED
from dozor.features.traffic.model import (
    CountedRow,
    Dimension,
    Filters,
    FindingRow,
    Measure,
    RuleFacts,
    TopList,
    Totals,
)

_ATTACK: Final = f"score >= {ATTACK_SCORE}"
_FEW: Final = {
    Dimension.COUNTRY: "r.country",
    Dimension.UA_FAMILY: "r.ua_family",
    Dimension.METHOD: "r.method",
    Dimension.STATUS: "leftPad(toString(r.status), 3, '0')",
    Dimension.PROTOCOL: "r.protocol",
    Dimension.SOURCE: "r.source",
    Dimension.CLASS: "arrayJoin(r.classes)",
    Dimension.RULE: "arrayJoin(r.rules)",
}
"""What has few values as a rule: all are counted at once."""

_COUNTS: Final = (
    "count() AS requests, sum(r.bytes) AS bytes, countIf(r.status >= 400) AS errors, "
    f"countIf(r.{_ATTACK}) AS attacks, count(r.request_time) AS timed, "
    "ifNull(avg(toFloat64(r.request_time)), 0) AS seconds"
)
_MEASURES: Final = {
    Measure.REQUESTS: "requests AS measure",
    Measure.BYTES: "sum(r.bytes) AS measure",
    Measure.ERRORS: "countIf(r.status >= 400) AS measure",
    Measure.ATTACKS: f"countIf(r.{_ATTACK}) AS measure",
    Measure.SECONDS: "ifNull(avg(toFloat64(r.request_time)), 0) AS measure, count(r.request_time) AS timed",
}
_WANTED: Final = {
    Measure.REQUESTS: "1",
    Measure.BYTES: "1",
    Measure.ERRORS: "measure > 0",
    Measure.ATTACKS: "measure > 0",
    Measure.SECONDS: f"timed >= {MIN_TIMED}",
}
_COUNTED_BY: Final = {Measure.ERRORS: "status >= 400", Measure.ATTACKS: _ATTACK}
"""The only rows that a measure counts."""

_TIES: Final = 1_000
"""So many values that tie with the last of a list are told apart by their texts; further ones are not."""


MOST: Final = 10_000
"""Rows of a list at the most."""


def totals(asking: Asking, scope: Filters) -> Totals:
    """Answer `TrafficQueries.totals`."""
    where = Where(scope)
    found = asking.row(
        "SELECT count() AS requests, uniqExact(r.client_key) AS clients, sum(r.bytes) AS bytes, "
        "countIf(r.status >= 400 AND r.status < 500) AS client_errors, "
        "countIf(r.status >= 500) AS server_errors, "
        f"countIf(r.{_ATTACK}) AS attacks, countIf(r.is_bot) AS bots FROM {where.of('requests')}",
        where,
    )
    return Totals(**found)


def top(asking: Asking, scope: Filters, dimension: Dimension, *, measure: Measure, limit: int) -> TopList:
    """Answer `TrafficQueries.top`."""
    limit = min(limit, MOST)
    if dimension in _FEW:
        return _top_of_few(asking, scope, dimension, measure, limit)
    if dimension is Dimension.CLIENT:
        return top_clients(asking, scope, measure, limit)
    where = Where(scope)
    found = asking.row(
        f"SELECT {first_rows(limit, 'measure', 'tuple(value)', _WANTED[measure])} AS rows, "
        "count() AS distinct, sum(requests) AS requests FROM ("
        f"SELECT r.{dimension} AS value, count() AS requests, {_MEASURES[measure]} "
        f"FROM {where.of('requests')} GROUP BY value)",
        where,
    )
    values = [next(iter(item.values())) for item in found["rows"]]
    # Of the first ones alone all is counted: fewer columns for the most, distinct clients for few.
    where = Where(scope)
    chosen = where.of("requests", f"{dimension} IN {where.bind('Array(String)', values)}")
    counted = {
        row["value"]: _row(row)
        for row in asking.rows(
            f"SELECT r.{dimension} AS value, {_COUNTS}, {CLIENTS} AS clients FROM {chosen} GROUP BY value",
            where,
        )
    }
    rows = tuple(counted[value] for value in values if value in counted)
    return TopList(rows, found["distinct"], found["requests"])


def top_clients(asking: Asking, scope: Filters, measure: Measure, limit: int) -> TopList:
    """The clients with the most of a measure.

    They are many: they are ordered by their keys, and only the first are told apart by
    their texts.
    """
    condition = _COUNTED_BY.get(measure, "")
    where = Where(scope)
    exact = "uniqExact" if not condition else "uniqCombined64(17)"
    everything = asking.row(
        f"SELECT {exact}(r.client_key) AS distinct, count() AS requests FROM {where.of('requests')}", where
    )
    where = Where(scope)
    first = asking.rows(
        f"SELECT * FROM (SELECT r.client_key AS key, {_MEASURES[measure]}, min(r.ts) AS first, "
        f"count() AS requests FROM {where.of('requests', condition)} GROUP BY key) "
        f"WHERE {_WANTED[measure]} ORDER BY measure DESC, key LIMIT {limit + _TIES:d}",
        where,
    )
    if not first:
        return TopList((), everything["distinct"], everything["requests"])
    ties = [row for row in first if row["measure"] >= first[:limit][-1]["measure"]]
    names = _names(asking, ties)
    ties.sort(key=lambda row: (-row["measure"], names.get(row["key"], "").encode()))
    keys = [row["key"] for row in ties[:limit]]
    counted = _counted(asking, scope, keys)
    rows = tuple(
        CountedRow(value=names[key], clients=1, **counted[key])
        for key in keys
        if key in names and key in counted
    )
    return TopList(rows, everything["distinct"], everything["requests"])


def _names(asking: Asking, groups: list[Row]) -> dict[int, str]:
    """Texts of clients by their keys, read where the primary key finds their first request."""
    where = Where()
    times = where.bind("Array(Int64)", sorted({to_millis(group["first"]) for group in groups}))
    keys = where.bind("Array(UInt64)", [group["key"] for group in groups])
    rows = asking.rows(
        "SELECT client_key AS key, any(client) AS client FROM requests "
        f"WHERE ts IN (SELECT fromUnixTimestamp64Milli(arrayJoin({times}), 'UTC')) AND client_key IN {keys} "
        "GROUP BY key",
        where,
    )
    return {row["key"]: row["client"] for row in rows}


def _counted(asking: Asking, scope: Filters, keys: list[int]) -> dict[int, Row]:
    """All that is counted of these clients, by their keys."""
    where = Where(scope)
    bound = where.bind("Array(UInt64)", keys)
    rows = asking.rows(
        f"SELECT r.client_key AS key, {_COUNTS} FROM {where.of('requests', f'client_key IN {bound}')} "
        "GROUP BY key",
        where,
    )
    return {row.pop("key"): _plain_counts(row) for row in rows}


def _top_of_few(
    asking: Asking, scope: Filters, dimension: Dimension, measure: Measure, limit: int
) -> TopList:
    """Everything in one walk; requests may have several classes and rules, so these do not add up."""
    value = _FEW[dimension]
    where = Where(scope)
    rows = asking.rows(
        f"SELECT {value} AS value, {_COUNTS}, {CLIENTS} AS clients "
        f"FROM {where.of('requests')} GROUP BY value",
        where,
    )
    total = sum(row["requests"] for row in rows)
    if dimension in (Dimension.CLASS, Dimension.RULE):
        where = Where(scope)
        total = asking.row(f"SELECT count() AS n FROM {where.of('requests')}", where)["n"]
    wanted = [row for row in rows if _is_wanted(row, measure)]
    wanted.sort(key=lambda row: (-row[measure.value], row["value"].encode()))
    return TopList(tuple(_row(row) for row in wanted[:limit]), len(rows), total)


def _is_wanted(row: Row, measure: Measure) -> bool:
    match measure:
        case Measure.ERRORS | Measure.ATTACKS:
            return bool(row[measure.value])
        case Measure.SECONDS:
            return bool(row["timed"] >= MIN_TIMED)
    return True


def _row(row: Row) -> CountedRow:
    return CountedRow(**_plain_counts(row))


def _plain_counts(row: Row) -> Row:
    """Without the number of timed requests; the mean time is None where there were none."""
    timed = row.pop("timed")
    return row if timed else {**row, "seconds": None}


def findings(
    asking: Asking, scope: Filters, *, limit: int, rule_facts: Mapping[str, RuleFacts]
) -> tuple[FindingRow, ...]:
    """Answer `TrafficQueries.findings`."""
    groups = _first_groups(asking, scope, limit)
    if not groups:
        return ()
    where = Where(scope)
    clients = where.bind("Array(UInt64)", sorted({key for _, key in groups}))
    rows = asking.rows(
        "SELECT r.class AS attack_class, r.client_key AS client_key, any(r.client) AS client, "
        f"argMin(r.country, {ORDER}) AS country, max(r.score) AS score, "
        "count() AS requests, min(r.ts) AS first, max(r.ts) AS last, "
        "sumMap([r.status], [toUInt64(1)]) AS status, groupUniqArrayArray(r.rules) AS rules, "
        f"argMin(tuple(r.ts, r.batch, r.row), {ORDER}) AS place FROM ("
        "SELECT ts, batch, row, client, client_key, country, score, status, rules, "
        "arrayJoin(classes) AS class "
        f"FROM {where.of('hits', f'{_ATTACK} AND client_key IN {clients}')}) AS r "
        "GROUP BY attack_class, client_key",
        where,
    )
    place = {group: number for number, group in enumerate(groups)}
    rows = [row for row in rows if (row["attack_class"], row["client_key"]) in place]
    rows.sort(key=lambda row: place[row["attack_class"], row.pop("client_key")])
    examples = strongest(asking, [place_of(row["place"]) for row in rows])
    found = []
    for row in rows:
        example = examples.get(place_of(row.pop("place")))
        if example is None:  # its time ran out since the first question
            continue
        codes, counts = row.pop("status").values()
        found.append(
            finding_row(
                **_plain(row),
                status=dict(zip(codes, counts, strict=True)),
                example=example["example"],
                evidence=example["evidence"],
                rule_facts=rule_facts,
            )
        )
    return tuple(found)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "score": float(row["score"])}


def _first_groups(asking: Asking, scope: Filters, limit: int) -> list[tuple[str, int]]:
    """Class and key of the client of the first findings, in their order."""
    where = Where(scope)
    groups = asking.rows(
        "SELECT r.class AS class, r.client_key AS key, any(r.client) AS client, max(r.score) AS score, "
        "count() AS requests FROM (SELECT client, client_key, score, arrayJoin(classes) AS class "
        f"FROM {where.of('hits', _ATTACK)}) AS r GROUP BY class, key "
        f"ORDER BY score DESC, requests DESC, client, class LIMIT {limit:d}",
        where,
    )
    return [(group["class"], group["key"]) for group in groups]
