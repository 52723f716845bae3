r"""Undo what attackers wrap their text in, for a whole column at once.

Works on one buffer of rows, each ended by a line feed, with numpy on all rows together, so that
nothing is paid per row. What is undone, in up to `ROUNDS` rounds (an attacker may wrap twice):

    %41 %u0041 %uff21       percent and IIS Unicode escapes
    \x41 \u0041               what nginx and JSON write for bytes they do not print
    &#65; &#x41; &lt;       HTML character references
    C0 AF, E0 80 AF         overlong UTF-8
    full-width, circled and other look-alikes of ASCII, typographic quotes
    zero-width and null characters (removed), other control characters (a space)
    runs of white space (one space, or one carriage return if the run has any)

A decoded line feed or carriage return becomes a carriage return: rows stay rows.
Argument separators are none of its business, see `arguments`.
"""

from __future__ import annotations

import re
import unicodedata
from html.entities import html5

import numpy as np
from numpy.typing import NDArray

ROUNDS = 3

_Bytes = NDArray[np.uint8]
_Index = NDArray[np.intp]

_LF, _CR, _SPACE, _PLUS, _PERCENT, _BACKSLASH = 10, 13, 32, 43, 37, 92
_PADDING = 6
"""Longest escape: look-ahead of that many bytes never leaves the buffer."""

_DROP = 1
_OTHER = 0xFF

_ASCII_END = 0x80
_PLANE_END = 0x10000
"""One past the last code point of the basic plane."""

_CONTINUATION = 0x80
_LEAD_2, _LEAD_3, _LEAD_4 = 0xC0, 0xE0, 0xF0
"""The lowest lead bytes of sequences of two, three and four bytes in UTF-8."""

_FIRST_PROPER_LEAD = 0xC2
"""Below it are the leads C0 and C1, which only overlong sequences have."""

_NO_BREAK_SPACE = 0xA0
_HEX_END = 16
_BYTE_DIGITS = 2
_LETTERS = 26


def _hex_values() -> _Bytes:
    table = np.full(256, 255, np.uint8)
    for digit in b"0123456789abcdefABCDEF":
        table[digit] = int(chr(digit), 16)
    return table


def _ascii_look_alikes() -> _Bytes:
    """For each code point of the basic plane its ASCII look-alike, `_DROP`, or 0 for none."""
    table = np.zeros(0x10000, np.uint8)
    blocks = ((0x80, 0x300), (0x2000, 0x2500), (0x3000, 0x3040), (0xFE50, 0xFFF0))
    for code in (code for block in blocks for code in range(*block)):
        folded = unicodedata.normalize("NFKC", chr(code))
        if len(folded) == 1 and folded.isascii():
            table[code] = ord(folded)
    for alike, codes in (
        ("'", (0x2B9, 0x2BC, 0x2018, 0x2019, 0x201B, 0x2032, 0x2035, 0xFF07)),
        ('"', (0x201C, 0x201D, 0x201F, 0x2033, 0x2036)),
        ("/", (0x2044, 0x2215, 0x29F8)),
        ("\\", (0x2216, 0x29F5, 0x29F9)),
        (".", (0x3002, 0xFF61)),
        ("<", (0x2039, 0x3008)),
        (">", (0x203A, 0x3009)),
    ):
        table[list(codes)] = ord(alike)
    invisible = (0xAD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), 0x2060, 0xFEFF)
    table[list(invisible)] = _DROP
    table[0x00] = _DROP
    table[0x01:0x80] = np.arange(0x01, 0x80)
    table[0x01:0x20] = _SPACE
    table[[_LF, _CR]] = _CR
    return table


_HEX = _hex_values()
_ALIKE = _ascii_look_alikes()

_SPECIAL = np.zeros(256, np.bool_)
_SPECIAL[[*range(_LF), *range(_LF + 1, 0x20), 0x7F, _PLUS, _PERCENT, _BACKSLASH]] = True
_SPECIAL[ord(";")] = True  # ends a named character reference; its & begins each argument too
_SPECIAL[0x80:] = True

_CONTROL = np.arange(256, dtype=np.uint8)
_CONTROL[:0x20] = _SPACE
_CONTROL[0x7F] = _SPACE
_CONTROL[[_LF, _CR]] = (_LF, _CR)

_NAMED = {
    name[:-1].encode(): alike
    for name, text in html5.items()
    if name.endswith(";") and len(text) == 1 and ord(text) < _PLANE_END
    if 0x01 <= (alike := int(_ALIKE[ord(text)])) < _ASCII_END
}
_ENTITY = re.compile(rb"&(?:#(?:[xX]0*([0-9a-fA-F]{1,6})|0*([0-9]{1,7}));?|([A-Za-z]{2,31});)")


