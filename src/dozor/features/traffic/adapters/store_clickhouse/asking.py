"""What every question to the store needs: rows of an answer, and progress over several statements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from dozor.features.traffic.adapters.store_clickhouse.conditions import Where
from dozor.features.traffic.ports import Watch
from dozor.infra.clickhouse import ClickHouse

Row = dict[str, Any]


class Asking:
    """One question of one or more statements.

    Args:
        clickhouse: Where to ask.
        watch: Follows the question; None asks without.
        statements: How many statements there will be.
    """

    def __init__(self, clickhouse: ClickHouse, watch: Watch | None = None, statements: int = 1) -> None:
        self._clickhouse = clickhouse
        self._watch = watch
        self._statements = statements
        self._asked = 0

    def table(self, sql: str, where: Where) -> pa.Table:
        """The answer to the next statement."""
        progress = self._progress()
        self._asked += 1
        return self._clickhouse.query(sql, where.parameters, progress=progress)

    def rows(self, sql: str, where: Where) -> list[Row]:
        """The answer to the next statement, row by row."""
        rows: list[Row] = self.table(sql, where).to_pylist()
        return rows

    def row(self, sql: str, where: Where) -> Row:
        """The answer to the next statement, which is one row."""
        return self.rows(sql, where)[0]

    def _progress(self) -> Callable[[float], None] | None:
        if self._watch is None:
            return None
        watch, before = self._watch, self._asked

        def progress(share: float) -> None:
            watch.progress(min(1.0, (before + share) / self._statements))

        return progress
