from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dozor.features.traffic.adapters.scales import count_ticks, time_ticks
from dozor.features.traffic.model import Bucket

START = datetime(2026, 11, 21, tzinfo=UTC)


def timeline(start: datetime, step: timedelta, count: int) -> tuple[Bucket, ...]:
    return tuple(Bucket(start + number * step, 1, 1, 1, 0, 0, 0) for number in range(count))


@given(st.integers(0, 10**18))
def test_counts_are_few_even_and_reach_the_peak(peak: int) -> None:
    ticks = count_ticks(peak)
    assert ticks[0] == 0
    assert 2 <= len(ticks) <= 5
    assert ticks[-1] >= peak
    assert {after - before for before, after in pairwise(ticks)} == {ticks[1]}


@pytest.mark.parametrize(
    ("peak", "expected"),
    [(0, [0, 1]), (1, [0, 1]), (7, [0, 2, 4, 6, 8]), (1_130, [0, 500, 1_000, 1_500])],
)
def test_counts_are_round(peak: int, expected: list[int]) -> None:
    assert count_ticks(peak) == expected


@given(
    st.datetimes(datetime(1980, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.timedeltas(timedelta(seconds=1), timedelta(days=30)),
    st.integers(1, 120),
    st.integers(2, 20),
)
def test_times_are_few_ascending_and_on_the_axis(
    start: datetime, step: timedelta, count: int, most: int
) -> None:
    places = [tick.place for tick in time_ticks(timeline(start, step, count), step, most)]
    assert len(places) <= most
    assert places == sorted(places)
    assert all(0 <= place < 1 for place in places)


def test_a_day_is_marked_by_hours_and_its_midnight_by_the_date() -> None:
    step = timedelta(minutes=15)
    ticks = time_ticks(timeline(START + timedelta(hours=12), step, 96), step, 9)
    assert [tick.label for tick in ticks] == [
        "12:00",
        "15:00",
        "18:00",
        "21:00",
        "11-22",
        "03:00",
        "06:00",
        "09:00",
    ]
    assert ticks[4].place == 0.5


def test_times_are_round_when_the_start_is_not() -> None:
    step = timedelta(seconds=10)
    ticks = time_ticks(timeline(START + timedelta(hours=1, seconds=10), step, 30), step, 6)
    assert [tick.label for tick in ticks] == ["01:01", "01:02", "01:03", "01:04", "01:05"]


def test_seconds_are_told_when_minutes_are_not_enough() -> None:
    step = timedelta(seconds=1)
    assert time_ticks(timeline(START + timedelta(hours=1), step, 3), step, 4)[1].label == "01:00:01"


def test_an_empty_time_line_has_no_marks() -> None:
    assert time_ticks((), timedelta(seconds=1), 5) == []
