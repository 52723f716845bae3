"""The report over what is stored: the same numbers as `core.summary` makes of the same lines."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from dozor.columns.record import ATTACK_SCORE
from dozor.features.traffic.adapters.store_clickhouse.asking import Asking, Row
from dozor.features.traffic.adapters.store_clickhouse.conditions import Where
from dozor.features.traffic.adapters.store_clickhouse.lists import top_clients
from dozor.features.traffic.adapters.store_clickhouse.ranks import ORDER, first_rows, place_of, strongest
from dozor.features.traffic.adapters.store_clickhouse.steps import step_number
from dozor.features.traffic.core.steps import MINUTES, round_width, step_starts, to_millis
from dozor.features.traffic.core.summary import EXAMPLE_CHARS, MIN_TIMED, TOP, gapless
from dozor.features.traffic.model import (
    Attacker,
    AttackRow,
    Bucket,
    ErrorRow,
    Filters,
    Measure,
    Reject,
    Source,
    Summary,
    TopRow,
)
from dozor.features.traffic.ports import Watch
from dozor.infra.clickhouse import ClickHouse

ATTACK: Final = f"score >= {ATTACK_SCORE}"
_STATEMENTS: Final = 23
_SCOPED: Final = (
    ("requests", "requests", ""),
    ("hits", "hits", ""),
    ("attacks", "hits", ATTACK),
    ("errors", "errors", ""),
)
_COUNTS: Final = "count() AS requests, sum(bytes) AS bytes, countIf(status >= 400) AS errors"
_TIMED: Final = "sum(toFloat64(request_time)) AS seconds, count(request_time) AS timed"


def summarise(
    clickhouse: ClickHouse, scope: Filters, *, top: int = TOP, watch: Watch | None = None
) -> Summary:
    """Answer `TrafficQueries.summary`."""
    return _Summary(clickhouse, scope, top, watch).result()


class _Summary:
    def __init__(self, clickhouse: ClickHouse, scope: Filters, top: int, watch: Watch | None) -> None:
        self._scope = scope
        self._top = top
        self._asking = Asking(clickhouse, watch, _STATEMENTS)

    def result(self) -> Summary:
        started = time.perf_counter()
        totals = self._row(
            "SELECT count() AS requests, sum(bytes) AS bytes, countIf(is_bot) AS bots, min(ts) AS first, "
            f"max(ts) AS last, countIf({ATTACK}) AS attacks FROM {{requests}}"
        )
        first, last = (totals["first"], totals["last"]) if totals["requests"] else (None, None)
        width = MINUTES[0]
        if first is not None and last is not None:
            width = round_width(to_millis(first), to_millis(last), MINUTES)
        paths = self._paths()
        clients, unique = self._clients()
        classes = self._classes()
        reasons = self._all(
            "SELECT reason, count() AS count FROM rejects GROUP BY reason ORDER BY count DESC, reason"
        )
        return Summary(
            requests=totals["requests"],
            rejected=sum(row["count"] for row in reasons),
            unique_clients=unique,
            bytes=totals["bytes"],
            first=first,
            last=last,
            status=self._status(),
            methods={row.value: row.requests for row in self._list("method")},
            bots=totals["bots"],
            top_paths=paths[0],
            top_clients=clients,
            top_countries=self._list("country"),
            top_agents=self._list("ua_family"),
            top_referers=self._list("referer"),
            top_hosts=self._list("host"),
            error_paths=paths[1],
            slow_paths=paths[2],
            attacks=tuple(
                AttackRow(row["class"], row["requests"], row["clients"]) for row in classes if row["attack"]
            ),
            weak_signs=tuple(
                AttackRow(row["class"], row["requests"], row["clients"])
                for row in classes
                if not row["attack"]
            ),
            attackers=self._attackers(),
            attack_requests=totals["attacks"],
            timeline=self._timeline(first, width) if first else (),
            step=width,
            reject_reasons={row["reason"]: row["count"] for row in reasons},
            reject_examples=self._reject_examples(),
            sources=self._sources(),
            errors=self._errors(),
            seconds=time.perf_counter() - started,
        )

    def _rows(self, sql: str, where: Where | None = None) -> list[Row]:
        """Ask about the scope: `{requests}`, `{hits}` and `{errors}` stand for the rows in it."""
        where = where or Where(self._scope)
        for name, table, also in _SCOPED:
            sql = sql.replace(f"{{{name}}}", where.of(table, also))
        return self._asking.rows(sql, where)

    def _row(self, sql: str) -> Row:
        return self._rows(sql)[0]

    def _all(self, sql: str) -> list[Row]:
        return self._rows(sql, Where())

    def _list(self, column: str) -> tuple[TopRow, ...]:
        rows = self._rows(
            f"SELECT {column} AS value, {_COUNTS} FROM {{requests}} GROUP BY value "
            f"ORDER BY requests DESC, value LIMIT {self._top:d}"
        )
        return tuple(TopRow(**row) for row in rows)

    def _paths(self) -> tuple[tuple[TopRow, ...], ...]:
        """Most requests, most errors, slowest: three lists from one walk over the paths."""
        row = "(value, requests, bytes, errors, mean)"
        found = self._row(
            f"SELECT {first_rows(self._top, 'requests', row)} AS most, "
            f"{first_rows(self._top, 'errors', row, 'errors > 0')} AS failing, "
            f"{first_rows(self._top, 'mean', row, f'timed >= {MIN_TIMED} AND mean > 0')} AS slow FROM ("
            f"SELECT path AS value, {_COUNTS}, {_TIMED}, ifNull(seconds, 0) / timed AS mean "
            "FROM {requests} GROUP BY value)"
        )
        return tuple(tuple(_top_row(item) for item in found[name]) for name in ("most", "failing", "slow"))

    def _clients(self) -> tuple[tuple[TopRow, ...], int]:
        found = top_clients(self._asking, self._scope, Measure.REQUESTS, self._top)
        return tuple(
            TopRow(row.value, row.requests, row.bytes, row.errors) for row in found.rows
        ), found.distinct

    def _status(self) -> dict[str, int]:
        rows = self._rows(
            "SELECT status, count() AS requests FROM {requests} GROUP BY status ORDER BY status"
        )
        return {f"{row['status']:03d}": row["requests"] for row in rows}

    def _classes(self) -> list[Row]:
        return self._rows(
            f"SELECT arrayJoin(classes) AS class, {ATTACK} AS attack, count() AS requests, "
            "uniqExact(client_key) AS clients FROM {hits} "
            "GROUP BY class, attack ORDER BY requests DESC, class"
        )

    def _attackers(self) -> tuple[Attacker, ...]:
        rows = self._rows(
            "SELECT r.client_key AS key, any(r.client) AS client, "
            "argMin(r.country, (r.batch, r.row)) AS country, count() AS attacks, min(r.ts) AS first, "
            "max(r.ts) AS last, arraySort(groupUniqArrayArray(r.classes)) AS classes, max(r.score) AS score, "
            f"argMin(tuple(r.ts, r.batch, r.row), {ORDER}) AS place FROM {{attacks}} GROUP BY key "
            f"ORDER BY attacks DESC, score DESC, client LIMIT {self._top:d}"
        )
        if not rows:
            return ()
        where = Where(self._scope)
        keys = where.bind("Array(UInt64)", [row["key"] for row in rows])
        where.add(f"client_key IN {keys}")
        asked = self._rows(
            "SELECT client_key AS key, count() AS requests FROM {requests} GROUP BY key", where
        )
        requests = {row["key"]: row["requests"] for row in asked}
        examples = strongest(self._asking, [place_of(row["place"]) for row in rows])
        # Rows come and go between questions: those of `hits` come before those of `requests`.
        return tuple(
            _attacker(row, max(requests.get(row["key"], 0), row["attacks"]), example)
            for row in rows
            if (example := examples.get(place_of(row["place"]))) is not None
        )

    def _timeline(self, first: datetime, width: timedelta) -> tuple[Bucket, ...]:
        rows = self._rows(
            f"SELECT {step_number(to_millis(first), width)} AS step, count() AS requests, "
            "sum(bytes) AS bytes, countIf(status < 400) AS ok, "
            "countIf(status >= 400 AND status < 500) AS client_errors, "
            "countIf(status >= 500) AS server_errors, "
            f"countIf({ATTACK}) AS attacks FROM {{requests}} GROUP BY step"
        )
        starts = step_starts(to_millis(first), to_millis(first), width)
        counted = pl.DataFrame(rows).with_columns(pl.col("step").cast(pl.Int64) * starts.step + starts[0])
        return gapless(counted, width)

    def _reject_examples(self) -> tuple[Reject, ...]:
        rows = self._all(f"SELECT source, line, reason, raw FROM rejects ORDER BY batch, row LIMIT {TOP}")
        return tuple(Reject(**row) for row in rows)

    def _sources(self) -> tuple[Source, ...]:
        """Sources with requests in scope, messages in its time, or rejects."""
        counted = self._rows("SELECT source, count() AS count FROM {requests} GROUP BY source")
        parsed = self._all(
            "SELECT source, count() AS count FROM requests GROUP BY source "
            "UNION ALL SELECT source, count() AS count FROM errors GROUP BY source"
        )
        errors = Where()
        errors.between("ts", self._scope.since, self._scope.until)
        messages = self._rows("SELECT source, count() AS count FROM {errors} GROUP BY source", errors)
        rejected = self._all("SELECT source, count() AS count FROM rejects GROUP BY source")
        formats = self._all("SELECT source, format FROM sources FINAL")
        named = {row["source"]: row["format"] for row in formats}
        requests, read, told, bad = (_counts(rows) for rows in (counted, parsed, messages, rejected))
        return tuple(
            Source(
                name,
                named.get(name, ""),
                requests.get(name, 0),
                bad.get(name, 0),
                read.get(name, 0),
            )
            for name in sorted({*requests, *told, *bad})
        )

    def _errors(self) -> tuple[ErrorRow, ...]:
        where = Where()
        where.between("ts", self._scope.since, self._scope.until)
        rows = self._rows(
            "SELECT level, folded AS message, count() AS count, min(ts) AS first, max(ts) AS last "
            "FROM {errors} GROUP BY level, message "
            f"ORDER BY count DESC, level, message LIMIT {self._top:d}",
            where,
        )
        return tuple(ErrorRow(**row) for row in rows)


def _counts(rows: Sequence[Row]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row["source"]] += row["count"]
    return counts


def _top_row(item: Any) -> TopRow:
    value, requests, bytes_, errors, *mean = item.values()
    seconds = mean[0] if mean and mean[0] == mean[0] else None
    return TopRow(value, requests, bytes_, errors, seconds)


def _attacker(row: Row, requests: int, example: Row) -> Attacker:
    best = (example["evidence"] or [{"decoded": "", "matched": "", "rule": ""}])[0]
    return Attacker(
        client=row["client"],
        country=row["country"],
        requests=requests,
        attacks=row["attacks"],
        classes=tuple(row["classes"]),
        score=float(row["score"]),
        first=row["first"],
        last=row["last"],
        example=example["example"],
        decoded=best["decoded"][:EXAMPLE_CHARS],
        matched=best["matched"][:EXAMPLE_CHARS],
        rule=best["rule"],
    )
