"""Cut text lines into fields by the places of their quotes: arithmetic, no pattern, no copy.

A line that has exactly the quotes of its format, none of them escaped, is cut here. The few that do
not (escaped quotes, junk) are left to the format's regular expressions in `core/parse.py`, which
cut every line in the same way, only slower.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dozor.columns.spans import Bools, Buffer, Bytes, Ints, Spans, Words
from dozor.features.traffic.core.formats import Format, Token, Variable
from dozor.features.traffic.core.times import TIME_LOCAL_WIDTH

_WIDTHS = {"time_local": TIME_LOCAL_WIDTH, "status": 3}
_SOLID = frozenset(
    ("remote_addr", "host", "request_method", "server_protocol", "msec", "request_time")
)  # values without a space; one that has a space took too much, and the regular expression cuts better
_SEARCH = 64  # an unquoted value longer than this is left to the regular expression
_BLOCK = 1 << 19  # searched at a time, so that what is compared stays in the cache: a third quicker
_QUOTE, _BACKSLASH, _QUESTION = ord('"'), ord("\\"), ord("?")
_WORD_BYTES = 8
_EACH = 0x0101010101010101


@dataclass(frozen=True)
class Lines:
    """Lines of a buffer without their ends.

    Args:
        buffer: The text.
        start: int64, shape (n,): first byte of each line.
        end: int64, shape (n,): one past the last byte, line end and carriage return left out.
        quotes: int64, shape (q,): places of all double quotes in the buffer.
        quotes_before: int64, shape (n,): how many quotes stand before each line.
        quotes_inside: int64, shape (n,): how many stand inside it.
        questions: int64, shape (m,): places of all question marks in the buffer.
    """

    buffer: Buffer
    start: Ints
    end: Ints
    quotes: Ints
    quotes_before: Ints
    quotes_inside: Ints
    questions: Ints

    @property
    def spans(self) -> Spans:
        """The lines themselves as values."""
        return Spans(self.buffer, self.start, self.end - self.start)

    def blocks(self, rows: int) -> Iterator[tuple[slice, Lines]]:
        """The lines in blocks of so many, each with its place."""
        for first in range(0, len(self.start), rows):
            place = slice(first, first + rows)
            by_row = (self.start, self.end, self.quotes_before, self.quotes_inside)
            start, end, before, inside = (array[place] for array in by_row)
            yield place, Lines(self.buffer, start, end, self.quotes, before, inside, self.questions)


def find_lines(buffer: Buffer) -> Lines:
    """Find lines, quotes and question marks in one pass; the buffer's last line may lack its end."""
    text = buffer.data[: buffer.size]
    blocks = [_marks(text, first) for first in range(0, max(buffer.size, 1), _BLOCK)]
    end, quotes, questions = (np.concatenate(places) for places in zip(*blocks, strict=True))
    if buffer.size and (not len(end) or end[-1] != buffer.size - 1):
        end = np.append(end, buffer.size)
    start = np.concatenate([np.zeros(min(1, len(end)), np.int64), end[:-1] + 1])
    quotes_until = np.searchsorted(quotes, end)
    quotes_before = np.concatenate([np.zeros(min(1, len(end)), np.int64), quotes_until[:-1]])
    returns = (
        (end > start) & (text[np.maximum(end - 1, 0)] == ord("\r")) if len(end) else np.zeros(0, np.bool_)
    )
    inside = quotes_until - quotes_before
    return Lines(buffer, start, end - returns, quotes, quotes_before, inside, questions)


