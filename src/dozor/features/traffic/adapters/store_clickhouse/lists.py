"""Top lists, and findings by client and class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dozor.columns.record import ATTACK_SCORE
from dozor.features.traffic.adapters.store_clickhouse.asking import Asking
from dozor.features.traffic.adapters.store_clickhouse.conditions import Where
from dozor.features.traffic.adapters.store_clickhouse.summary import ORDER, first_rows, place_of, strongest
from dozor.features.traffic.core.findings import finding_row
from dozor.features.traffic.core.summary import MIN_TIMED
from dozor.features.traffic.model import (
    CountedRow,
    Dimension,
    Filters,
    FindingRow,
    Measure,
    RuleFacts,
    TopList,
)

_ATTACK: Final = f"score >= {ATTACK_SCORE}"
_VALUES: Final = {
    Dimension.STATUS: "leftPad(toString(status), 3, '0')",
    Dimension.CLASS: "arrayJoin(classes)",
    Dimension.RULE: "arrayJoin(rules)",
}
_WANTED: Final = {
    Measure.REQUESTS: "1",
    Measure.BYTES: "1",
    Measure.ERRORS: "errors > 0",
    Measure.ATTACKS: "attacks > 0",
    Measure.SECONDS: f"timed >= {MIN_TIMED}",
}
MOST: Final = 10_000
"""Rows of a list at the most."""


def top(asking: Asking, scope: Filters, dimension: Dimension, *, measure: Measure, limit: int) -> TopList:
    """Answer `TrafficQueries.top`."""
    where = Where(scope)
    total = asking.row(f"SELECT count() AS requests FROM {where.of('requests')}", where)["requests"]
    value = _VALUES.get(dimension, dimension.value)
    where = Where(scope)
    row = "(value, requests, bytes, errors, attacks, timed, seconds)"
    found = asking.row(
        f"SELECT {first_rows(min(limit, MOST), measure.value, row, _WANTED[measure])} AS rows, "
        "count() AS distinct FROM ("
        f"SELECT {value} AS value, count() AS requests, sum(bytes) AS bytes, countIf(status >= 400) AS errors, "
        f"countIf({_ATTACK}) AS attacks, count(request_time) AS timed, "
        "ifNull(sum(toFloat64(request_time)), 0) / timed AS seconds "
        f"FROM {where.of('requests')} GROUP BY value)",
        where,
    )
    rows = [tuple(item.values()) for item in found["rows"]]
    clients = _clients(asking, scope, dimension, [item[0] for item in rows])
    return TopList(
        rows=tuple(
            CountedRow(
                value=name,
                requests=requests,
                bytes=size,
                errors=errors,
                attacks=attacks,
                clients=clients.get(name, 1),
                seconds=seconds if timed else None,
            )
            for name, requests, size, errors, attacks, timed, seconds in rows
        ),
        distinct=found["distinct"],
        requests=total,
    )


def _clients(asking: Asking, scope: Filters, dimension: Dimension, values: list[str]) -> dict[str, int]:
    """Distinct clients behind each of these values."""
    if dimension is Dimension.CLIENT or not values:
        return {}
    where = Where(scope)
    wanted = where.bind("Array(String)", values)
    rows = asking.rows(
        f"SELECT {_VALUES.get(dimension, dimension.value)} AS value, uniqExact(client) AS clients "
        f"FROM {where.of('requests')} GROUP BY value HAVING has({wanted}, value)"
        if dimension in _VALUES
        else f"SELECT {dimension.value} AS value, uniqExact(client) AS clients "
        f"FROM {where.of('requests', f'{dimension.value} IN {wanted}')} GROUP BY value",
        where,
    )
    return {row["value"]: row["clients"] for row in rows}


def findings(
    asking: Asking, scope: Filters, *, limit: int, rule_facts: Mapping[str, RuleFacts]
) -> tuple[FindingRow, ...]:
    """Answer `TrafficQueries.findings`."""
    where = Where(scope)
    rows = asking.rows(
        f"SELECT r.class AS attack_class, r.client AS client, argMin(r.country, {ORDER}) AS country, "
        "max(r.score) AS score, "
        "count() AS requests, min(r.ts) AS first, max(r.ts) AS last, "
        "sumMap([r.status], [toUInt64(1)]) AS status, groupUniqArrayArray(r.rules) AS rules, "
        f"argMin(tuple(r.ts, r.batch, r.row), {ORDER}) AS place FROM ("
        "SELECT ts, batch, row, client, country, score, status, rules, arrayJoin(classes) AS class "
        f"FROM {where.of('requests', _ATTACK)}) AS r GROUP BY attack_class, r.client "
        f"ORDER BY score DESC, requests DESC, client, attack_class LIMIT {limit:d}",
        where,
    )
    examples = strongest(asking, [place_of(row["place"]) for row in rows])
    found = []
    for row in rows:
        example = examples[place_of(row.pop("place"))]
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