def row_ends(text: bytes) -> _Index:
    """Offsets of the line feeds that end the rows of `text`."""
    return np.flatnonzero(np.frombuffer(text, np.uint8) == _LF)


def special_rows(text: bytes) -> _Index:
    """Numbers of the rows that `normalise` would or might change, ascending."""
    buffer = np.frombuffer(text, np.uint8)
    special = _SPECIAL[buffer]
    special[1:] |= (buffer[1:] == _SPACE) & (buffer[:-1] == _SPACE)
    special[1:] |= (buffer[1:] == ord("#")) & (buffer[:-1] == ord("&"))
    positions = np.flatnonzero(special)
    if not len(positions):
        return positions
    rows = np.searchsorted(row_ends(text), positions)
    return rows[np.concatenate(([True], rows[1:] != rows[:-1]))]


def normalise(text: bytes, *, fold_plus: bool = False) -> bytes:
    """Decode every row.

    Args:
        text: Rows, each ended by a line feed.
        fold_plus: Whether `+` after a row's first `?` means a space, as in a query string.

    Returns:
        As many rows, decoded.
    """
    buffer = np.frombuffer(text + b"\n" * _PADDING, np.uint8).copy()
    if fold_plus:
        _fold_plus(buffer)
    for _ in range(ROUNDS):
        buffer, unescaped = _unescape(buffer)
        buffer = _fold_look_alikes(buffer)
        buffer, resolved = _resolve_entities(buffer)
        if not (unescaped or resolved):
            break
    buffer = _collapse_space(_fold_controls(buffer))
    return buffer[: len(buffer) - _PADDING].tobytes()


def _fold_plus(buffer: _Bytes) -> None:
    plus = np.flatnonzero(buffer == _PLUS)
    if not len(plus):
        return
    marks = np.flatnonzero((buffer == ord("?")) | (buffer == _LF))
    is_question = buffer[marks] == ord("?")
    # The last mark before a plus within its row is a `?` exactly when the query has begun.
    before = np.searchsorted(marks, plus) - 1
    in_query = (before >= 0) & is_question[before]
    buffer[plus[in_query]] = _SPACE


def _replace(buffer: _Bytes, starts: _Index, lengths: _Index, values: _Bytes) -> _Bytes:
    """Put one byte in place of each escape; `_DROP` leaves nothing. Escapes must not overlap."""
    buffer[starts] = values
    keep = np.ones(len(buffer), np.bool_)
    keep[starts[values == _DROP]] = False
    for ahead in range(1, int(lengths.max())):
        keep[starts[lengths > ahead] + ahead] = False
    return buffer[keep]


def _hex_number(buffer: _Bytes, starts: _Index, digits: int) -> tuple[_Index, NDArray[np.bool_]]:
    """The hexadecimal number at each start, and whether there is one."""
    number = np.zeros(len(starts), np.intp)
    valid = np.ones(len(starts), np.bool_)
    for ahead in range(digits):
        value = _HEX[buffer[starts + ahead]]
        valid &= value < _HEX_END
        number = number * 16 + value
    return number, valid


def _unescape(buffer: _Bytes) -> tuple[_Bytes, bool]:
    found: list[tuple[_Index, _Index, _Bytes]] = []
    for lead, letter, digits in (
        (_PERCENT, "", 2),
        (_PERCENT, "u", 4),
        (_BACKSLASH, "x", 2),
        (_BACKSLASH, "u", 4),
    ):
        starts = np.flatnonzero(buffer == lead)
        if letter:
            starts = starts[(buffer[starts + 1] | 0x20) == ord(letter)]
        if not len(starts):
            continue
        before = 1 + len(letter)
        code, valid = _hex_number(buffer, starts + before, digits)
        starts, code = starts[valid], code[valid]
        # Two digits are a byte that may be part of UTF-8; four are a code point.
        values = _byte_values(code) if digits == _BYTE_DIGITS else _code_values(code)
        found.append((starts, np.full(len(starts), before + digits, np.intp), values))
    starts = np.concatenate([part[0] for part in found]) if found else np.empty(0, np.intp)
    if not len(starts):
        return buffer, False
    lengths = np.concatenate([part[1] for part in found])
    values = np.concatenate([part[2] for part in found])
    return _replace(buffer, starts, lengths, values), True


def _byte_values(codes: _Index) -> _Bytes:
    values = codes.astype(np.uint8)
    plain = codes < _ASCII_END
    values[plain] = _ALIKE[codes[plain]]
    return values


def _code_values(codes: _Index) -> _Bytes:
    values = _ALIKE[codes]
    values[values == 0] = _OTHER
    return values


