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
Words = NDArray[np.uint64]

_WORD = np.dtype("<u8")
_WORD_BYTES = 8
_HALF = np.uint64(32)
_LOW_BYTES = np.array([(1 << 8 * count) - 1 for count in range(_WORD_BYTES + 1)], _WORD)
"""By count: a word of which only so many bytes are set, the first ones."""

_PREFIX = 4  # bytes of a value that Arrow keeps in the first word of its view
_INLINE = 12  # a view holds values of up to 12 bytes by itself
_LONGEST_INTEGER = 18


def _repeated(byte: int) -> np.uint64:
    return np.uint64(int.from_bytes(bytes((byte,)) * _WORD_BYTES, "little"))


_ZEROS, _SIXES = _repeated(ord("0")), _repeated(6)
_HIGH_NIBBLES, _LOW_NIBBLES = _repeated(0xF0), _repeated(0x0F)
_JOINS = tuple(
    (np.uint64(10**digits), np.uint64(8 * digits), np.uint64(keep))
    for digits, keep in ((1, 0x00FF00FF00FF00FF), (2, 0x0000FFFF0000FFFF), (4, 0x00000000FFFFFFFF))
)
_DOT = ord(".")
_SHORTEST_TIME = len("0.000")
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

    def words(self, starts: Ints) -> Words:
        """Gather the 8 bytes from each start as one number, the first byte lowest: uint64, shape (n,)."""
        overlapping = np.ndarray(self.size + PAD - 7, _WORD, self.data, strides=(1,))
        gathered: Words = overlapping[starts]
        return gathered

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

    def dashes(self) -> Ints:
        """Rows where the value is a lone `-`, a log's word for missing."""
        single = np.flatnonzero(self.length == 1)
        dashes: Ints = single[self.buffer.data[self.start[single]] == _DASH]
        return dashes

    def without_dashes(self) -> Spans:
        """The same with lone `-` made empty."""
        dashes = self.dashes()
        if not len(dashes):
            return self
        length = self.length.copy()
        length[dashes] = 0
        return Spans(self.buffer, self.start, length)


_NOTHING = Buffer.of(b"")


def as_views(spans: Spans) -> Words:
    """The values as Arrow's string views into their buffer: uint64, shape (n, 2).

    Source: Arrow columnar format, "Variable-size Binary View Layout". The first word holds the length
    and 4 bytes of text; the second 8 more of a short value, or number (0) and offset of the buffer.
    """
    views = np.zeros((len(spans), 2), _WORD)
    longest = int(spans.length.max()) if len(spans) else 0
    if not longest:
        return views
    start, length = spans.start, spans.length
    shortest = int(length.min())
    head = spans.buffer.words(start)
    if shortest < _PREFIX:
        head &= _LOW_BYTES[np.minimum(length, _PREFIX)]
    head <<= _HALF  # also drops what follows the prefix
    head |= length.view(_WORD)
    views[:, 0] = head
    if longest <= _INLINE:
        if longest > _PREFIX:
            views[:, 1] = _tails(spans)
        return views
    views[:, 1] = start.view(_WORD) << _HALF
    if shortest <= _INLINE:
        rows = np.flatnonzero(length <= _INLINE)
        views[rows, 1] = _tails(spans.take(rows))
    return views


def _tails(spans: Spans) -> Words:
    """Bytes 4 to 12 of short values, zero beyond their ends."""
    return spans.buffer.words(spans.start + _PREFIX) & _LOW_BYTES[np.maximum(spans.length - _PREFIX, 0)]


def from_views(views: Words, buffer: Buffer) -> pa.Array:
    """The views of `as_views` as a `string_view` array; bytes must be valid UTF-8."""
    return pa.Array.from_buffers(pa.string_view(), len(views), [None, pa.py_buffer(views), buffer.arrow])


def as_text(spans: Spans) -> pa.Array:
    """The values as a `string_view` array that points into the buffer; bytes must be valid UTF-8."""
    return from_views(as_views(spans), spans.buffer)


