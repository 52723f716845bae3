"""Spans turn places in a buffer into columns without changing a value."""

import pyarrow as pa
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
    seconds = as_seconds(Spans.of(pa.array(["0.5", "0.25, 0.5 : -", "-", "", "nan"]))).to_pylist()
    assert seconds == [0.5, 0.75, None, None, None]