def _fold_look_alikes(buffer: _Bytes) -> _Bytes:
    leads = np.flatnonzero(buffer >= _LEAD_2)
    if not len(leads):
        return buffer
    first, second, third, fourth = (buffer[leads + ahead].astype(np.intp) for ahead in range(4))
    tail2, tail3, tail4 = (part & 0x3F for part in (second, third, fourth))
    goes_on2, goes_on3, goes_on4 = (part & 0xC0 == _CONTINUATION for part in (second, third, fourth))
    code2 = (first & 0x1F) << 6 | tail2
    code3 = (first & 0x0F) << 12 | tail2 << 6 | tail3
    code4 = (first & 0x07) << 18 | tail2 << 12 | tail3 << 6 | tail4
    # Old IIS took any second byte; of these only what walks directories is worth the risk of
    # misreading single-byte Cyrillic, whose letters begin at C0.
    walks = (first < _FIRST_PROPER_LEAD) & (second < _ASCII_END) & np.isin(code2, (0x2E, 0x2F, 0x5C))
    is2 = (first < _LEAD_3) & (goes_on2 | walks)
    is3 = (first >= _LEAD_3) & (first < _LEAD_4) & goes_on2 & goes_on3
    is4 = (first >= _LEAD_4) & goes_on2 & goes_on3 & goes_on4 & (code4 < _PLANE_END)
    code = np.select([is2, is3, is4], [code2, code3, code4], 0)
    length = np.select([is2, is3, is4], [2, 3, 4], 1)
    values = np.where(length > 1, _ALIKE[code], 0)
    folds = values > 0
    if not folds.any():
        return buffer
    return _replace(buffer, leads[folds], length[folds], values[folds].astype(np.uint8))


def _resolve_entities(buffer: _Bytes) -> tuple[_Bytes, bool]:
    ampersands = np.flatnonzero(buffer == ord("&"))
    if not len(ampersands):
        return buffer, False
    follows = buffer[ampersands + 1]
    ends = np.flatnonzero(buffer == _LF)
    semicolons = np.flatnonzero(buffer == ord(";"))
    rows = np.searchsorted(ends, ampersands)
    with_semicolon = np.isin(rows, np.searchsorted(ends, semicolons))
    letters = (follows | 0x20) - np.uint8(ord("a")) < _LETTERS
    rows = np.unique(rows[(follows == ord("#")) | (with_semicolon & letters)])
    if not len(rows):
        return buffer, False
    return _resolve_rows(buffer, rows, ends)


def _resolve_rows(buffer: _Bytes, rows: _Index, ends: _Index) -> tuple[_Bytes, bool]:
    """Character references vary in length and are rare: these rows one by one."""
    text = buffer.tobytes()
    parts: list[bytes] = []
    count = 0
    last = 0
    for row in rows:
        start, end = (int(ends[row - 1]) + 1 if row else 0), int(ends[row])
        resolved, changes = _ENTITY.subn(_entity, text[start:end])
        parts += (text[last:start], resolved)
        count += changes
        last = end
    parts.append(text[last:])
    return np.frombuffer(b"".join(parts), np.uint8).copy(), count > 0


def _entity(match: re.Match[bytes]) -> bytes:
    hexadecimal, decimal, name = match.groups()
    if name:
        alike = _NAMED.get(name, 0)
        return bytes((alike,)) if alike > _DROP else match[0]
    code = int(hexadecimal, 16) if hexadecimal else int(decimal)
    if code >= _PLANE_END:
        return match[0]
    alike = int(_ALIKE[code]) or _OTHER
    return b"" if alike == _DROP else bytes((alike,))


def _fold_controls(buffer: _Bytes) -> _Bytes:
    nulls = buffer == 0
    if nulls.any():
        buffer = buffer[~nulls]
    folded = _CONTROL[buffer]
    # A lone A0 is a no-break space of a single-byte charset; MySQL takes it for white space.
    lone = np.flatnonzero(folded == _NO_BREAK_SPACE)
    if len(lone):
        folded[lone[folded[lone - 1] < _ASCII_END]] = _SPACE
    return folded


def _collapse_space(buffer: _Bytes) -> _Bytes:
    places = np.flatnonzero((buffer == _SPACE) | (buffer == _CR))
    follows = np.concatenate(([False], np.diff(places) == 1))
    if not follows.any():
        return buffer
    firsts = np.flatnonzero(~follows)
    # The lower of the two codes is the carriage return: a run with a line break stays one.
    buffer[places[firsts]] = np.minimum.reduceat(buffer[places], firsts)
    return np.delete(buffer, places[follows])
