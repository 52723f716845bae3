"""A spill that keeps frames in memory, for tests and for logs that are known to be small."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import polars as pl


class InMemorySpill:
    """Frames in lists."""

    def __init__(self) -> None:
        self._frames: defaultdict[tuple[str, int], list[pl.DataFrame]] = defaultdict(list)

    def write(self, name: str, part: int, frame: pl.DataFrame) -> None:
        """Append a frame to the part of that name."""
        self._frames[name, part].append(frame)

    def read(self, name: str, part: int) -> Iterator[pl.DataFrame]:
        """Yield the frames of the part in the order of writing; nothing if none was written."""
        yield from self._frames.get((name, part), [])
