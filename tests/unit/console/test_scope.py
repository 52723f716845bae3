from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from dozor.console.scope import condition, merge, read_moment, read_scope
from dozor.features.traffic.core.filters import parse_condition

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_without_parameters_it_is_the_last_day_and_everything() -> None:
    scope = read_scope({}, NOW)
    assert (scope.since, scope.until, scope.where) == (NOW - timedelta(days=1), NOW, ())
    assert scope.moving
    assert not scope.custom
    assert scope.href("top") == "top"


def test_an_own_range_overrules_the_preset_and_stands_still() -> None:
    scope = read_scope({"range": "7d", "from": "2026-11-22T10:00:00Z", "to": "2026-11-22T12:00:00Z"}, NOW)
    assert scope.length == timedelta(hours=2)
    assert scope.custom
    assert not scope.moving


def test_a_range_with_a_beginning_alone_ends_now() -> None:
    scope = read_scope({"from": "2026-11-24T10:00:00Z"}, NOW)
    assert (scope.until, scope.moving, scope.custom) == (NOW, True, True)


@pytest.mark.parametrize(
    "parameters",
    [
        {"range": "5y"},
        {"from": "yesterday"},
        {"to": "0001-01-01T00:00:00+14:00"},
        {"from": "2026-11-24T12:00:00Z", "to": "2026-11-24T12:00:00Z"},
        {"from": "2027-01-01T00:00:00Z"},
        {"where": None},
    ],
)
def test_what_cannot_be_read_is_left_out(parameters: dict[str, object]) -> None:
    assert read_scope(parameters, NOW) == read_scope({}, NOW)


def test_a_link_says_the_same_scope_and_more() -> None:
    scope = read_scope(
        {
            "range": "6h",
            "from": "2026-11-22T10:00:00Z",
            "to": "2026-11-22T12:00:00Z",
            "where": ["status >= 500"],
        },
        NOW,
    )
    href = urlsplit(scope.href("lines", add=["country = DE", "status >= 500"], line="x-1"))
    told = parse_qs(href.query)
    assert href.path == "lines"
    assert told.pop("line") == ["x-1"]
    again = read_scope({name: values if name == "where" else values[0] for name, values in told.items()}, NOW)
    assert again == scope.narrowed("country = DE")


def test_a_moment_without_a_zone_is_utc() -> None:
    assert read_moment("2026-11-22T10:00") == datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert read_moment("2026-11-22T10:00+03:00") == datetime(2026, 11, 22, 7, tzinfo=UTC)
    assert read_moment("") is None


@pytest.mark.parametrize(
    "value", ["/a b", "", " /x", '"quoted"', "'", "=", "~x", "a & b", "x\n", '/[l](http://e/)"', "<b>"]
)
def test_the_api_reads_back_the_value_of_a_condition(value: str) -> None:
    assert parse_condition(condition("path", "=", value), now=NOW).value == value


def test_conditions_are_said_once_and_keep_their_order() -> None:
    assert merge(["b", "a"], ["a", "c"]) == ("b", "a", "c")
