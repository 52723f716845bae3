"""Times of a log as milliseconds since 1970 UTC, by arithmetic over whole columns.

Logs are written in order, so a time mostly repeats the one before it: only the first of each run is
worked out.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from dozor.columns.spans import Bools, Bytes, Ints, Spans

TIME_LOCAL_WIDTH = 26
"""`17/May/2015:10:05:03 +0000`, nginx's $time_local and Apache's %t without brackets."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_OF = np.zeros(1 << 24, np.uint8)
for _number, _name in enumerate(_MONTHS, 1):
    _MONTH_OF[int.from_bytes(_name.encode(), "big")] = _number

_DAYS_IN_MONTH = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
# What lies outside is no time of a log, and Python's calendar ends there.
_EARLIEST = np.datetime64("1900-01-01", "s").astype(np.int64)
_LATEST = np.datetime64("9999-12-31T23:59:59", "s").astype(np.int64)

_ISO_WIDTH = 35  # 2015-05-17T10:05:03.123456789+00:00
_PLUS, _MINUS, _DOT, _COLON = (ord(sign) for sign in "+-.:")

_FRACTION = re.compile(r"[.,]([0-9]+)")

_Parse = Callable[[Bytes, Ints], tuple[Ints, Bools]]


def parse_time_local(spans: Spans) -> tuple[Ints, Bools]:
    """Milliseconds since 1970 UTC of `17/May/2015:10:05:03 +0000` and where the value is such a time."""
    return _by_runs(spans, TIME_LOCAL_WIDTH, _time_local)


def parse_iso8601(spans: Spans) -> tuple[Ints, Bools]:
    """Milliseconds of ISO 8601 times: with `T` or a space, a fraction or none, a zone or none (UTC)."""
    return _by_runs(spans, _ISO_WIDTH, _iso8601)


def parse_epoch(spans: Spans) -> tuple[Ints, Bools]:
    """Milliseconds of nginx's $msec (`1431857103.123`) or of whole seconds since 1970."""
    return _by_runs(spans, 20, _epoch)


def _by_runs(spans: Spans, width: int, parse: _Parse) -> tuple[Ints, Bools]:
    n = len(spans)
    if not n:
        return np.zeros(0, np.int64), np.zeros(0, np.bool_)
    window = np.ascontiguousarray(spans.first_bytes(width))
    step = np.empty(n, np.bool_)
    step[0] = True
    step[1:] = (window[1:] != window[:-1]).any(1) | (spans.length[1:] != spans.length[:-1])
    rows = np.flatnonzero(step)
    millis, valid = parse(window[rows], spans.length[rows])
    run = np.cumsum(step) - 1
    return millis[run], valid[run]


def _time_local(window: Bytes, length: Ints) -> tuple[Ints, Bools]:
    digits = window.astype(np.int64) - ord("0")
    day, year = _two(digits, 0), _two(digits, 7) * 100 + _two(digits, 9)
    hour, minute, second = _two(digits, 12), _two(digits, 15), _two(digits, 18)
    month_key = (window[:, 3].astype(np.int64) << 16) | (window[:, 4].astype(np.int64) << 8) | window[:, 5]
    month = _MONTH_OF[month_key].astype(np.int64)
    sign = np.where(window[:, 21] == _MINUS, -1, 1)
    zone = (_two(digits, 22) * 60 + _two(digits, 24)) * sign
    places = [0, 1, 7, 8, 9, 10, 12, 13, 15, 16, 18, 19, 22, 23, 24, 25]
    valid = (length == TIME_LOCAL_WIDTH) & _all_digits(digits, places)
    for place, sign_byte in ((2, "/"), (6, "/"), (11, ":"), (14, ":"), (17, ":"), (20, " ")):
        valid &= window[:, place] == ord(sign_byte)
    valid &= (window[:, 21] == _PLUS) | (window[:, 21] == _MINUS)
    return _millis((year, month, day), (hour, minute, second), zone, valid)


def _iso8601(window: Bytes, length: Ints) -> tuple[Ints, Bools]:
    digits = window.astype(np.int64) - ord("0")
    year = _two(digits, 0) * 100 + _two(digits, 2)
    month, day = _two(digits, 5), _two(digits, 8)
    hour, minute, second = _two(digits, 11), _two(digits, 14), _two(digits, 17)
    valid = (length >= 19) & (length <= _ISO_WIDTH)
    valid &= _all_digits(digits, [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18])
    for place, sign_byte in ((4, "-"), (7, "-"), (13, ":"), (16, ":")):
        valid &= window[:, place] == ord(sign_byte)
    valid &= (window[:, 10] == ord("T")) | (window[:, 10] == ord(" ")) | (window[:, 10] == ord("t"))
    thousandths, zone, tail_ok = _iso_tails(window, length)
    millis, valid = _millis((year, month, day), (hour, minute, second), zone, valid & tail_ok)
    return millis + thousandths, valid


