"""Spans: text columns as places in one byte buffer, before any text is copied.

A log line is cut by arithmetic on byte positions, millions of lines a second. This module turns such
positions into Arrow columns: text as `string_view` arrays that point into the buffer (16 bytes a
value, nothing copied), numbers and times by arithmetic over gathered windows.

All functions are pure and release the GIL in numpy for most of their time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import isfinite

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

PAD = 96
"""Zero bytes that follow the text in every buffer, so that a window never leaves it."""

Bools = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

_INLINE = 12  # an Arrow view holds values of up to 12 bytes by itself
_DASH = ord("-")
_ZERO = ord("0")
_NINE = 9


@dataclass(frozen=True)
class Buffer:
    """Bytes of valid UTF-8 followed by `PAD` zero bytes.

    Args:
        data: uint8, shape (size + PAD,).
        size: Number of bytes of text.
    """

    data: Bytes
    size: int

    @classmethod
    def of(cls, text: bytes | bytearray | memoryview) -> Buffer:
        """Copy `text` (valid UTF-8) into a new padded buffer."""
        size = len(text)
        data = np.empty(size + PAD, np.uint8)
        data[:size] = np.frombuffer(text, np.uint8)
        data[size:] = 0
        return cls(data, size)

    @cached_property
    def arrow(self) -> pa.Buffer:
        """The same memory as an Arrow buffer."""
        return pa.py_buffer(self.data)

    def windows(self, starts: Ints, width: int) -> Bytes:
        """Gather `width` bytes from each start: uint8, shape (n, width); `width` <= PAD.

        Overlapping items of `width` bytes, one at each byte, make it a plain gather: three times
        as quick as numpy's sliding windows.
        """
        overlapping = np.ndarray(self.size + 1, f"V{width}", self.data, strides=(1,))
        gathered: Bytes = overlapping[starts].view(np.uint8).reshape(len(starts), width)
        return gathered


@dataclass(frozen=True)
class Spans:
    """Values as places in a buffer: `length[i]` bytes from `start[i]`.

    Args:
        buffer: Where the bytes are.
        start: int64, shape (n,).
        length: int64, shape (n,), never negative.
    """

    buffer: Buffer
    start: Ints
    length: Ints

    def __len__(self) -> int:
        return len(self.start)

    @classmethod
    def of(cls, values: pa.Array | pa.ChunkedArray) -> Spans:
        """Spans over a string column (any Arrow string type; null becomes empty)."""
        if isinstance(values, pa.ChunkedArray):
            values = values.combine_chunks()
        wide = pc.fill_null(values.cast(pa.large_string()), "")
        _, offsets, text = wide.buffers()
        place = np.frombuffer(offsets, np.int64)[wide.offset : wide.offset + len(wide) + 1]
        start = place[:-1]
        return cls(Buffer.of(text or b""), start, place[1:] - start)

    @classmethod
    def empty(cls, n: int) -> Spans:
        """`n` empty values."""
        return cls(_NOTHING, np.zeros(n, np.int64), np.zeros(n, np.int64))

    def take(self, rows: NDArray[np.int64] | Bools) -> Spans:
        """The chosen rows, by index or by mask."""
        return Spans(self.buffer, self.start[rows], self.length[rows])

    def first_bytes(self, width: int) -> Bytes:
        """uint8, shape (n, width): the first bytes of each value, zero beyond its end."""
        window = self.buffer.windows(self.start, width)
        if len(self) and int(self.length.min()) < width:
            window = window * (np.arange(width) < self.length[:, None])
        return window

    def is_dash(self) -> Bools:
        """Where the value is a lone `-`, a log's word for missing."""
        dash: Bools = (self.length == 1) & (self.buffer.data[self.start] == _DASH)
        return dash

    def without_dashes(self) -> Spans:
        """The same with lone `-` made empty."""
        return Spans(self.buffer, self.start, np.where(self.is_dash(), 0, self.length))


_NOTHING = Buffer.of(b"")


def as_text(spans: Spans) -> pa.Array:
    """The values as a `string_view` array that points into the buffer; bytes must be valid UTF-8."""
    n = len(spans)
    views = np.zeros((n, 4), np.int32)
    if n and int(spans.length.max()) > 0:
        start, length = spans.start, spans.length
        views[:, 0] = length
        short = length <= _INLINE
        if short.all():
            views.view(np.uint8)[:, 4:16] = spans.first_bytes(_INLINE)
        else:
            views[:, 1] = spans.buffer.windows(start, 4).view(np.int32)[:, 0]
            views[:, 3] = start
            rows = np.flatnonzero(short)
            views.view(np.uint8)[rows, 4:16] = spans.take(rows).first_bytes(_INLINE)
    return pa.Array.from_buffers(pa.string_view(), n, [None, pa.py_buffer(views), spans.buffer.arrow])


def as_integers(spans: Spans, *, width: int = 18) -> tuple[Ints, Bools]:
    """Decimal digits as int64 and where they were that: not empty, at most `width` digits."""
    length = spans.length
    longest = int(length.max()) if len(spans) else 0
    columns = max(1, min(longest, width))
    digits = spans.buffer.windows(spans.start, columns) - np.uint8(_ZERO)  # what is no digit wraps above 9
    valid = (length > 0) & (length <= width)
    value = np.zeros(len(spans), np.int64)
    if len(spans) and int(length.min()) == columns:
        for column in range(columns):
            value = value * 10 + digits[:, column]
        return value, valid & (digits <= _NINE).all(1)
    inside = np.arange(columns) < length[:, None]
    for column in range(columns):
        value = np.where(inside[:, column], value * 10 + digits[:, column], value)
    return value, valid & ((digits <= _NINE) | ~inside).all(1)


def as_seconds(spans: Spans) -> pa.Array:
    """Times in seconds as float32; null where nothing was logged.

    nginx writes several upstream tries as `0.010, 0.200 : -`; they are summed, `-` counts nothing.
    """
    encoded = as_text(spans).dictionary_encode()
    seconds = [_seconds(value) for value in encoded.dictionary.to_pylist()]
    return pa.array(seconds, pa.float32()).take(encoded.indices)


def _seconds(value: str) -> float | None:
    total, seen = 0.0, False
    for part in value.replace(":", ",").split(","):
        try:
            tried = float(part)
        except ValueError:
            continue
        if isfinite(tried):
            total += tried
            seen = True
    return total if seen else None
