"""What is already there of a delivery that comes again because the process that sent it was killed.

ClickHouse notes a token just before the part with its rows appears (traced: a write to the log of tokens,
then the rename of the part). Killed in between, it takes the token for kept, and would drop the rows for
ever. So what comes again after a crash is looked for by its rows, and what is missing goes under a token
of its own.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from dozor.features.traffic.adapters.store_clickhouse.asking import Asking
from dozor.features.traffic.adapters.store_clickhouse.conditions import Where
from dozor.infra.clickhouse import ClickHouse

TOKEN_BITS: Final = 20
"""Low bits of a batch's number that tell its token."""

_MASK: Final = (1 << TOKEN_BITS) - 1
_MILLISECOND: Final = timedelta(milliseconds=1)
_WEEKLY: Final = {"requests", "hits", "errors"}
"""Tables whose parts hold the rows of one week each."""


def token_bits(token: str) -> int:
    """What a batch's number holds of the token."""
    told = hashlib.blake2b(token.encode(), digest_size=8).digest()
    return int.from_bytes(told) & _MASK


def missing_rows(clickhouse: ClickHouse, table: str, sent: pa.RecordBatch, token: str) -> pa.RecordBatch:
    """The rows of an insert that are not there; a part is there as a whole or not at all.

    Args:
        clickhouse: The database.
        table: Where they go.
        sent: Rows of that table, all of one delivery.
        token: Of that delivery.
    """
    weekly = table in _WEEKLY
    offsets, where = pl.Series(sent.column("line_offset")), Where()
    where.add(f"source = {where.bind('String', sent.column('source')[0].as_py())}")
    where.add(f"bitAnd(batch, {_MASK}) = {where.bind('Int64', token_bits(token))}")
    where.add(f"line_offset >= {where.bind('Int64', offsets.min())}")
    where.add(f"line_offset <= {where.bind('Int64', offsets.max())}")
    if weekly:
        ends: Any = pc.min_max(sent.column("ts")).as_py()
        where.between("ts", ends["min"], ends["max"] + _MILLISECOND)
    week = "toMonday(toDate32(ts))" if weekly else "1"
    found = Asking(clickhouse).table(f"SELECT DISTINCT {week} AS week FROM {table} WHERE {where}", where)
    if not weekly:
        return sent.slice(0, 0) if len(found) else sent
    there = pl.Series(found.column("week").cast(pa.date32()))
    absent = ~pl.Series(sent.column("ts")).dt.truncate("1w").dt.date().is_in(there.implode())
    return sent.filter(absent.to_arrow())
