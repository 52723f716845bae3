"""What traffic needs from outside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import polars as pl
import pyarrow as pa


class Country(Protocol):
    """Knows the country of an address."""

    def countries(self, addresses: pa.Array) -> pa.Array:
        """Look up each address.

        Args:
            addresses: Texts, mostly distinct (string or string_view, no nulls): addresses in normal
                form, and among them host names and other texts.

        Returns:
            A string array of the same length without nulls: ISO 3166-1 alpha-2, or empty for a
            private or unknown address and for a text that is no address.
        """


class Annotate(Protocol):
    """A pure step that adds columns to a batch, such as detection."""

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the batch with more columns; rows, their order and the given columns stay."""


class Spill(Protocol):
    """Holds frames that do not fit in memory until they are read once at the end."""

    def write(self, name: str, part: int, frame: pl.DataFrame) -> None:
        """Append a frame to the part of that name."""

    def read(self, name: str, part: int) -> Iterator[pl.DataFrame]:
        """Yield the frames of the part in the order of writing; nothing if none was written."""
