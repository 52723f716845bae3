"""Exact counts per distinct value at any cardinality, within a memory budget.

Partial groups are merged as they come. When their merged size passes the budget they go to a spill,
divided by a hash of the key, so that each part can be merged by itself at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from dozor.features.traffic.ports import Spill

PARTS = 32
"""Spilled groups are divided into this many parts; one part at a time is held at the end."""

_HASH_SEED = 0x5EED


class Groups:
    """Groups that add up.

    Args:
        name: Names these groups in the spill.
        keys: Columns that make a group.
        merge: Aggregations that join partial groups; each keeps its column's name.
        spill: Where groups go that do not fit.
        budget: Bytes that merged groups may take in memory.
    """

    def __init__(
        self, name: str, keys: Sequence[str], merge: Sequence[pl.Expr], spill: Spill, budget: int
    ) -> None:
        self._name = name
        self._keys = list(keys)
        self._merge = list(merge)
        self._spill = spill
        self._budget = budget
        self._pending: list[pl.DataFrame] = []
        self._pending_size = 0
        self._merged_size = 0
        self._spilled = False

    def add(self, partial: pl.DataFrame) -> None:
        """Add partial groups, a frame with the keys and the merged columns."""
        if not len(partial):
            return
        self._pending.append(partial)
        self._pending_size += int(partial.estimated_size())
        # Merging costs as much as all that is held: wait until as much has come as the last merge left.
        if self._pending_size > max(2 * self._merged_size, self._budget // 2):
            self._compact()

    def complete(self) -> Iterator[pl.DataFrame]:
        """Yield every group once, whole, in frames that share no key."""
        if not self._spilled:
            yield from self._merge_all(self._pending)
            return
        self._flush()
        for part in range(PARTS):
            yield from self._merge_all(list(self._spill.read(self._name, part)))

    def _merge_all(self, frames: list[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        if frames:
            yield pl.concat(frames).group_by(self._keys).agg(self._merge)

    def _compact(self) -> None:
        (merged,) = self._merge_all(self._pending)
        self._pending = [merged]
        self._merged_size = self._pending_size = int(merged.estimated_size())
        if self._merged_size > self._budget:
            self._flush()

    def _flush(self) -> None:
        for frame in self._pending:
            part = (frame.select(pl.struct(self._keys).hash(_HASH_SEED)).to_series() % PARTS).alias("part")
            for (number,), rows in (
                frame.with_columns(part).partition_by("part", as_dict=True, include_key=False).items()
            ):
                self._spill.write(self._name, int(number), rows)
        self._pending = []
        self._pending_size = self._merged_size = 0
        self._spilled = True
