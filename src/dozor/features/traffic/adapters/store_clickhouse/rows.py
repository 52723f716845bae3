"""Record batches as rows of the tables: the order within a millisecond, dictionaries, lines cut short.

What is sent must be small: the texts of a batch are views into the bytes that were read, and Arrow's
stream format would write those bytes again with every column. Columns whose values repeat go as
dictionaries, which is also how the tables keep them.

A line mostly repeats what its columns hold. Where a field is a view into the line's own bytes it is cut
out of the line and a mark stands in its place; the table's column `raw` puts it back. With `^` for byte 1:

    192.0.2.1 - - [22/Nov/2026:10:00:00 +0000] "GET ^t HTTP/1.1" 200 612 "^r" "^a"

This halves the time that an insert takes. A line that holds such a byte itself is kept whole behind a byte 0.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dozor.columns.batches import column_to_arrow
from dozor.columns.record import RECORD, REJECT
from dozor.columns.spans import PAD, Buffer, Ints, Spans, as_text
from dozor.features.traffic.core.errorlog import ERROR_RECORD, fold_messages

_REPEATING: Final = {
    *("user", "method", "path", "protocol", "referer", "user_agent", "host", "forwarded_for"),
    *("country", "ua_family"),
    *("level", "server", "upstream", "folded", "reason"),
}
_DERIVED: Final = {"raw", "target", "query"}
_MARK: Final = "\1"
_WHOLE: Final = "\0"
_CUT: Final = {"target": f"{_MARK}t", "referer": f"{_MARK}r", "user_agent": f"{_MARK}a"}
_SAMPLE: Final = 64
_INLINE: Final = 12  # an Arrow view holds values of up to 12 bytes by itself


def request_rows(records: pa.RecordBatch, source: str, batch: int) -> pa.RecordBatch:
    """Rows of the table `requests`.

    Args:
        records: Schema `columns.record.RECORD`; `target` begins with `path`, as parsing makes it.
        source: Name of the source.
        batch: Number of the insert: greater than those of earlier ones.
    """
    columns = {name: records.column(name) for name in RECORD.names if name not in _DERIVED}
    target, path = (pl.Series(records.column(name)).cast(pl.Binary) for name in ("target", "path"))
    beyond = pl.DataFrame({"target": target, "from": path.bin.size()}).select(
        pl.col("target").bin.slice(pl.col("from"))
    )
    columns["tail"] = beyond.to_series().cast(pl.String).to_arrow(compat_level=pl.CompatLevel.oldest())
    columns["cut"] = cut_lines(records)
    return _rows(columns, source, batch)


def hit_rows(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Those rows of `request_rows` that rules hit."""
    lengths: Any = pc.list_value_length(rows.column("classes"))
    return rows.filter(pc.greater(lengths, 0))


def error_rows(records: pa.RecordBatch, source: str, batch: int) -> pa.RecordBatch:
    """Rows of the table `errors` from the schema `core.errorlog.ERROR_RECORD`."""
    columns = {name: records.column(name) for name in ERROR_RECORD.names}
    folded = fold_messages(pl.Series(records.column("message")))
    columns["folded"] = column_to_arrow(folded, pa.string())
    return _rows(columns, source, batch)


def reject_rows(rejects: pa.RecordBatch, source: str, batch: int, seen_ms: int) -> pa.RecordBatch:
    """Rows of the table `rejects` from the schema `columns.record.REJECT`."""
    columns = {name: rejects.column(name) for name in REJECT.names}
    columns["seen"] = pa.repeat(pa.scalar(seen_ms, pa.timestamp("ms", tz="UTC")), len(rejects))
    return _rows(columns, source, batch)


def _rows(columns: dict[str, pa.Array], source: str, batch: int) -> pa.RecordBatch:
    count = len(columns["line"])
    sent = {
        "batch": pa.repeat(pa.scalar(batch, pa.int64()), count),
        "row": pa.array(np.arange(count, dtype=np.uint32)),
        "source": _one_value(source, count),
        **{name: _sent(name, column) for name, column in columns.items()},
    }
    return pa.RecordBatch.from_arrays(list(sent.values()), list(sent))


def _one_value(value: str, count: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int8()), count), pa.array([value]))


def _sent(name: str, column: pa.Array) -> pa.Array:
    if name in _REPEATING:
        encoded = column.dictionary_encode()
        return pa.DictionaryArray.from_arrays(encoded.indices, encoded.dictionary.cast(pa.string()))
    return column.cast(pa.string()) if column.type == pa.string_view() else column