def _iso_tails(window: Bytes, length: Ints) -> tuple[Ints, Ints, Bools]:
    """Fraction (ms) and zone (minutes) behind the seconds; worked out once per distinct tail."""
    tails = np.where(np.arange(19, window.shape[1]) < length[:, None], window[:, 19:], 0).astype(np.uint8)
    distinct, place = np.unique(tails, axis=0, return_inverse=True)
    parsed = [_iso_tail(bytes(tail).rstrip(b"\0").decode("latin-1")) for tail in distinct]
    table = np.array([(ms, zone, ok) for ms, zone, ok in parsed], np.int64).reshape(-1, 3)[place.reshape(-1)]
    return table[:, 0], table[:, 1], table[:, 2].astype(np.bool_)


def _iso_tail(tail: str) -> tuple[int, int, bool]:
    thousandths = 0
    if tail[:1] in (".", ","):
        fraction = _FRACTION.match(tail)
        if fraction is None:
            return 0, 0, False
        digits = fraction[1]
        thousandths = int(digits[:3].ljust(3, "0"))
        tail = tail[1 + len(digits) :]
    if tail in ("", "Z", "z"):
        return thousandths, 0, True
    zone = tail[1:].replace(":", "")
    if tail[0] not in "+-" or not (zone.isascii() and zone.isdecimal()) or len(zone) not in (2, 4):
        return 0, 0, False
    minutes = int(zone[:2]) * 60 + int(zone[2:] or 0)
    return thousandths, -minutes if tail[0] == "-" else minutes, minutes < 24 * 60


def _epoch(window: Bytes, length: Ints) -> tuple[Ints, Bools]:
    columns = np.arange(window.shape[1])
    inside = columns < length[:, None]
    is_dot = (window == _DOT) & inside
    dot = np.where(is_dot.any(1), is_dot.argmax(1), length)
    digits = window.astype(np.int64) - ord("0")
    numeric = (digits >= 0) & (digits <= 9)
    valid = (numeric | ~inside | (columns == dot[:, None])).all(1)
    valid &= (dot >= 1) & (dot <= 11) & (length <= window.shape[1])
    seconds = np.zeros(len(window), np.int64)
    for column in range(11):
        seconds = np.where(column < dot, seconds * 10 + digits[:, column], seconds)
    thousandths = np.zeros(len(window), np.int64)
    for place, weight in enumerate((100, 10, 1), 1):
        column = np.minimum(dot + place, window.shape[1] - 1)
        digit = np.take_along_axis(digits, column[:, None], 1)[:, 0]
        thousandths += np.where(dot + place < length, digit * weight, 0)
    return np.where(valid, seconds * 1000 + thousandths, 0), valid


def _two(digits: Ints, place: int) -> Ints:
    value: Ints = digits[:, place] * 10 + digits[:, place + 1]
    return value


def _all_digits(digits: Ints, places: list[int]) -> Bools:
    chosen = digits[:, places]
    return np.asarray(((chosen >= 0) & (chosen <= 9)).all(1), np.bool_)


def _millis(
    date: tuple[Ints, Ints, Ints], time: tuple[Ints, Ints, Ints], zone: Ints, valid: Bools
) -> tuple[Ints, Bools]:
    """Milliseconds of a civil date; the day count is the proleptic Gregorian calendar's, 0 on 1970-01-01."""
    (year, month, day), (hour, minute, second) = date, time
    known = valid & (month >= 1) & (month <= 12)
    month = np.where(known, month, 1)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    days_in_month = _DAYS_IN_MONTH[month] - ((month == 2) & ~leap)
    good: Bools = known & (day >= 1) & (day <= days_in_month) & (hour <= 23) & (minute <= 59) & (second <= 60)
    first_of_month = (
        (np.clip(year, 0, 9999) - 1970).astype("datetime64[Y]").astype("datetime64[M]")
        + (month - 1).astype("timedelta64[M]")
    ).astype("datetime64[D]")
    days = first_of_month.astype(np.int64) + day - 1
    seconds = days * 86_400 + hour * 3_600 + (minute - zone) * 60 + second
    good &= (seconds >= _EARLIEST) & (seconds <= _LATEST)
    return np.where(good, seconds * 1000, 0), good
