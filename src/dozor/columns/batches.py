"""Rows of record batches: Arrow has no filter for `string_view` columns, Polars has."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pyarrow as pa

from dozor.columns.spans import Bools


def to_batch(frame: pl.DataFrame, schema: pa.Schema) -> pa.RecordBatch:
    """The frame as one batch of this schema; texts stay views and are not copied.

    Args:
        frame: Columns named as in the schema, in any order.
        schema: What comes out.
    """
    columns = [column_to_arrow(frame[field.name], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def column_to_arrow(series: pl.Series, type_: pa.DataType) -> pa.Array:
    """A Polars column as one Arrow array of this type."""
    is_view = type_ == pa.string_view()
    level = pl.CompatLevel.newest() if is_view else pl.CompatLevel.oldest()
    array = series.rechunk().to_arrow(compat_level=level)
    return array if array.type == type_ else array.cast(type_)


def filter_batch(batch: pa.RecordBatch, keep: Bools | pl.Series) -> pa.RecordBatch:
    """The rows where `keep` (shape (n,)) is true; the batch itself when all are."""
    if keep.all():
        return batch
    return to_batch(pl.DataFrame(batch).filter(pl.Series(keep)), batch.schema)


def join_batches(batches: Sequence[pa.RecordBatch], schema: pa.Schema, *, order: str) -> pa.RecordBatch:
    """All rows of one or more batches, ascending by the column `order`; equal ones stay as they came."""
    filled = [batch for batch in batches if len(batch)]
    if len(filled) <= 1:
        return (filled or batches)[0]
    return to_batch(
        pl.concat(pl.DataFrame(batch) for batch in filled).sort(order, maintain_order=True), schema
    )
