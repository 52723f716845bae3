from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dozor.features.traffic.adapters.words import (
    Tone,
    attack_name,
    excerpt,
    printable,
    reject_name,
    share,
    shorten,
    shown,
    span,
    status_name,
    verdict,
)
from dozor.features.traffic.core.parse import REASONS
from dozor.features.traffic.model import ErrorRow
from dozor.kernel.i18n import use_language
from tests.unit.traffic import summaries

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()))


@given(ANY_TEXT)
def test_nothing_invisible_is_left_in_any_text(text: str) -> None:
    assert printable(text).isprintable()


@given(ANY_TEXT.filter(str.isprintable))
def test_visible_text_is_left_alone(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("a\u202eb", r"a\u202eb"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\x9b\x7f", r"\x9b\x7f"),
        ("\ud800", r"\ud800"),
        ("\U000e0001", r"\U000e0001"),
        ("зима 雪", "зима 雪"),
    ],
)
def test_control_and_direction_marks_are_spelled_out(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_an_unknown_value_is_shown_as_a_dash() -> None:
    assert shown("") == "-"


@given(before=ANY_TEXT, matched=ANY_TEXT.filter(bool), after=ANY_TEXT, limit=st.integers(20, 80))
def test_an_excerpt_keeps_its_limit_and_comes_from_the_text(
    before: str, matched: str, after: str, limit: int
) -> None:
    text = before + matched + after
    part = excerpt(text, matched, limit)
    assert len(part.before) + len(part.matched) + len(part.after) <= limit
    assert part.matched
    for piece in part:
        assert piece.strip("…") in printable(text)


def test_an_excerpt_shows_the_match_in_the_middle_of_a_long_target() -> None:
    part = excerpt("a" * 32_000 + "<script>" + "b" * 32_000, "<script>", 60)
    assert part.matched == "<script>"
    assert part.before.startswith("…a")
    assert part.after.endswith("b…")
    assert len(part.before + part.matched + part.after) == 60


def test_an_excerpt_without_the_match_is_the_beginning() -> None:
    assert excerpt("abcdef", "zzz", 4) == ("abc…", "", "")
    assert excerpt("abcdef", "", 10) == ("abcdef", "", "")


def test_what_is_there_never_rounds_to_nothing() -> None:
    assert share(0, 10) == "0.0%"
    assert share(1, 1_000_000) == "<0.1%"
    assert share(1, 0) == "0.0%"
    assert share(1, 8) == "12.5%"


def test_short_texts_are_not_shortened() -> None:
    assert shorten("abc", 3) == "abc"
    assert shorten("abcd", 3) == "ab…"


def test_codes_have_their_standard_names_and_nginx_its_own() -> None:
    assert status_name("404") == "Not Found"
    assert status_name("499") == "Client Closed Request"
    assert status_name("599") == ""
    assert status_name("x") == ""


def test_an_unknown_class_is_its_own_name() -> None:
    assert attack_name("newclass") == "newclass"


def test_every_reason_of_the_parser_has_words() -> None:
    assert all(reject_name(reason) != reason for reason in [*REASONS, "head"] if reason)


def test_a_span_of_one_day_names_the_day_once() -> None:
    start = datetime(2026, 11, 21, 3, 30, tzinfo=UTC)
    assert span(start, start) == "2026-11-21 03:30:00"
    assert span(start, start + timedelta(hours=1)) == "2026-11-21 03:30:00 \N{EN DASH} 04:30:00"
    assert span(start, start + timedelta(days=1)) == "2026-11-21 03:30:00 \N{EN DASH} 2026-11-22 03:30:00"


def test_a_span_is_told_in_utc() -> None:
    start = datetime(2026, 11, 21, 1, tzinfo=timezone(timedelta(hours=3)))
    assert span(start, start) == "2026-11-20 22:00:00"


def test_the_verdict_tells_the_worst_first() -> None:
    tones = [statement.tone for statement in verdict(summaries.busy())]
    assert tones == [Tone.BAD, Tone.NOTE, Tone.NOTE]
    assert verdict(summaries.busy())[0].text == "749 requests are attacks (1.6%). Most often: SQL injection."


def test_a_quiet_log_gets_a_quiet_verdict() -> None:
    assert [statement.tone for statement in verdict(summaries.one_line())] == [Tone.GOOD]


def test_a_log_of_rejects_alone_is_told_to_have_the_wrong_format() -> None:
    statements = verdict(replace(summaries.empty(), rejected=100))
    assert [statement.tone for statement in statements] == [Tone.BAD]
    assert "format" in statements[0].text


def test_many_server_errors_are_a_problem_and_few_are_a_note() -> None:
    few = replace(summaries.one_line(), requests=1_000, status={"200": 999, "500": 1})
    many = replace(few, status={"200": 900, "500": 100})
    assert {statement.tone for statement in verdict(few)} == {Tone.NOTE, Tone.GOOD}
    assert verdict(many)[0].tone is Tone.BAD


def test_a_server_in_trouble_is_told_even_without_requests() -> None:
    row = ErrorRow("alert", "worker process N exited on signal N", 3, summaries.START, summaries.START)
    statements = verdict(replace(summaries.empty(), errors=(row,)))
    assert [statement.tone for statement in statements] == [Tone.BAD]
    assert "worker process N exited" in statements[0].text


def test_the_verdict_speaks_the_language_of_its_reader() -> None:
    english = verdict(summaries.busy())
    with use_language("ru"):
        assert "1,6\N{NO-BREAK SPACE}%" in verdict(summaries.busy())[0].text
    assert verdict(summaries.busy()) == english
