"""The first of many: by a measure, and the strongest lines behind an attack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from dozor.features.traffic.adapters.store_clickhouse.asking import Asking, Row
from dozor.features.traffic.adapters.store_clickhouse.conditions import Where
from dozor.features.traffic.core.steps import to_millis
from dozor.features.traffic.core.summary import EXAMPLE_CHARS

ORDER: Final = "(-r.score, r.batch, r.row)"
"""The strongest line first, of equal ones the first of the log."""


def strongest(asking: Asking, places: Sequence[tuple[int, int, int]]) -> dict[tuple[int, int, int], Row]:
    """Line and evidence of the rows at these places (ts in ms, batch, row), read by the primary key alone."""
    if not places:
        return {}
    where = Where()
    bound = where.bind("Array(Tuple(Int64, Int64, UInt32))", list(places))
    times = where.bind("Array(Int64)", sorted({place[0] for place in places}))
    rows = asking.rows(
        "SELECT toUnixTimestamp64Milli(ts) AS ms, batch, row, "
        f"substringUTF8(raw, 1, {EXAMPLE_CHARS}) AS example, evidence FROM hits "
        f"WHERE ts IN (SELECT fromUnixTimestamp64Milli(arrayJoin({times}), 'UTC')) "
        f"AND (toUnixTimestamp64Milli(ts), batch, row) IN {bound}",
        where,
    )
    return {(row["ms"], row["batch"], row["row"]): row for row in rows}


def first_rows(count: int, measure: str, row: str, condition: str = "1") -> str:
    """SQL for the first rows by a measure, equal ones by value."""
    return f"arrayMap(item -> item.3, groupArraySortedIf({count:d})((-{measure}, value, {row}), {condition}))"


def place_of(value: Any) -> tuple[int, int, int]:
    """The place of a row (ts in ms, batch, row) from a tuple of an answer."""
    ts, batch, row = value.values() if isinstance(value, dict) else value
    return to_millis(ts), batch, row