def _marks(text: Bytes, first: int) -> tuple[Ints, Ints, Ints]:
    """Places of line ends, quotes and question marks in the block of `text` that begins at `first`.

    They stand some thirty bytes apart, so words of eight bytes without any are left out before their
    bytes are looked at.
    """
    text = text[first : first + _BLOCK]
    marked = np.zeros(len(text) + -len(text) % _WORD_BYTES, np.bool_)
    found = marked[: len(text)]
    np.equal(text, ord("\n"), out=found)
    found |= text == _QUOTE
    found |= text == _QUESTION
    words = marked.view(np.uint64)
    some = np.flatnonzero(words != 0)
    inside = np.flatnonzero(words[some].view(np.bool_))
    places = some[inside // _WORD_BYTES] * _WORD_BYTES + inside % _WORD_BYTES
    sign = text[places]
    places += first
    return places[sign == ord("\n")], places[sign == _QUOTE], places[sign == _QUESTION]


def cut(lines: Lines, format_: Format) -> tuple[dict[str, Spans], Bools]:
    """Fields by nginx variable for the lines that could be cut, and which lines these are.

    Returns:
        Spans of the chosen lines only, and bool, shape (n lines,): the choice.
    """
    segments = _segments(format_.tokens)
    wanted = len(segments) - 1
    chosen = (lines.quotes_inside == wanted) & (lines.end > lines.start) & (wanted > 0)
    rows = np.flatnonzero(chosen)
    before = lines.quotes_before[rows]
    marks = [lines.quotes[before + number] for number in range(wanted)]
    good = np.ones(len(rows), np.bool_)
    for mark in marks:
        good &= lines.buffer.data[np.maximum(mark - 1, 0)] != _BACKSLASH
    low = [lines.start[rows], *(mark + 1 for mark in marks)]
    high = [*marks, lines.end[rows]]
    fields: dict[str, Spans] = {}
    for tokens, first, last in zip(segments, low, high, strict=True):
        cut_fields, fits = _cut_segment(lines.buffer, tokens, first, last)
        good &= fits
        fields.update(cut_fields)
    if good.all():
        return fields, chosen
    chosen[rows] = good
    return {name: spans.take(good) for name, spans in fields.items()}, chosen


def _segments(tokens: tuple[Token, ...]) -> list[list[Token]]:
    """The tokens between the quotes of the format; quotes themselves are left out."""
    segments: list[list[Token]] = [[]]
    for token in tokens:
        if isinstance(token, Variable):
            segments[-1].append(token)
            continue
        first, *rest = token.split('"')
        if first:
            segments[-1].append(first)
        segments.extend([literal] if literal else [] for literal in rest)
    return segments


def _cut_segment(
    buffer: Buffer, tokens: list[Token], low: Ints, high: Ints
) -> tuple[dict[str, Spans], Bools]:
    """Cut `low:high` of each line: known widths from the right, the others from the left."""
    fields: dict[str, Spans] = {}
    fits: Bools = high >= low
    left, right = 0, len(tokens)

    def keep(token: Token, start: Ints, end: Ints) -> None:
        if isinstance(token, Variable):
            fields[token.name] = Spans(buffer, start, np.maximum(end - start, 0))

    while right > left and (width := _width(tokens[right - 1])) is not None:
        right -= 1
        start = np.maximum(high - width, 0)
        fits &= _reads(buffer, tokens[right], start) & (start >= low)
        keep(tokens[right], start, high)
        high = start
    while left < right:
        token = tokens[left]
        left += 1
        width = _width(token)
        if width is not None:
            end = np.minimum(low + width, buffer.size)
            fits &= _reads(buffer, token, low)
        elif left == right:
            end = high
        else:
            distance, found = _find(buffer, tokens[left], low)
            end = np.minimum(low + distance, buffer.size)
            fits &= found
        fits &= end <= high
        if isinstance(token, Variable) and token.name in _SOLID and not _ends_at_space(tokens[left:right]):
            fits &= _is_solid(buffer, low, end)
        keep(token, low, end)
        low = end
    return fields, fits & (low == high) if left or not tokens else fits & (low <= high)


def _ends_at_space(following: list[Token]) -> bool:
    """Whether a value is searched to the next space, and so cannot hold one."""
    return bool(following) and isinstance(following[0], str) and following[0].startswith(" ")


def _is_solid(buffer: Buffer, low: Ints, end: Ints) -> Bools:
    """Where `low:end` is short and holds no space."""
    inside = np.arange(_SEARCH) < (end - low)[:, None]
    spaces = (buffer.windows(np.minimum(low, buffer.size), _SEARCH) == ord(" ")) & inside
    solid: Bools = ~spaces.any(1) & (end - low <= _SEARCH)
    return solid


def _width(token: Token) -> int | None:
    return len(token.encode()) if isinstance(token, str) else _WIDTHS.get(token.name)


def _reads(buffer: Buffer, token: Token, start: Ints) -> Bools:
    """Where a literal stands at `start`; a variable reads anything."""
    fits: Bools = np.ones(len(start), np.bool_)
    if isinstance(token, Variable):
        return fits
    literal = token.encode()
    for place in range(0, len(literal), _WORD_BYTES):  # the padding keeps this inside
        piece = literal[place : place + _WORD_BYTES]
        mask, wanted = (int.from_bytes(word, "little") for word in (b"\xff" * len(piece), piece))
        fits &= (buffer.words(start + place) & np.uint64(mask)) == np.uint64(wanted)
    return fits


def _find(buffer: Buffer, token: Token, low: Ints) -> tuple[Ints, Bools]:
    """Distance to the first byte of the literal within the next bytes; the literal itself is read later."""
    first = token.encode()[0] if isinstance(token, str) else 0
    low = np.minimum(low, buffer.size)
    distance, found = np.zeros(len(low), np.int64), np.zeros(len(low), np.bool_)
    rows: Ints | slice = slice(None)
    for ahead in range(0, _SEARCH, _WORD_BYTES):
        place = _first_place(buffer.words(low[rows] + ahead), first)
        found[rows] = place < _WORD_BYTES
        distance[rows] = place + ahead
        rows = np.flatnonzero(~found)
        if not len(rows):
            break
    return distance, found


def _first_place(words: Words, byte: int) -> Ints:
    """Where the byte first stands in each word; the word's size where it does not.

    Only the lowest bit that remains can be trusted, and only it is asked for: a borrow spoils
    nothing below it.
    """
    differs = words ^ np.uint64(byte * _EACH)
    zero = (differs - np.uint64(_EACH)) & ~differs & np.uint64(0x80 * _EACH)
    below = ~zero & (zero - np.uint64(1))
    place: Ints = (np.bitwise_count(below) >> 3).astype(np.int64)
    return place
