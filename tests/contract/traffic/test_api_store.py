"""The API over both stores: it filters as Polars does, and gives back what was stored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import polars as pl
import pyarrow as pa
import pytest

from dozor.client import Client, Scope
from dozor.columns.record import RECORD
from dozor.features.traffic.core.filters import expression, field_type, filter_fields, read_filters
from dozor.features.traffic.model import Delivery
from dozor.wire.traffic import DimensionName
from tests.contract.traffic.served import STORES, opened, serve
from tests.unit.traffic.records import START, attack, batch

ROOT = "/api/v1/traffic"
NOW = datetime(2026, 11, 3, tzinfo=UTC)
SOURCES = ("/var/log/a.log", "/var/log/b.log")

ROWS: list[dict[str, Any]] = [
    {"line": 1, "path": "/", "status": 200, "country": "DE", "request_time": 0.1, "host": "shop.example"},
    {"line": 2, "path": "/login", "status": 302, "method": "POST", "user": "ann", "request_time": 0.25},
    {"line": 3, "path": "/дом", "target": "/дом?x=1", "query": "x=1", "status": 404, "bytes": 0},
    {
        "line": 4,
        "path": "/a b",
        "status": 500,
        "client": "2001:db8::1",
        "upstream_time": 1.5,
        "country": "FR",
    },
    {
        "line": 5,
        "path": "",
        "method": "",
        "protocol": "",
        "status": 400,
        "raw": "\x16\x03junk",
        "client": "unix:",
    },
    {
        "line": 6,
        "user_agent": "curl/8.0",
        "ua_family": "curl",
        "is_bot": True,
        "referer": "https://x/?q='\"\\",
    },
    attack("sqli", line=7, path="/item", query="id=1", forwarded_for="10.0.0.1, 10.0.0.2", country="DE"),
    attack("xss", 0.5, line=8, client="192.0.2.9", status=403, line_offset=1 << 40),
    attack("scanner", 0.3, line=9, classes=["scanner", "xss"], rules=["scanner-x", "xss-x"], bytes=10**10),
]
for place, row in enumerate(ROWS):
    row["ts"] = START + timedelta(minutes=17 * place, milliseconds=place)

VALUES: dict[str, list[str]] = {
    "line": ["4", "-1"],
    "line_offset": ["0", str(1 << 40)],
    "raw": ["junk", ""],
    "ts": ["2026-11-01T00:17:00.001", "2026-11-01T01:00"],
    "client": ["192.0.2.1", "unix:", r"^2001:"],
    "user": ["ann", ""],
    "method": ["GET", ""],
    "target": ["/", r"\?x="],
    "path": ["/", "/дом", "/a b", "^/(login|item)$"],
    "query": ["id=1", ""],
    "protocol": ["HTTP/1.1", ""],
    "status": ["404", "400", "^[45]"],
    "bytes": ["0", "100", str(10**10)],
    "referer": ["https://x/?q='\"\\", "", r"^https://x/\?q='"],
    "user_agent": ["curl/8.0", "(?i)CURL"],
    "host": ["shop.example", r"\.example$"],
    "forwarded_for": ["10.0.0.1, 10.0.0.2", ""],
    "request_time": ["0.1", "0.25", "9"],
    "upstream_time": ["1.5", "0"],
    "country": ["DE", ""],
    "is_bot": ["true", "no"],
    "ua_family": ["curl", ""],
    "rules": ["sqli-x", "x-x", "^s"],
    "classes": ["xss", "scanner", "s"],
    "score": ["0.5", "0.3", "0.9"],
    "attack": ["true", "false"],
    "source": [SOURCES[0], r"b\.log$"],
}


def operators(name: str) -> tuple[str, ...]:
    """Those that a field can be compared with."""
    type_ = field_type(name)
    if pa.types.is_boolean(type_):
        return ("=", "!=")
    if pa.types.is_timestamp(type_):
        return ("=", "!=", "<", "<=", ">", ">=")
    if pa.types.is_integer(type_) or pa.types.is_floating(type_):
        return ("=", "!=", "<", "<=", ">", ">=", "~")
    return ("=", "!=", "~")


def delivery(number: int, rows: list[dict[str, Any]]) -> Delivery:
    return Delivery(SOURCES[number % 2], f"token-{number}", records=batch(rows), format="combined")


@pytest.fixture(scope="module", params=STORES)
def dozor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with opened(request.param, tmp_path_factory.mktemp("events")) as store:
        store.insert(delivery(0, ROWS[:5]))
        store.insert(delivery(1, ROWS[5:]))
        with serve(store) as url, Client(url, timeout=30) as client:
            yield client


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    parts = [pl.DataFrame(batch(ROWS[:5])), pl.DataFrame(batch(ROWS[5:]))]
    return pl.concat(
        [part.with_columns(pl.lit(SOURCES[number]).alias("source")) for number, part in enumerate(parts)]
    )


def test_every_field_is_tried() -> None:
    assert set(VALUES) == set(filter_fields())


@pytest.mark.parametrize("name", VALUES)
def test_every_operator_of_a_field_finds_what_polars_finds(
    dozor: Client, frame: pl.DataFrame, name: str
) -> None:
    for sign in operators(name):
        for value in VALUES[name]:
            is_pattern = value.startswith(("^", "(?", "\\")) or value.endswith("$")
            if is_pattern != (sign == "~") and not (sign == "~" and value.isalnum()):
                continue
            text = f'{name} {sign} "{value}"'
            (condition,) = read_filters(where=[text], now=NOW).where
            expected = frame.filter(expression(condition))["line"].to_list()
            items = dozor.traffic.lines(Scope(where=(text,))).items
            assert sorted(item.line for item in items) == expected, text
    value = VALUES[name][0]
    top = dozor.traffic.top("source", Scope.model_validate({name: value}))
    (condition,) = read_filters(where=[f'{name} = "{value}"'], now=NOW).where
    assert top.requests == frame.filter(expression(condition)).height


def test_a_line_comes_back_as_it_was_stored(dozor: Client) -> None:
    (item,) = dozor.traffic.lines(Scope(line=7)).items
    expected = batch([ROWS[6]]).to_pylist()[0]
    told = item.model_dump()
    assert told.pop("source") == SOURCES[1]
    assert dozor.traffic.line(told.pop("id")) == item
    for name, value in expected.items():
        if isinstance(value, list):
            assert list(told[name]) == value, name
        else:
            assert told[name] == pytest.approx(value) if name == "score" else told[name] == value, name


def test_the_stream_of_all_lines_is_what_was_stored(dozor: Client, frame: pl.DataFrame) -> None:
    table = dozor.traffic.lines_table()
    assert table.column_names == [*RECORD.names, "source"]
    assert pl.DataFrame(table).equals(frame.select(table.column_names))


def test_countries_lists_and_time_lines_count_the_same_lines(dozor: Client) -> None:
    geography = dozor.traffic.geography()
    assert {row.value: row.requests for row in geography.countries} == {"DE": 2, "FR": 1}
    assert geography.unknown.requests == 6
    assert geography.requests == len(ROWS)
    for dimension in DimensionName.__args__:  # type: ignore[attr-defined]
        top = dozor.traffic.top(dimension, limit=100)
        assert top.requests == len(ROWS), dimension
        assert len(top.rows) == top.distinct, dimension
    assert dozor.traffic.coverage().requests == len(ROWS)


def test_changes_name_what_came_and_what_went(dozor: Client) -> None:
    half = START + timedelta(minutes=17 * 5)
    told = dozor.traffic.changes(Scope(since=half, until=half + timedelta(minutes=17 * 5)), limit=100)
    assert (told.requests, told.before) == (4, 5)
    found = {(item.dimension, item.value): (item.requests, item.before) for item in told.items}
    assert found["path", "/login"] == (0, 1)
    assert found["path", "/item"] == (1, 0)
    assert found["ua_family", "curl"] == (1, 0)
    assert found["path", "/"] == (3, 1)
    assert all(item.requests != item.before for item in told.items)


def test_a_cursor_that_was_made_up_is_refused(dozor: Client) -> None:
    response = httpx.get(f"{dozor.base_url}{ROOT}/lines?cursor=made-up", trust_env=False)
    assert response.status_code == 400, response.text
    assert response.json()["errors"][0]["parameter"] == "cursor"
