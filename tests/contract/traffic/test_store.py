"""What every store promises: each delivery once, and the same answers as the report over the same lines."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count, cycle
from operator import methodcaller
from typing import Any

import polars as pl
import pytest

from bench.generate import attack_samples
from dozor.app.pipeline import build_pipeline
from dozor.app.settings import Settings
from dozor.columns.record import RECORD
from dozor.features.traffic.adapters.store_clickhouse import ClickHouseStore, open_store
from dozor.features.traffic.core.demo import (
    DemoFormat,
    DemoOptions,
    access_lines,
    backfill,
    build_world,
    error_lines,
)
from dozor.features.traffic.core.errorlog import parse_errorlog
from dozor.features.traffic.core.filters import expression
from dozor.features.traffic.core.formats import find_format
from dozor.features.traffic.model import (
    Chunk,
    Coverage,
    Delivery,
    Dimension,
    Filters,
    Measure,
    Split,
    Summary,
    Totals,
)
from dozor.features.traffic.service import Pipeline, report
from dozor.infra.clickhouse import ClickHouse, open_clickhouse
from dozor.kernel.errors import CancelledError, UsageError
from dozor.testing import InMemoryRecordStore, InMemorySpill
from tests.contract.traffic.stores import (
    FACTS,
    LOG,
    NOON,
    Store,
    Watching,
    at,
    clickhouse_server,
    errors,
    places,
    rejects,
    requests,
    scope,
)
from tests.unit.traffic.records import attack

EVERYTHING = Filters()
KINDS = ["memory", "embedded", "http"]
_numbers = count()

Open = Callable[[str], Store]


@pytest.fixture(scope="module")
def open_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    """Opens an empty store of a kind: one engine and one server serve all tests, each with a database."""
    folder = tmp_path_factory.mktemp("store")
    # The engine goes with its last connection: those of this one keep it from test to test.
    engine = open_clickhouse(folder=folder / "events")
    with clickhouse_server(folder) as url:

        def opened(kind: str) -> Store:
            database = f"d{next(_numbers)}"
            if kind == "memory":
                return InMemoryRecordStore(rule_facts=FACTS)
            if kind == "http":
                return open_store(url=url, database=database, rule_facts=FACTS)
            other = ClickHouse(engine._connect, database, engine.place, embedded=True)
            return ClickHouseStore(other, rule_facts=FACTS)

        yield opened
    engine.close()


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, open_one: Open) -> Iterator[Store]:
    opened = open_one(request.param)
    yield opened
    opened.close()


def _lines(store: Store, *where: str, **bounds: datetime) -> list[int]:
    """Numbers of the lines that conditions choose, the newest first."""
    return [row["line"] for row in store.lines(scope(*where, **bounds)).rows]


def test_what_was_delivered_is_told(store: Store) -> None:
    store.check()
    assert store.coverage() == Coverage(0, None, None, 0, 0)
    store.insert(requests({"ts": at(seconds=1)}, {"ts": at(seconds=3)}, {"ts": at(seconds=2)}))
    store.insert(errors("2026/11/22 12:00:00 [error] 1#1: *1 open() failed", "junk", token="2"))
    store.insert(rejects("bad", token="3"))
    assert store.coverage() == Coverage(3, at(seconds=1), at(seconds=3), 1, 1)


@pytest.mark.parametrize(
    "delivery",
    [
        requests({"line": 1}, {"line": 2}),
        errors("2026/11/22 12:00:00 [error] 1#1: *1 open() failed"),
        rejects("bad", "worse"),
        replace(requests({"line": 1}), rejects=rejects("bad").rejects),
    ],
    ids=["requests", "errors", "rejects", "both"],
)
def test_the_same_delivery_again_changes_nothing(store: Store, delivery: Delivery) -> None:
    store.insert(delivery)
    once = store.coverage()
    for _ in range(3):
        store.insert(delivery)
    assert store.coverage() == once
    store.insert(replace(delivery, token="another"))
    assert store.coverage() != once


def test_a_row_comes_back_as_it_was_delivered(store: Store) -> None:
    rows: list[dict[str, Any]] = [
        attack("sqli", 0.75, line=7, path="/é", query="a=1&b=?", raw='1 "GET /é?a=1&b=?"', request_time=0.25),
        {"line": 8, "user": "u", "referer": "r", "user_agent": "a" * 20, "host": "h", "forwarded_for": "f"},
        {"line": 9, "raw": "with \x00 and \x01 and \x02", "path": "/\x01", "is_bot": True, "protocol": ""},
        {"line": 10, "target": "/only-a-sign?", "path": "/only-a-sign", "status": 0, "bytes": 2**40},
        {"line": 11, "ts": datetime(1900, 1, 1, tzinfo=UTC), "upstream_time": 1.5, "country": "DE"},
        {"line": 12, "ts": datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), "raw": "it's \\ 'quoted' {p0}"},
    ]
    delivery = requests(*rows)
    assert delivery.records is not None
    store.insert(delivery)
    found = sorted(store.lines(EVERYTHING).rows, key=lambda row: row["line"])
    assert [{name: row[name] for name in RECORD.names} for row in found] == delivery.records.to_pylist()
    assert {row["source"] for row in found} == {LOG}
    for row in found:
        assert store.line(row["id"]) == row
    assert store.line("AAAA") is None
    assert store.line("no id") is None


def test_lines_are_paged_from_the_newest_on_and_new_ones_do_not_disturb(store: Store) -> None:
    moments = [at(seconds=number // 4) for number in range(23)]
    store.insert(requests(*({"line": n, "ts": ts} for n, ts in enumerate(moments[:12])), token="1"))
    store.insert(requests(*({"line": n + 12, "ts": ts} for n, ts in enumerate(moments[12:])), token="2"))
    everything = [row["line"] for row in store.lines(EVERYTHING).rows]
    assert everything == list(range(22, -1, -1))
    page = store.lines(EVERYTHING, limit=5)
    seen = [row["line"] for row in page.rows]
    while page.next:
        # Of the same time as rows that were told, and later: they belong before all of these.
        store.insert(requests({"line": 99, "ts": moments[-1]}, token=f"new-{page.next}"))
        page = store.lines(EVERYTHING, limit=5, cursor=page.next)
        seen += [row["line"] for row in page.rows]
    assert seen == everything


def test_a_cursor_that_is_none_is_told(store: Store) -> None:
    with pytest.raises(UsageError, match="'next' of the page before"):
        store.lines(EVERYTHING, cursor="nonsense")
    with pytest.raises(UsageError, match="'next' of the page before"):
        store.error_lines(None, None, cursor="AAAA=")


_ROWS: list[dict[str, Any]] = [
    {"line": 1, "status": 200, "path": "/a", "request_time": 0.5, "ts": at(hours=-3)},
    {"line": 2, "status": 404, "path": "/admin", "client": "2001:db8::1", "is_bot": True, "ts": NOON},
    {"line": 3, "status": 500, "path": "/b c", "bytes": 0, "ts": at(hours=-1), "query": "x=é&y='"},
    {"line": 4, **attack("sqli", path="/q", request_time=0.1), "ts": at(hours=-2)},
    {"line": 5, **attack("scanner", 0.3, path="/.env\nline"), "ts": at(minutes=-30)},
]


@pytest.fixture(scope="module")
def rows_store(request: pytest.FixtureRequest, open_one: Open) -> Iterator[Store]:
    """A store that holds `_ROWS`, for tests that only read."""
    opened = open_one(request.param)
    opened.insert(requests(*_ROWS))
    yield opened
    opened.close()


@pytest.mark.parametrize("rows_store", KINDS, indirect=True)
@pytest.mark.parametrize(
    "where",
    [
        ("status = 200",),
        ("status != 200",),
        ("status >= 404", "is_bot = false"),
        ("status ~ ^[45]",),
        ("path = '/b c'",),
        ("path != /a",),
        ("path ~ ^/a",),
        ("path ~ (?i)ADMIN$",),
        ("path ~ env.line",),
        ("raw ~ nothing",),
        ("target ~ x=é",),
        ('query = "x=é&y=\'"',),
        ("client = 2001:db8::1",),
        ("bytes = 0",),
        ("request_time > 0.1",),
        ("request_time >= 0.1",),
        ("request_time = 0.1",),
        ("request_time != 0.1",),
        ("request_time ~ ^0.5$",),
        ("upstream_time < 100",),
        ("is_bot = true",),
        ("is_bot != yes",),
        ("attack = true",),
        ("attack != true",),
        ("classes = sqli",),
        ("classes != sqli",),
        ("class ~ ^s",),
        ("rule = sqli-x",),
        ("score = 0.3",),
        ("score <= 0.3",),
        ("ts >= 1h",),
        ("ts < 2026-11-22T10:00",),
        ("ts = 2026-11-22T10:00",),
        ("line != 3",),
        (f"source = {LOG}",),
        ("source ~ error",),
        ("referer = ''", "host = ''"),
    ],
    ids=" and ".join,
)
def test_filters_choose_what_they_choose_in_a_report(rows_store: Store, where: tuple[str, ...]) -> None:
    frame = pl.DataFrame(requests(*_ROWS).records)
    expected = frame.filter(*(expression(one, source=LOG) for one in scope(*where).where))
    assert sorted(_lines(rows_store, *where)) == sorted(expected["line"])


def test_since_is_inclusive_and_until_exclusive(store: Store) -> None:
    store.insert(requests(*_ROWS))
    assert _lines(store, since=at(hours=-2), until=at(hours=-1)) == [4]
    assert _lines(store, since=at(hours=-1)) == [2, 5, 3]
    assert _lines(store, "status = 200", until=at(hours=-2)) == [1]


def test_values_are_never_taken_for_sql(store: Store) -> None:
    evil = "'; DROP TABLE requests; --"
    store.insert(requests({"path": evil, "host": "\\'"}))
    assert _lines(store, f'path = "{evil}"') == [1]
    assert _lines(store, "host = \\'") == [1]
    assert _lines(store, "path = ') OR 1=1 --") == []
    assert store.coverage().requests == 1


def test_totals_are_the_main_numbers(store: Store) -> None:
    rows: list[dict[str, Any]] = [
        {"status": 404},
        {"status": 503, "client": "c", "bytes": 7},
        {"is_bot": True},
    ]
    store.insert(requests(*rows, attack("sqli")))
    assert store.totals(EVERYTHING) == Totals(4, 2, 307, 1, 1, 1, 1)
    assert store.totals(scope("status = 503")) == Totals(1, 1, 7, 0, 1, 0, 0)
    assert store.totals(scope("status = 1")) == Totals(0, 0, 0, 0, 0, 0, 0)


def test_a_time_line_has_no_gaps(store: Store) -> None:
    store.insert(requests({"ts": at(minutes=1)}, {"ts": at(minutes=5), "bytes": 7}, {"ts": at(minutes=5)}))
    line = store.timeline(EVERYTHING, step=timedelta(minutes=1))
    assert line.start == tuple(at(minutes=minute) for minute in range(1, 6))
    (series,) = line.series
    assert (series.requests, series.bytes, series.clients) == (
        (1, 0, 0, 0, 2),
        (100, 0, 0, 0, 107),
        (1, 0, 0, 0, 1),
    )


def test_a_time_line_covers_a_bounded_scope_and_chooses_a_round_step(store: Store) -> None:
    store.insert(requests({"ts": at(minutes=1)}))
    line = store.timeline(scope(since=NOON, until=at(hours=2)))
    assert (line.step, line.start[0], line.start[-1]) == (timedelta(minutes=1), NOON, at(minutes=119))
    assert store.timeline(scope(since=NOON, until=at(days=30))).step == timedelta(hours=6)
    assert store.timeline(scope("path = /none")).start == ()
    assert len(store.timeline(scope(until=at(minutes=2))).start) <= 120


def test_a_time_line_is_divided_by_status_and_audience(store: Store) -> None:
    rows = [{"status": status} for status in (101, 200, 301, 404, 500)]
    store.insert(requests(*rows, {"is_bot": True}, {**attack("sqli"), "status": 404, "is_bot": True}))
    status = store.timeline(EVERYTHING, split=Split.STATUS).series
    assert [(one.name, sum(one.requests)) for one in status] == [
        ("ok", 4),
        ("4xx", 1),
        ("5xx", 1),
        ("attack", 1),
    ]
    audience = store.timeline(EVERYTHING, split=Split.AUDIENCE).series
    assert [(one.name, sum(one.requests)) for one in audience] == [
        ("people", 5),
        ("bots", 1),
        ("attackers", 1),
    ]


def test_a_time_line_shows_the_most_frequent_values_and_the_rest(store: Store) -> None:
    hosts = [f"h{number:02d}" for number in range(12) for _ in range(12 - number)]
    store.insert(requests(*({"host": host, "client": host} for host in hosts)))
    series = store.timeline(EVERYTHING, split=Split.HOST).series
    assert [one.name for one in series] == [f"h{number:02d}" for number in range(8)] + ["other"]
    assert (sum(series[0].requests), sum(series[-1].requests), sum(series[-1].clients)) == (12, 10, 4)
    both = {**attack("sqli"), "classes": ["sqli", "xss"]}
    store.insert(requests(both, {}, token="2"))
    classes = store.timeline(EVERYTHING, split=Split.CLASS).series
    assert [(one.name, sum(one.requests)) for one in classes] == [("sqli", 1), ("xss", 1)]


def test_top_lists_are_by_measure_then_value(store: Store) -> None:
    rows: list[dict[str, Any]] = [{"path": f"/{name}", "client": f"c{n}"} for n, name in enumerate("bacab")]
    rows += [{"path": "/big", "bytes": 10**6, "status": 503}] + [{"path": "/slow", "request_time": 2.0}] * 10
    store.insert(requests(*rows))
    by_requests = store.top(EVERYTHING, Dimension.PATH, limit=4)
    assert [(row.value, row.requests, row.clients) for row in by_requests.rows] == [
        ("/slow", 10, 1),
        ("/a", 2, 2),
        ("/b", 2, 2),
        ("/big", 1, 1),
    ]
    assert (by_requests.distinct, by_requests.requests) == (5, 16)
    assert store.top(EVERYTHING, Dimension.PATH, measure=Measure.BYTES).rows[0].value == "/big"
    errors_first = store.top(EVERYTHING, Dimension.PATH, measure=Measure.ERRORS)
    assert [(row.value, row.errors) for row in errors_first.rows] == [("/big", 1)]
    slowest = store.top(EVERYTHING, Dimension.PATH, measure=Measure.SECONDS)
    assert [(row.value, row.seconds) for row in slowest.rows] == [("/slow", 2.0)]
    assert store.top(EVERYTHING, Dimension.PATH, measure=Measure.ATTACKS).rows == ()
    assert [row.value for row in store.top(scope("status = 503"), Dimension.STATUS).rows] == ["503"]


def test_requests_count_in_each_of_their_classes_and_rules(store: Store) -> None:
    both = {**attack("sqli"), "classes": ["sqli", "xss"], "rules": ["sqli-x", "xss-x"]}
    store.insert(requests(both, attack("sqli", client="c2"), {}))
    classes = store.top(EVERYTHING, Dimension.CLASS)
    assert [(row.value, row.requests, row.clients, row.attacks) for row in classes.rows] == [
        ("sqli", 2, 2, 2),
        ("xss", 1, 1, 1),
    ]
    assert (classes.distinct, classes.requests) == (2, 3)
    assert [row.value for row in store.top(EVERYTHING, Dimension.RULE).rows] == ["sqli-x", "xss-x"]


def test_findings_are_by_client_and_class_with_the_strongest_example(store: Store) -> None:
    evidence = [
        {"where": "query:a", "decoded": "da", "matched": "ma", "rule": "xss-x"},
        {"where": "query:b", "decoded": "db", "matched": "mb", "rule": "sqli-x"},
    ]
    both = {"classes": ["sqli", "xss"], "rules": ["sqli-x", "xss-x"], "score": 0.95, "evidence": evidence}
    store.insert(
        requests(
            {**attack("sqli", 0.6), "raw": "weak", "ts": at(seconds=1), "status": 404, "country": "DE"},
            {**both, "raw": "strong", "ts": at(seconds=2), "country": "DE"},
            {**both, "raw": "equal", "ts": at(seconds=3), "country": "DE"},
            attack("scanner", 0.3),
            attack("rce", 0.5, client="other", raw="x" * 2000),
        )
    )
    first, second, third = store.findings(EVERYTHING)
    assert (first.attack_class, first.client, first.requests, first.severity) == (
        "sqli",
        "192.0.2.1",
        3,
        "critical",
    )
    assert first.score == pytest.approx(0.95)
    assert (first.first, first.last, first.status) == (at(seconds=1), at(seconds=3), {"200": 2, "404": 1})
    assert (first.example, first.rules, first.rule, first.where) == (
        "strong",
        ("sqli-x",),
        "sqli-x",
        "query:b",
    )
    assert (second.attack_class, second.rule, second.country) == ("xss", "xss-x", "DE")
    assert (third.client, third.severity, len(third.example)) == ("other", "medium", 1000)
    assert first.fingerprint != second.fingerprint
    assert store.findings(EVERYTHING, limit=1) == (first,)
    assert store.findings(scope("class = rce")) == (third,)


def test_batches_hold_all_requests_in_the_order_of_time(store: Store) -> None:
    rows = [{"line": n, "ts": at(seconds=(n * 7) % 40)} for n in range(40)]
    store.insert(requests(*rows[:20], token="1"))
    store.insert(requests(*rows[20:], token="2"))
    watch = Watching()
    parts = list(store.batches(scope("line != 3"), watch=watch))
    frame = pl.concat(pl.DataFrame(part) for part in parts)
    assert frame["ts"].is_sorted()
    assert sorted(frame["line"]) == [n for n in range(40) if n != 3]
    assert parts[0].schema.names == [*RECORD.names, "source"]
    assert parts[0].schema.field("evidence").type == RECORD.field("evidence").type
    assert watch.shares
    assert list(store.batches(scope("line = 999"))) == []


_MISSING = (
    '2026/11/22 12:00:0{n} [error] 1#1: *{n} open() "/{n}" failed (2: No such file or directory), '
    'client: 192.0.2.{client}, server: s, request: "GET /{n} HTTP/1.1", host: "h{client}"'
)
_ERRORS = [
    *(_MISSING.format(n=number, client=client) for number, client in enumerate((1, 2, 2))),
    "2026/11/22 12:23:59 [warn] 1#1: something else",
]


def test_error_messages_are_grouped_by_what_they_say(store: Store) -> None:
    store.insert(errors(*_ERRORS))
    first, second = store.error_groups(None, None)
    assert (first.level, first.count, first.hosts) == ("error", 3, ("h2", "h1"))
    assert (first.first, first.last, first.example) == (NOON, at(seconds=2), _ERRORS[0])
    assert (first.steps[0], sum(first.steps), len(first.steps)) == (3, 3, 24)
    assert (second.level, second.message, second.steps[-1]) == ("warn", "something else", 1)
    assert [group.level for group in store.error_groups(None, None, level="warn")] == ["warn"]
    assert store.error_groups(None, None, limit=1) == (first,)
    assert [group.count for group in store.error_groups(at(seconds=1), at(seconds=2))] == [1]


def test_error_lines_are_paged_and_chosen(store: Store) -> None:
    store.insert(errors(*_ERRORS))
    assert [row["line"] for row in store.error_lines(None, None).rows] == [4, 3, 2, 1]
    page = store.error_lines(None, None, level="error", limit=2)
    assert [row["line"] for row in page.rows] == [3, 2]
    assert [row["line"] for row in store.error_lines(None, None, level="error", cursor=page.next).rows] == [1]
    (group, _) = store.error_groups(None, None)
    (row, *_) = store.error_lines(None, at(seconds=1), message=group.message).rows
    assert (row["client"], row["host"], row["source"], row["connection"]) == (
        "192.0.2.1",
        "h1",
        "error.log",
        0,
    )


def test_error_levels_make_a_time_line(store: Store) -> None:
    store.insert(errors(*_ERRORS))
    line = store.error_timeline(NOON, at(minutes=24), step=timedelta(minutes=1))
    assert len(line.start) == 24
    assert [(one.name, sum(one.requests), one.clients[0]) for one in line.series] == [
        ("error", 3, 2),
        ("warn", 1, 0),
    ]
    assert store.error_timeline(at(days=1), None).series == ()


def test_the_latest_rejects_are_told(store: Store) -> None:
    store.insert(rejects("a", "b", token="1"))
    store.insert(rejects("c", token="2", reason="time"))
    assert [(row.raw, row.line, row.reason) for row in store.rejects(limit=2)] == [
        ("c", 1, "time"),
        ("b", 2, "fields"),
    ]


def test_a_summary_tells_sources_rejects_and_errors(store: Store) -> None:
    store.insert(requests({"ts": at(hours=-1)}, {}, source="b"))
    store.insert(requests({"status": 500}, source="a", format="json", token="2"))
    store.insert(errors(*_ERRORS, token="3"))
    store.insert(rejects("bad", "worse", source="b", token="4"))
    summary = store.summary(scope(since=NOON))
    assert [(one.name, one.format, one.requests, one.rejected, one.parsed) for one in summary.sources] == [
        ("a", "json", 1, 0, 1),
        ("b", "main", 1, 2, 2),
        ("error.log", "nginx-error", 0, 0, 4),
    ]
    assert (summary.rejected, summary.reject_reasons) == (2, {"fields": 2})
    assert [(row.message.split()[0], row.count) for row in summary.errors] == [
        ("open()", 3),
        ("something", 1),
    ]
    assert store.summary(scope(since=at(days=1))).errors == ()


def test_an_empty_store_has_an_empty_summary(store: Store) -> None:
    assert replace(store.summary(EVERYTHING), seconds=0.0) == replace(
        InMemoryRecordStore().summary(EVERYTHING), seconds=0.0
    )


def test_questions_tell_how_far_they_are_and_can_be_called_off(store: Store) -> None:
    store.insert(requests(*_ROWS))
    watch = Watching()
    assert store.summary(EVERYTHING, watch=watch).requests == 5
    assert watch.shares == sorted(watch.shares)
    assert all(0 <= share <= 1 for share in watch.shares)
    for ask in (
        lambda watch: store.summary(EVERYTHING, watch=watch),
        lambda watch: store.timeline(EVERYTHING, watch=watch),
        lambda watch: store.top(EVERYTHING, Dimension.PATH, watch=watch),
        lambda watch: store.findings(EVERYTHING, watch=watch),
        lambda watch: store.lines(EVERYTHING, watch=watch),
    ):
        with pytest.raises(CancelledError):
            ask(Watching(patience=0))


def _some_rows(rng: random.Random, number: int) -> list[dict[str, Any]]:
    rows = []
    for line in range(number):
        row: dict[str, Any] = {
            "line": line,
            "ts": at(seconds=rng.randrange(40_000) / 10),
            "path": rng.choice(["/", "/a", "/b c", "/é", "/" + "x" * 30]),
            "query": rng.choice(["", "", "q=1", "q='%27"]),
            "client": f"192.0.2.{rng.randrange(12)}",
            "status": rng.choice([101, 200, 200, 304, 404, 500]),
            "bytes": rng.randrange(10**6),
            "method": rng.choice(["GET", "POST", ""]),
            "country": rng.choice(["DE", "RU", ""]),
            "ua_family": rng.choice(["Chrome", "curl"]),
            "host": rng.choice(["a.example", "b.example"]),
            "referer": rng.choice(["", "https://é.example/"]),
            "is_bot": rng.random() < 0.2,
            "request_time": rng.choice([None, rng.randrange(1000) / 64]),
            "raw": f"line {line}",
        }
        if rng.random() < 0.2:
            row |= attack(rng.choice(["sqli", "xss", "scanner"]), rng.choice([0.25, 0.5, 0.75]))
        rows.append(row)
    return rows


def test_all_stores_give_the_same_answers(open_one: Open) -> None:
    rng = random.Random(7)  # noqa: S311 - the same rows on every run
    stores = [open_one(kind) for kind in KINDS]
    for token in ("1", "2", "3"):
        delivery = requests(*_some_rows(rng, 200), source=rng.choice(["x.log", "y.log"]), token=token)
        for store in stores:
            store.insert(delivery)
    for chosen in (
        EVERYTHING,
        scope("status >= 400", since=at(seconds=500.5), until=at(seconds=3000)),
        scope("path ~ [ab]", "bytes < 500000", "attack = false"),
    ):
        for ask in _questions(chosen):
            expected, *others = (ask(store) for store in stores)
            for answer in others:
                assert answer == expected
    for store in stores:
        store.close()


def _questions(chosen: Filters) -> Iterator[Callable[[Store], Any]]:
    yield lambda store: _rounded(store.summary(chosen))
    yield lambda store: store.summary(chosen, top=2).top_paths
    yield lambda store: places(store.lines(chosen, limit=1000).rows)
    yield lambda store: store.findings(chosen)
    yield lambda store: store.totals(chosen)
    for split in Split:
        yield methodcaller("timeline", chosen, split=split)
    dimensions = Dimension if chosen is EVERYTHING else (Dimension.PATH, Dimension.CLIENT, Dimension.CLASS)
    for dimension, measure in zip(dimensions, cycle(Measure), strict=False):
        yield methodcaller("top", chosen, dimension, measure=measure, limit=4)


def _rounded(summary: Summary) -> Summary:
    """Without what differs from run to run: how long it took, and the last bits of sums."""
    slow = tuple(replace(row, seconds=round(row.seconds or 0, 6)) for row in summary.slow_paths)
    top = tuple(replace(row, seconds=row.seconds and round(row.seconds, 6)) for row in summary.top_paths)
    failing = tuple(
        replace(row, seconds=row.seconds and round(row.seconds, 6)) for row in summary.error_paths
    )
    return replace(summary, seconds=0.0, slow_paths=slow, top_paths=top, error_paths=failing)


@dataclass
class _Log:
    """A log in memory, in chunks that cut it anywhere between lines."""

    name: str
    data: bytes
    chunk: int = 1 << 18

    def chunks(self) -> Iterator[Chunk]:
        start, line = 0, 1
        while start < len(self.data):
            end = self.data.find(b"\n", start + self.chunk) + 1 or len(self.data)
            yield Chunk(self.data[start:end], start, line)
            line += self.data.count(b"\n", start, end)
            start = end


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return build_pipeline(Settings())


@pytest.fixture(scope="module")
def demo_logs() -> list[_Log]:
    """A day of a shop with attacks, its error log, and lines that are none."""
    world = build_world(DemoOptions(3, 6_000), attack_samples())
    (day,) = backfill(world, at(days=1), 1)
    lines = [*access_lines(day, DemoFormat.MAIN), "", "no request", *_ODD]
    messages = error_lines(day, 1)
    return [
        _Log("access.log", "".join(f"{line}\n" for line in lines).encode()),
        _Log("error.log", "".join(f"{line}\n" for line in messages).encode()),
    ]


_ODD = [
    f'{client} - - [{stamp}] "{request}" {status} {size} "{referer}" "{agent}" "-" rt=0.010 ut="-"'
    for client, stamp, request, status, size, referer, agent in (
        ("unix:", "22/Nov/2026:13:00:00 +0300", r"\x16\x03\x01", 400, 0, "-", "-"),
        ("2001:db8::1", "22/Nov/2026:13:00:00 -0800", "GET http://a/?b?c HTTP/1.1", 200, 1, "-", "x" * 3000),
        ("192.0.2.9", "01/Jan/1900:00:00:00 +0000", "GET /%FF%00' OR 1=1 -- HTTP/1.0", 999, 10**12, "'", "`"),
        (
            "192.0.2.9",
            "31/Dec/9999:23:59:59 +0000",
            "GET /страница? HTTP/2.0",
            200,
            5,
            "https://é/",
            "{p0:Int8}",
        ),
        (
            "192.0.2.8",
            "22/Nov/2026:12:00:00 +0000",
            "GET /../../etc/passwd HTTP/1.1",
            200,
            9,
            "\1t",
            "\1r\1a",
        ),
    )
]


@pytest.fixture(scope="module")
def filled(
    request: pytest.FixtureRequest, open_one: Open, pipeline: Pipeline, demo_logs: list[_Log]
) -> Iterator[Store]:
    """A store with the demo logs, every delivery sent twice."""
    opened = open_one(request.param)
    access, messages = demo_logs
    format_ = find_format("main", {})
    for chunk in access.chunks():
        run = pipeline.run(chunk, format_, EVERYTHING, {})
        delivery = Delivery(access.name, f"a:{chunk.offset}", run.records, None, run.rejects, format_.name)
        opened.insert(delivery)
        opened.insert(delivery)
    for chunk in messages.chunks():
        parsed = parse_errorlog(chunk.data, offset=chunk.offset, first_line=chunk.first_line)
        told = Delivery(
            messages.name, f"e:{chunk.offset}", None, parsed.records, parsed.rejects, "nginx-error"
        )
        opened.insert(told)
        opened.insert(told)
    yield opened
    opened.close()


@pytest.mark.parametrize("filled", KINDS, indirect=True)
@pytest.mark.parametrize(
    "chosen",
    [
        EVERYTHING,
        scope(since=at(hours=2), until=at(hours=14, minutes=0.5)),
        scope("status >= 400"),
        scope("attack = true", since=at(hours=1)),
        scope("path ~ ^/(p|s)", "bytes > 2000", "is_bot = false"),
        scope("request_time > 0.05", until=at(hours=20)),
        scope("country = DE"),
        scope("class = scanner", "attack = false"),
        scope("raw ~ (?i)sqlmap|union"),
        scope("source = error.log"),
        scope("status = 999"),
    ],
    ids=str,
)
def test_a_summary_is_the_report_over_the_same_lines(
    filled: Store, chosen: Filters, pipeline: Pipeline, demo_logs: list[_Log]
) -> None:
    reported = report(
        demo_logs, pipeline, spill=InMemorySpill(), memory_budget=1 << 28, filters=chosen, workers=1
    )
    stored = filled.summary(chosen)
    told = {source.name: source for source in stored.sources}
    for source in reported.sources:
        # A report names its logs, a store those with something in scope.
        if source.requests or source.rejected or source.name in told:
            assert told.pop(source.name) == source
    assert not told
    assert _rounded(replace(stored, sources=())) == _rounded(replace(reported, sources=()))
