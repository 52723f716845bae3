"""Requests one by one: pages from the newest on, one by its id, and all of them in batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa

from dozor.columns.record import RECORD
from dozor.features.traffic.adapters.store_clickhouse.asking import Asking, Row
from dozor.features.traffic.adapters.store_clickhouse.conditions import Where
from dozor.features.traffic.core.places import Place, read_cursor, read_place
from dozor.features.traffic.core.steps import to_millis
from dozor.features.traffic.model import Filters, Page
from dozor.features.traffic.ports import Watch
from dozor.infra.clickhouse import ClickHouse

_BATCH: Final = 65_536
_FIELDS: Final = ", ".join(f"`{name}`" for name in RECORD.names) + ", source, batch, row"
_STORED: Final = pa.schema([*RECORD, pa.field("source", pa.string(), nullable=False)])


def read_lines(asking: Asking, scope: Filters, *, limit: int, cursor: str | None) -> Page[Row]:
    """Answer `TrafficQueries.lines`."""
    where = Where(scope)
    if cursor is not None:
        before(where, read_cursor(cursor))
    return page(
        asking.rows(
            f"SELECT {_FIELDS} FROM {where.table} WHERE {where} "
            f"ORDER BY ts DESC, batch DESC, row DESC LIMIT {limit + 1:d}",
            where,
        ),
        limit,
    )


def read_line(asking: Asking, id_: str) -> Row | None:
    """Answer `TrafficQueries.line`."""
    place = read_place(id_)
    if place is None:
        return None
    where = Where()
    at = f"fromUnixTimestamp64Milli({where.bind('Int64', place.ms)}, 'UTC')"
    batch, row = where.bind("Int64", place.batch), where.bind("UInt32", place.row)
    rows = asking.rows(
        f"SELECT {_FIELDS} FROM requests WHERE ts = {at} AND batch = {batch} AND row = {row} LIMIT 1", where
    )
    return _named(rows[0]) if rows else None


def read_batches(clickhouse: ClickHouse, scope: Filters, *, watch: Watch | None) -> Iterator[pa.RecordBatch]:
    """Answer `TrafficQueries.batches`: page by page, so that nothing is held open while the caller works."""
    counting = Where(scope)
    total = Asking(clickhouse).row(f"SELECT count() AS n FROM {counting.of('requests')}", counting)["n"]
    sent, last = 0, None
    while True:
        where = Where(scope)
        if last is not None:
            after(where, last)
        table = Asking(clickhouse).table(
            f"SELECT {_FIELDS} FROM {where.table} WHERE {where} ORDER BY ts, batch, row LIMIT {_BATCH:d}",
            where,
        )
        if not len(table):
            return
        last = Place(
            to_millis(table.column("ts")[-1].as_py()),
            table.column("batch")[-1].as_py(),
            table.column("row")[-1].as_py(),
        )
        columns = [table.column(field.name).combine_chunks().cast(field.type) for field in _STORED]
        yield pa.RecordBatch.from_arrays(columns, schema=_STORED)
        sent += len(table)
        if watch is not None:
            watch.progress(min(1.0, sent / max(1, total)))
        if len(table) < _BATCH:
            return


def before(where: Where, place: Place) -> None:
    """Keep the rows before a place in the order of time."""
    _beyond(where, place, "<")


def after(where: Where, place: Place) -> None:
    """Keep the rows behind a place in the order of time."""
    _beyond(where, place, ">")


def _beyond(where: Where, place: Place, sign: str) -> None:
    at = f"fromUnixTimestamp64Milli({where.bind('Int64', place.ms)}, 'UTC')"
    batch, row = where.bind("Int64", place.batch), where.bind("UInt32", place.row)
    # The first half is what the primary key can use.
    where.add(f"ts {sign}= {at}")
    where.add(f"(ts, batch, row) {sign} ({at}, {batch}, {row})")


def page(rows: list[Row], limit: int) -> Page[Row]:
    """A page of at most `limit` rows; one row more than that tells that there are further ones."""
    named = [_named(row) for row in rows[:limit]]
    return Page(tuple(named), named[-1]["id"] if len(rows) > limit and named else None)


def _named(row: Row) -> dict[str, Any]:
    place = Place(to_millis(row["ts"]), row.pop("batch"), row.pop("row"))
    return {**row, "id": str(place)}
