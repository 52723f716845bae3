"""Filters choose exactly the requests that a person asked for, and say what is wrong with a wrong one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from dozor.features.traffic.core.filters import (
    expression,
    parse_condition,
    read_filters,
    time_bounds,
)
from dozor.kernel.errors import UsageError
from dozor.kernel.moments import parse_moment
from tests.unit.traffic.records import attack, batch

_NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)

_ROWS: list[dict[str, Any]] = [
    {"line": 1, "status": 200, "path": "/a", "request_time": 0.5, "ts": _NOW - timedelta(hours=3)},
    {"line": 2, "status": 404, "path": "/admin", "client": "2001:db8::1", "is_bot": True, "ts": _NOW},
    {"line": 3, "status": 500, "path": "/b c", "bytes": 0, "ts": _NOW - timedelta(hours=1)},
    {"line": 4, **attack("sqli", path="/q"), "ts": _NOW - timedelta(hours=2)},
    {"line": 5, **attack("scanner", 0.3, path="/.env"), "ts": _NOW - timedelta(minutes=30)},
]


def _lines(*conditions: str) -> list[int]:
    expressions = [expression(parse_condition(condition, now=_NOW), source="log") for condition in conditions]
    frame = pl.DataFrame(batch(_ROWS)).filter(pl.all_horizontal(expressions))
    return frame["line"].to_list()


@pytest.mark.parametrize(
    ("condition", "lines"),
    [
        ("status = 200", [1, 4, 5]),
        ("status != 200", [2, 3]),
        ("status >= 404", [2, 3]),
        ("status>404", [3]),
        ("status < 404", [1, 4, 5]),
        ("status <= 404", [1, 2, 4, 5]),
        ("status ~ ^[45]", [2, 3]),
        ("path = /a", [1]),
        ("path = '/b c'", [3]),
        ("path ~ ^/a", [1, 2]),
        ("path != /a", [2, 3, 4, 5]),
        ("client = 2001:db8::1", [2]),
        ("ip = 2001:db8::1", [2]),
        ("bytes = 0", [3]),
        ("request_time > 0.1", [1]),
        ("request_time <= 0.1", []),
        ("is_bot = true", [2]),
        ("is_bot != yes", [1, 3, 4, 5]),
        ("attack = true", [4]),
        ("attack = no", [1, 2, 3, 5]),
        ("classes = sqli", [4]),
        ("classes != sqli", [1, 2, 3, 5]),
        ("class ~ ^s", [4, 5]),
        ("score >= 0.3", [4, 5]),
        ("score <= 0.3", [1, 2, 3, 5]),
        ("score = 0.3", [5]),
        ("ts >= 1h", [2, 3, 5]),
        ("ts < 2026-11-22T10:00", [1]),
        ("referer = ''", [1, 2, 3, 4, 5]),
        ("request_time ~ ^0", [1]),
        ("class != scanner", [1, 2, 3, 4]),
        ("source = log", [1, 2, 3, 4, 5]),
        ("source ~ ^other", []),
    ],
)
def test_a_condition_chooses_the_requests_it_says(condition: str, lines: list[int]) -> None:
    assert _lines(condition) == lines


def test_all_conditions_must_hold() -> None:
    assert _lines("status >= 400", "is_bot = false") == [3]


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("", "FIELD OP VALUE"),
        ("status", "FIELD OP VALUE"),
        ("status == 200", "FIELD OP VALUE"),
        ("status => 200", "FIELD OP VALUE"),
        ("stats = 200", "Did you mean 'status'?"),
        ("evidence = x", "no field 'evidence'"),
        ("qqqq = 200", "Fields: line"),
        ("status = two", "a whole number"),
        ("status = 99999999999999999999", "smaller"),
        ("request_time = soon", "a number"),
        ("is_bot = maybe", "true or false"),
        ("is_bot > true", "= !="),
        ("path > /a", "= != ~"),
        ("classes < a", "= != ~"),
        ("ts ~ 2026", "= != < <= > >="),
        ("ts > yesterday", "ISO 8601"),
        ("path ~ (", "not a regular expression"),
        ("classes ~ [", "not a regular expression"),
    ],
)
def test_a_wrong_condition_names_the_fault_and_the_way_out(condition: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_condition(condition, now=_NOW)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-22", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2026-11-22T10:30", datetime(2026, 11, 22, 10, 30, tzinfo=UTC)),
        ("2026-11-22 10:30:01.5", datetime(2026, 11, 22, 10, 30, 1, 500_000, tzinfo=UTC)),
        ("2026-11-22T10:30+03:00", datetime(2026, 11, 22, 7, 30, tzinfo=UTC)),
        ("2026-11-22T10:30Z", datetime(2026, 11, 22, 10, 30, tzinfo=UTC)),
        ("30m", _NOW - timedelta(minutes=30)),
        ("24h", _NOW - timedelta(hours=24)),
        ("7d", _NOW - timedelta(days=7)),
        ("2w", _NOW - timedelta(weeks=2)),
        ("90s", _NOW - timedelta(seconds=90)),
    ],
)
def test_moments_are_iso_8601_or_a_span_before_now(text: str, moment: datetime) -> None:
    assert parse_moment(text, now=_NOW) == moment


@pytest.mark.parametrize(
    "text", ["", "soon", "2026-13-01", "7", "d", "-3h", "999999w", "0001-01-01T00:00+23:00"]
)
def test_a_wrong_moment_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="ISO 8601"):
        parse_moment(text, now=_NOW)


def test_since_is_inclusive_and_until_exclusive() -> None:
    filters = read_filters("2026-11-22T10:00", "2026-11-22T11:00", now=_NOW)
    condition = time_bounds(filters)
    assert condition is not None
    assert pl.DataFrame(batch(_ROWS)).filter(condition)["line"].to_list() == [4]


def test_an_empty_bound_is_a_mistake_and_not_all_times() -> None:
    with pytest.raises(UsageError, match="ISO 8601"):
        read_filters("", now=_NOW)


def test_without_bounds_all_times_are_wanted() -> None:
    assert time_bounds(read_filters(now=_NOW)) is None
