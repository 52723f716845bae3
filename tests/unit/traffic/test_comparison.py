from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dozor.features.traffic.core.comparison import moved, pair, stretches
from dozor.features.traffic.model import Change, Condition, CountedRow, Dimension, Filters, TopList
from dozor.kernel.errors import UsageError

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def top(counts: Mapping[str, int], *, distinct: int | None = None, requests: int | None = None) -> TopList:
    rows = tuple(
        CountedRow(value, count, bytes=0, errors=0, attacks=0, clients=0) for value, count in counts.items()
    )
    return TopList(rows, distinct or len(rows), sum(counts.values()) if requests is None else requests)


def test_the_stretch_before_ends_where_the_stretch_begins_and_is_as_long() -> None:
    where = (Condition("status", ">=", 500),)
    scope = Filters(NOW - timedelta(hours=3), NOW - timedelta(hours=1), where)
    this, before = stretches(scope, now=NOW)
    assert this == scope
    assert before == Filters(NOW - timedelta(hours=5), NOW - timedelta(hours=3), where)


def test_a_stretch_without_an_end_ends_now() -> None:
    this, before = stretches(Filters(NOW - timedelta(hours=1)), now=NOW)
    assert this.until == NOW
    assert before.since == NOW - timedelta(hours=2)


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        (Filters(), "Without a beginning"),
        (Filters(NOW, NOW), "ends before it begins"),
        (Filters(NOW + timedelta(hours=1)), "ends before it begins"),
        (Filters(datetime(2, 1, 1, tzinfo=UTC)), "before year 1"),
    ],
)
def test_what_has_no_stretch_before_is_refused(scope: Filters, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        stretches(scope, now=NOW)


def test_values_are_ranked_by_their_share_of_all_that_moved() -> None:
    now, before = top({"/a": 100, "/new": 60, "/same": 10}), top({"/a": 80, "/same": 10, "/gone": 20})
    found = moved(pair(Dimension.PATH, now, before))
    assert found == (
        Change(Dimension.PATH, "/new", 60, 0, 0.6),
        Change(Dimension.PATH, "/a", 100, 80, 0.2),
        Change(Dimension.PATH, "/gone", 0, 20, 0.2),
    )


def test_what_lies_beyond_the_lists_moves_as_a_whole() -> None:
    now = top({"/a": 20, "/b": 10}, distinct=50, requests=100)
    before = top({"/a": 10, "/b": 10}, distinct=40, requests=60)
    (change,) = moved(pair(Dimension.PATH, now, before))
    assert change.share == pytest.approx(10 / 40)


def test_a_value_that_one_list_may_only_have_cut_off_is_guessed() -> None:
    cut = pair(Dimension.PATH, top({"/a": 9}), top({"/b": 9}, distinct=2, requests=12))
    assert cut.guessed == {"/a"}
    whole = pair(Dimension.PATH, top({"/a": 9}), top({"/b": 9}))
    assert whole.guessed == frozenset()


def test_one_value_alone_explains_nothing() -> None:
    assert moved(pair(Dimension.COUNTRY, top({"": 9}), top({"": 3}))) == ()
    assert moved(pair(Dimension.COUNTRY, top({}), top({}))) == ()


counts = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 1_000))


@given(counts, counts)
def test_shares_of_whole_lists_add_up_to_one(now: dict[str, int], before: dict[str, int]) -> None:
    found = moved(pair(Dimension.PATH, top(now), top(before)))
    assert not found or sum(change.share for change in found) == pytest.approx(1)
    assert all(
        (change.requests, change.before) == (now.get(change.value, 0), before.get(change.value, 0))
        for change in found
    )