def as_integers(spans: Spans, *, width: int = 18) -> tuple[Ints, Bools]:
    """Decimal digits as int64 and where they were that: not empty, at most `width` digits."""
    length = spans.length
    quick = (length > 0) & (length <= min(width, _WORD_BYTES))
    quick &= spans.start + length >= _WORD_BYTES
    if quick.all():
        return _short_integers(spans)
    value, valid = np.zeros(len(spans), np.int64), np.zeros(len(spans), np.bool_)
    for rows, convert in ((quick, _short_integers), (~quick & (length > 0), _any_integers)):
        value[rows], valid[rows] = convert(spans.take(rows))
    return value, valid & (length <= width)


def _short_integers(spans: Spans) -> tuple[Ints, Bools]:
    """The same for 1 to 8 digits that do not begin the buffer: all digits of a word at once."""
    outside = _LOW_BYTES[_WORD_BYTES - spans.length]
    digits = spans.buffer.words(spans.start + spans.length - _WORD_BYTES)
    digits &= ~outside
    digits |= outside & _ZEROS
    valid: Bools = ((digits & _HIGH_NIBBLES) == _ZEROS) & (((digits + _SIXES) & _HIGH_NIBBLES) == _ZEROS)
    # Neighbours are joined to pairs, pairs to fours, fours to the whole; the first digit is the lowest byte.
    value = digits & _LOW_NIBBLES
    for ten_to, shift, keep in _JOINS:
        value = (value * ten_to + (value >> shift)) & keep
    return value.view(np.int64), valid


def _any_integers(spans: Spans) -> tuple[Ints, Bools]:
    longest = int(spans.length.max()) if len(spans) else 0
    columns = max(1, min(longest, PAD))
    digits = spans.buffer.windows(spans.start, columns) - np.uint8(_ZERO)  # what is no digit wraps above 9
    value = np.zeros(len(spans), np.int64)
    inside = np.arange(columns) < spans.length[:, None]
    for column in range(min(columns, _LONGEST_INTEGER)):
        value = np.where(inside[:, column], value * 10 + digits[:, column], value)
    valid = np.asarray(((digits <= _NINE) | ~inside).all(1), np.bool_)
    return value, valid


def as_seconds(spans: Spans) -> tuple[NDArray[np.float32], Bools]:
    """Times in seconds, and where there was one.

    nginx writes several upstream tries as `0.010, 0.200 : -`; they are summed, `-` counts nothing.
    """
    seconds, known = _milliseconds(spans)
    rest = np.flatnonzero(~known & (spans.length > 0))
    if len(rest):
        encoded = as_text(spans.take(rest)).dictionary_encode()
        found = [_seconds(value) for value in encoded.dictionary.to_pylist()]
        codes = encoded.indices.to_numpy()
        seconds[rest] = np.array([value or 0.0 for value in found], np.float32)[codes]
        known[rest] = np.array([value is not None for value in found], np.bool_)[codes]
    return seconds, known


def _milliseconds(spans: Spans) -> tuple[NDArray[np.float32], Bools]:
    """Seconds of values such as `0.125`, which is how nginx writes nearly all times."""
    known: Bools = (spans.length >= _SHORTEST_TIME) & (spans.length <= _WORD_BYTES)
    end = spans.start + spans.length
    known &= spans.buffer.data[np.maximum(end - _SHORTEST_TIME + 1, 0)] == _DOT
    seconds = np.zeros(len(spans), np.float32)
    rows = np.flatnonzero(known)
    whole, whole_good = as_integers(Spans(spans.buffer, spans.start[rows], spans.length[rows] - 4))
    part, part_good = as_integers(Spans(spans.buffer, end[rows] - 3, np.full(len(rows), 3)))
    good = whole_good & part_good
    known[rows] = good
    seconds[rows[good]] = ((whole * 1000 + part)[good] / 1000).astype(np.float32)
    return seconds, known


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
