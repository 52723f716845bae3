"""Spans turn places in a buffer into columns without changing a value."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dozor.columns.spans import Buffer, Spans, as_integers, as_seconds, as_text


@given(st.lists(st.text(max_size=40)))
def test_text_comes_out_as_it_went_in(values: list[str]) -> None:
    assert as_text(Spans.of(pa.array(values, pa.string()))).to_pylist() == values


@given(st.lists(st.text(max_size=40)))
def test_text_arrays_are_valid_arrow(values: list[str]) -> None:
    as_text(Spans.of(pa.array(values, pa.string()))).validate(full=True)


def test_null_is_empty_text() -> None:
    assert as_text(Spans.of(pa.array(["a", None]))).to_pylist() == ["a", ""]


def test_windows_at_the_end_of_the_buffer_read_zeros() -> None:
    assert bytes(Buffer.of(b"abc").windows(Spans.of(pa.array(["abc"])).start + 2, 4)[0]) == b"c\0\0\0"


@given(st.lists(st.integers(0, 10**17)))
def test_integers_are_exact(values: list[int]) -> None:
    numbers, valid = as_integers(Spans.of(pa.array([str(value) for value in values], pa.string())))
    assert numbers.tolist() == values
    assert valid.all()


def test_digits_with_zeros_before_them_and_at_the_beginning_of_the_buffer_are_numbers() -> None:
    numbers, valid = as_integers(Spans.of(pa.array(["7", "007", "00000000", "012345678", "99999999"])))
    assert numbers.tolist() == [7, 7, 0, 12345678, 99999999]
    assert valid.all()


@given(st.text("0123456789/:-x", max_size=12))
def test_only_digits_are_numbers(text: str) -> None:
    _, valid = as_integers(Spans.of(pa.array(["padding.", text])))
    assert bool(valid[1]) == text.isdecimal()


def test_what_is_no_number_is_told_apart() -> None:
    _, valid = as_integers(
        Spans.of(pa.array(["1", "", "-", "1x", "+1", " 1", "9" * 19, "\N{ARABIC-INDIC DIGIT ONE}"]))
    )
    assert valid.tolist() == [True] + [False] * 7


def test_dashes_become_empty_but_not_longer_texts() -> None:
    assert as_text(Spans.of(pa.array(["-", "--", "a", ""])).without_dashes()).to_pylist() == [
        "",
        "--",
        "a",
        "",
    ]


def test_upstream_times_are_summed_and_dashes_count_nothing() -> None:
    assert seconds_of(["0.5", "0.25, 0.5 : -", "-", "", "nan"]) == [0.5, 0.75, None, None, None]


def test_times_to_the_millisecond_are_read_as_they_stand() -> None:
    written = ["0.000", "0.125", "12.345", "9999.999", "a.125", "1.2x5", "1;250", "12345.678", ".125"]
    assert seconds_of(written) == pytest.approx(
        [0, 0.125, 12.345, 9999.999, None, None, None, 12345.678, 0.125]
    )


def seconds_of(values: list[str]) -> list[float | None]:
    seconds, known = as_seconds(Spans.of(pa.array(values)))
    return [value if good else None for value, good in zip(seconds.tolist(), known.tolist(), strict=True)]
