"""Times of a log become exact milliseconds, in every zone and form that servers write."""

from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dozor.columns.spans import Spans
from dozor.features.traffic.core.times import parse_epoch, parse_iso8601, parse_time_local

_MOMENTS = st.integers(86_400, 7_258_118_399).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
_ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _millis(moment: datetime) -> int:
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)


def _local(moment: datetime) -> str:
    return f"{moment:%d}/{_MONTHS[moment.month - 1]}/{moment.year:04d}:{moment:%H:%M:%S %z}"


@given(st.lists(st.tuples(_MOMENTS, _ZONES), min_size=1))
def test_local_times_of_any_zone_are_exact(moments: list[tuple[datetime, timezone]]) -> None:
    written = [moment.replace(tzinfo=zone) for moment, zone in moments]
    millis, valid = parse_time_local(Spans.of(pa.array([_local(moment) for moment in written])))
    assert valid.all()
    assert millis.tolist() == [_millis(moment) for moment in written]


@given(st.lists(st.tuples(_MOMENTS, _ZONES, st.integers(0, 999)), min_size=1))
def test_iso_times_of_any_zone_are_exact(moments: list[tuple[datetime, timezone, int]]) -> None:
    written = [moment.replace(tzinfo=zone, microsecond=ms * 1000) for moment, zone, ms in moments]
    texts = [moment.isoformat(timespec="milliseconds") for moment in written]
    millis, valid = parse_iso8601(Spans.of(pa.array(texts)))
    assert valid.all()
    assert millis.tolist() == [_millis(moment) for moment in written]


@given(st.lists(st.integers(0, 99_999_999_999_999), min_size=1))
def test_msec_is_exact(values: list[int]) -> None:
    millis, valid = parse_epoch(
        Spans.of(pa.array([f"{value // 1000}.{value % 1000:03d}" for value in values]))
    )
    assert valid.all()
    assert millis.tolist() == values


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "32/May/2015:10:05:03 +0000",
        "29/Feb/2015:10:05:03 +0000",
        "17/Mai/2015:10:05:03 +0000",
        "17/May/2015:24:05:03 +0000",
        "17/May/2015:10:60:03 +0000",
        "17/May/2015 10:05:03 +0000",
        "17/May/2015:10:05:03 0000",
        "17/May/2015:10:05:03",
        "22/Nov/0000:10:00:00 +0000",
        "31/Dec/1899:23:59:59 +0000",
        "31/Dec/9999:23:59:59 -0100",
    ],
)
def test_a_wrong_local_time_is_told(text: str) -> None:
    _, valid = parse_time_local(Spans.of(pa.array([text])))
    assert not valid[0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2015-05-17",
        "2015-13-17T10:05:03Z",
        "2015-05-17T10:05:03X",
        "2015-05-17T10:05:03.Z",
        "2015-02-30T10:05:03",
    ],
)
def test_a_wrong_iso_time_is_told(text: str) -> None:
    _, valid = parse_iso8601(Spans.of(pa.array([text])))
    assert not valid[0]


@pytest.mark.parametrize("text", ["", "-", ".5", "12a", "1.2.3", "123456789012.0", "-5"])
def test_a_wrong_epoch_is_told(text: str) -> None:
    _, valid = parse_epoch(Spans.of(pa.array([text])))
    assert not valid[0]


def test_iso_times_without_a_zone_are_utc() -> None:
    millis, _ = parse_iso8601(Spans.of(pa.array(["2015-05-17T10:05:03", "2015-05-17 10:05:03Z"])))
    assert millis[0] == millis[1] == _millis(datetime(2015, 5, 17, 10, 5, 3, tzinfo=UTC))