def cut_lines(records: pa.RecordBatch) -> pa.Array:
    """The column `cut`: each line without the fields that can be put back.

    Args:
        records: At least raw, target, referer and user_agent, of any string type.
    """
    raw = records.column("raw")
    lines = pl.Series(raw)
    holds_mark = lines.str.contains(_MARK, literal=True) | lines.str.starts_with(_WHOLE)
    spans = _one_buffer(raw)
    if spans is None or not (places := _places(records, spans)):
        return _text(_guarded(lines, holds_mark))
    pieces: list[pl.Series] = []
    end = np.zeros(len(raw), np.int64)
    for place in places:
        pieces.append(_piece(spans, end, place.at))
        pieces.append(_marks(place))
        end = place.at + place.length
    pieces.append(_piece(spans, end, spans.length))
    named = {str(number): piece for number, piece in enumerate(pieces)}
    # A piece of one row is the same in all.
    literals = {name: piece[0] for name, piece in named.items() if len(piece) == 1 < len(raw)}
    frame = pl.DataFrame({name: piece for name, piece in named.items() if name not in literals})
    joined = [pl.lit(literals[name]) if name in literals else pl.col(name) for name in named]
    cut = frame.select(pl.concat_str(joined)).to_series()
    if holds_mark.any():
        cut = _guarded(lines, holds_mark).zip_with(holds_mark, cut)
    return _text(cut)


class _Place(NamedTuple):
    """A field inside the lines: its mark, where it begins in each line, and its length (0: not cut)."""

    mark: str
    at: Ints
    length: Ints


def _one_buffer(column: pa.Array) -> Spans | None:
    """The values as spans of the one buffer that holds them; None when there is none."""
    if column.type != pa.string_view() or not len(column):
        return None
    _, views, *buffers = column.buffers()
    table = _table(column, views)
    number = int(table[0, 2])
    if int(table[:, 0].min()) <= _INLINE or (table[:, 2] != number).any():
        return None
    data = np.frombuffer(buffers[number], np.uint8)
    buffer = Buffer(data, len(data) - PAD)
    spans = Spans(buffer, table[:, 3].astype(np.int64), table[:, 0].astype(np.int64))
    # Lines are cut by windows of bytes, which must not pass the end of the memory.
    return spans if int((spans.start + spans.length).max()) <= buffer.size else None


def _places(records: pa.RecordBatch, lines: Spans) -> list[_Place]:
    """The fields that are views into the lines, in their order there."""
    origin = lines.buffer.data.ctypes.data
    found = []
    for name, mark in _CUT.items():
        column = records.column(name)
        if column.type != pa.string_view():
            continue
        _, views, *buffers = column.buffers()
        if not buffers:
            continue
        table = _table(column, views)
        length = table[:, 0].astype(np.int64)
        addresses = np.array([buffer.address for buffer in buffers], np.int64) - origin
        # A short value lies in its view, and what stands at the place of a buffer's number is text.
        number = np.where(length > _INLINE, table[:, 2], 0)
        at = addresses[number] + table[:, 3] - lines.start
        inside = (length > _INLINE) & (at >= 0) & (at + length <= lines.length)
        if inside.any():
            found.append((int(at[np.argmax(inside)]), mark, at, length, inside))
    found.sort(key=lambda place: place[0])
    end = np.zeros(len(lines), np.int64)
    places = []
    for _, mark, at, length, inside in found:
        usable = inside & (at >= end)
        place = _Place(mark, np.where(usable, at, end), np.where(usable, length, 0))
        end = place.at + place.length
        places.append(place)
    return places


def _table(column: pa.Array, views: pa.Buffer) -> NDArray[np.int32]:
    table = np.frombuffer(views, np.int32).reshape(-1, 4)
    return table[column.offset : column.offset + len(column)]


def _piece(lines: Spans, start: Ints, end: Ints) -> pl.Series:
    """The lines from `start` to `end`, places in each line; one row when all are the same few bytes."""
    part = Spans(lines.buffer, lines.start + start, end - start)
    first = part.length[:_SAMPLE]
    width = int(np.bincount(np.minimum(first, _INLINE + 1)).argmax())
    if width > _INLINE:
        return pl.Series(as_text(part))
    # Between two fields mostly stand the same few bytes, which need no look at each.
    window = part.buffer.windows(part.start, max(width, 1))[:, :width]
    usual = window[int(np.argmax(first == width))]
    differs = np.flatnonzero((part.length != width) | (window != usual).any(1))
    value = pl.Series([usual.tobytes().decode("utf-8", "replace")])
    if not len(differs):
        return value
    number = np.zeros(len(part), np.uint32)
    number[differs] = np.arange(1, len(differs) + 1)
    return value.append(pl.Series(as_text(part.take(differs)))).gather(pl.Series(number))


def _marks(place: _Place) -> pl.Series:
    if place.length.all():
        return pl.Series([place.mark])
    return pl.Series(["", place.mark]).gather(pl.Series((place.length > 0).astype(np.uint32)))


def _guarded(lines: pl.Series, holds_mark: pl.Series) -> pl.Series:
    """Whole lines, with a sign before those that could be taken for cut ones."""
    if not holds_mark.any():
        return lines
    signed = pl.select(pl.concat_str(pl.lit(_WHOLE), lines)).to_series()
    return signed.zip_with(holds_mark, lines)


def _text(values: pl.Series) -> pa.Array:
    return column_to_arrow(values, pa.string())
