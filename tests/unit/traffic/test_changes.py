from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from dozor.features.traffic.model import Change, Changes, CountedRow, Dimension, Filters, TopList
from dozor.features.traffic.ports import TrafficQueries, Watch
from dozor.features.traffic.service import comparison
from dozor.features.traffic.service.comparison import COMPARED, Part, changes
from dozor.kernel.errors import CancelledError, UsageError

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SCOPE = Filters(NOW - HOUR)


class CountingQueries:
    """Counts rows of fields by dimension, now and before."""

    def __init__(self, now: Sequence[dict[str, str]], before: Sequence[dict[str, str]]) -> None:
        self.now, self.before = now, before
        self.asked = 0

    def top(
        self, scope: Filters, dimension: Dimension, *, limit: int = 10, watch: Watch | None = None
    ) -> TopList:
        self.asked += 1
        if watch is not None:
            watch.progress(1.0)
        rows = self.now if scope.since == SCOPE.since else self.before
        for condition in scope.where:
            rows = [row for row in rows if row.get(condition.field, "") == str(condition.value)]
        counted = Counter(row.get(dimension.value, "") for row in rows)
        first = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:limit]
        listed = tuple(CountedRow(value, n, bytes=0, errors=0, attacks=0, clients=0) for value, n in first)
        return TopList(listed, len(counted), len(rows))


class Noted:
    """A watch that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[float] = []

    def progress(self, done: float) -> None:
        self.told.append(done)


def ask(queries: CountingQueries, **named: Any) -> Changes:
    return changes(cast("TrafficQueries", queries), SCOPE, now=NOW, **{"limit": 20, **named})


def rows(counts: dict[str, int]) -> list[dict[str, str]]:
    return [{"path": path, "status": "200"} for path, n in counts.items() for _ in range(n)]


def test_both_stretches_are_counted_and_the_largest_share_comes_first() -> None:
    told = ask(CountingQueries(rows({"/a": 3, "/b": 9}), rows({"/a": 4, "/b": 2})))
    assert (told.since, told.until) == (NOW - HOUR, NOW)
    assert (told.requests, told.before) == (12, 6)
    assert told.items == (
        Change(Dimension.PATH, "/b", 9, 2, 7 / 8),
        Change(Dimension.PATH, "/a", 3, 4, 1 / 8),
    )


def test_a_value_that_a_list_cut_off_is_counted_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "_COMPARED_VALUES", 2)
    now, before = rows({"/a": 9, "/b": 8, "/c": 2}), rows({"/d": 9, "/c": 8, "/a": 4})
    found = {change.value: change for change in ask(CountingQueries(now, before)).items}
    assert {value: (one.requests, one.before) for value, one in found.items()} == {
        "/a": (9, 4),
        "/b": (8, 0),
        "/c": (2, 8),
        "/d": (0, 9),
    }


def test_a_status_that_a_list_cut_off_is_asked_for_as_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "_COMPARED_VALUES", 1)
    queries = CountingQueries([{"status": "200"}] * 3, [{"status": "404"}] * 5 + [{"status": "200"}] * 2)
    found = {change.value: (change.requests, change.before) for change in ask(queries).items}
    assert found == {"200": (3, 2), "404": (0, 5)}


def test_only_so_many_are_told_as_are_asked_for() -> None:
    told = ask(CountingQueries(rows({f"/{n}": n for n in range(1, 9)}), []), limit=3)
    assert [change.value for change in told.items] == ["/8", "/7", "/6"]


def test_progress_grows_to_nearly_the_whole_and_may_call_the_question_off() -> None:
    watch, queries = Noted(), CountingQueries(rows({"/a": 1}), rows({"/b": 1}))
    ask(queries, watch=watch)
    assert watch.told == sorted(watch.told)
    assert len(watch.told) == 2 * len(COMPARED)
    assert 0.8 < watch.told[-1] < 1

    class CalledOff:
        def progress(self, done: float) -> None:
            raise CancelledError(str(done))

    queries.asked = 0
    with pytest.raises(CancelledError):
        ask(queries, watch=CalledOff())
    assert queries.asked == 1


def test_a_part_without_a_watch_tells_nobody() -> None:
    Part(None, 0.0, 1.0).progress(0.5)


def test_without_a_beginning_nothing_is_asked() -> None:
    queries = CountingQueries([], [])
    with pytest.raises(UsageError):
        changes(cast("TrafficQueries", queries), Filters(), now=NOW, limit=1)
    assert queries.asked == 0
