"""A summary counts exactly, however the log is cut into batches and however little memory it may use."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dozor.columns.record import REJECT
from dozor.features.traffic.adapters.spill_files import FileSpill
from dozor.features.traffic.core.steps import MAX_STEPS
from dozor.features.traffic.core.summary import Summariser, partial_summary
from dozor.features.traffic.model import AttackRow, Summary
from dozor.testing import InMemorySpill
from tests.unit.traffic.records import START, attack, batch

_BUDGET = 1 << 26


def _summary(*batches: list[dict[str, Any]], budget: int = _BUDGET) -> Summary:
    summariser = Summariser(InMemorySpill(), budget)
    summariser.add_source("log", "combined")
    for rows in batches:
        summariser.add(partial_summary(batch(rows), "log"))
    return summariser.result()


_ROW = st.fixed_dictionaries(
    {
        "path": st.sampled_from(["/", "/a", "/b", "/c d", "/é"]),
        "client": st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", "unix:"]),
        "status": st.sampled_from([200, 304, 404, 500]),
        "bytes": st.integers(0, 10**9),
        "ts": st.integers(0, 10**6).map(lambda seconds: START + timedelta(seconds=seconds)),
    }
)


@given(st.lists(st.lists(_ROW, max_size=20), max_size=5))
@settings(deadline=None)
def test_counts_are_those_of_counting_one_by_one(batches: list[list[dict[str, Any]]]) -> None:
    rows = [row for rows in batches for row in rows]
    summary = _summary(*batches)
    assert summary.requests == len(rows)
    assert summary.bytes == sum(row["bytes"] for row in rows)
    assert summary.unique_clients == len({row["client"] for row in rows})
    assert summary.status == {
        str(code): n for code, n in sorted(Counter(row["status"] for row in rows).items())
    }
    counted = Counter(row["path"] for row in rows)
    expected = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    assert [(row.value, row.requests) for row in summary.top_paths] == expected
    for row in summary.top_paths:
        assert row.bytes == sum(one["bytes"] for one in rows if one["path"] == row.value)
        assert row.errors == sum(one["status"] >= 400 for one in rows if one["path"] == row.value)
    assert summary.first == min((row["ts"] for row in rows), default=None)
    assert summary.last == max((row["ts"] for row in rows), default=None)
    assert sum(bucket.requests for bucket in summary.timeline) == len(rows)


def test_nothing_gives_an_empty_summary() -> None:
    summary = _summary()
    assert (summary.requests, summary.first, summary.timeline, summary.status) == (0, None, (), {})


def test_top_lists_hold_ten_rows_by_requests_then_value() -> None:
    rows = [{"path": f"/{name}"} for name in "cabdefghijkl" for _ in range(2)] + [{"path": "/z"}]
    assert [row.value for row in _summary(rows).top_paths] == [f"/{name}" for name in "abcdefghij"]


@pytest.mark.parametrize("cut", [1, 7, 1000])
def test_spilling_to_disk_changes_no_count(cut: int) -> None:
    rows = [{"path": f"/{n % 700}", "client": f"client-{n % 900}", "bytes": n} for n in range(2000)]
    batches = [rows[start : start + cut * 100] for start in range(0, len(rows), cut * 100)]
    with FileSpill() as spill:
        tight = Summariser(spill, 256)
        tight.add_source("log", "combined")
        for part in batches:
            tight.add(partial_summary(batch(part), "log"))
        spilled = tight.result()
    assert spilled == _summary(rows)
    assert spilled.unique_clients == 900


def test_attacks_count_each_class_and_each_client_once() -> None:
    first = attack("sqli", client="192.0.2.1")
    both = {**attack("sqli", client="192.0.2.2"), "classes": ["sqli", "xss"]}
    weak = attack("scanner", 0.3, client="192.0.2.3")
    summary = _summary([first, both, {}], [first, weak])
    assert summary.attacks == (AttackRow("sqli", 3, 2), AttackRow("xss", 1, 1))
    assert summary.weak_signs == (AttackRow("scanner", 1, 1),)
    assert summary.attack_requests == 3
    assert sum(bucket.attacks for bucket in summary.timeline) == 3


def test_attackers_are_shown_with_their_strongest_example() -> None:
    rows = [
        attack("sqli", 0.6, raw="weaker", country="DE"),
        attack("xss", 0.9, raw="stronger", country="DE", ts=START + timedelta(hours=1)),
        {"status": 200},
    ]
    (attacker,) = _summary(rows[:1], rows[1:]).attackers
    assert (attacker.client, attacker.country, attacker.requests, attacker.attacks) == (
        "192.0.2.1",
        "DE",
        3,
        2,
    )
    assert attacker.classes == ("sqli", "xss")
    assert (attacker.example, attacker.rule, attacker.matched) == ("stronger", "xss-x", "match")
    assert attacker.score == pytest.approx(0.9)
    assert (attacker.first, attacker.last) == (START, START + timedelta(hours=1))


def test_slow_pages_need_enough_requests_to_be_judged() -> None:
    rows: list[dict[str, Any]] = [{"path": "/slow", "request_time": 2.0}] * 10
    rows += [{"path": "/once", "request_time": 60.0}] + [{"path": "/quick", "request_time": 0.01}] * 20
    slow = _summary(rows).slow_paths
    assert [row.value for row in slow] == ["/slow", "/quick"]
    assert slow[0].seconds == pytest.approx(2.0)


def test_a_log_without_times_has_no_slow_pages() -> None:
    assert _summary([{}] * 20).slow_paths == ()


def test_error_pages_are_by_number_of_errors() -> None:
    answers = [("/a", 404), ("/b", 500), ("/b", 502), ("/c", 200)]
    rows: list[dict[str, Any]] = [{"path": path, "status": status} for path, status in answers]
    assert [(row.value, row.errors) for row in _summary(rows).error_paths] == [("/b", 2), ("/a", 1)]


@pytest.mark.parametrize(
    "span",
    [timedelta(0), timedelta(hours=2), timedelta(days=1), timedelta(days=400), timedelta(days=2_800_000)],
)
def test_the_time_line_has_no_gaps_and_few_steps(span: timedelta) -> None:
    summary = _summary([{"ts": START}, {"ts": START + span}])
    starts = [bucket.start for bucket in summary.timeline]
    assert len(starts) <= MAX_STEPS
    assert {later - earlier for earlier, later in pairwise(starts)} <= {summary.step}
    assert starts[0] <= START
    assert starts[-1] + summary.step > START + span


def test_time_line_steps_tell_answers_apart() -> None:
    moment = datetime(2026, 11, 1, 0, 0, 30, tzinfo=UTC)
    rows = [{"ts": moment, "status": status} for status in (200, 304, 404, 500, 503)]
    (bucket,) = _summary(rows).timeline
    assert (bucket.ok, bucket.client_errors, bucket.server_errors, bucket.requests) == (2, 1, 2, 5)


def test_rejects_are_counted_by_reason_with_a_few_examples() -> None:
    rejects = pa.RecordBatch.from_pylist(
        [
            {"line": n, "line_offset": 0, "reason": "time" if n % 3 else "fields", "raw": f"r{n}"}
            for n in range(30)
        ],
        schema=REJECT,
    )
    summariser = Summariser(InMemorySpill(), _BUDGET)
    summariser.add_source("log", "combined")
    summariser.add_rejects(rejects, "log")
    summary = summariser.result()
    assert summary.rejected == 30
    assert summary.reject_reasons == {"time": 20, "fields": 10}
    assert [example.raw for example in summary.reject_examples] == [f"r{n}" for n in range(10)]
    assert (summary.sources[0].rejected, summary.sources[0].requests) == (30, 0)


def test_lists_are_as_long_as_they_were_asked_to_be() -> None:
    summariser = Summariser(InMemorySpill(), _BUDGET, top=3)
    summariser.add_source("log", "combined")
    rows = [attack("sqli", path=f"/{n}", client=f"client-{n}", status=404) for n in range(20)]
    summariser.add(partial_summary(batch(rows), "log"))
    summary = summariser.result()
    lists = (summary.top_paths, summary.top_clients, summary.error_paths, summary.attackers)
    assert [len(rows) for rows in lists] == [3, 3, 3, 3]
