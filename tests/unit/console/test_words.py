from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dozor.console import words
from dozor.kernel.i18n import use_language

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "before", "told"),
    [
        (106, 100, "+6%"),
        (50, 100, "\N{MINUS SIGN}50%"),
        (1000, 1001, "±0"),
        (0, 0, "±0"),
        (5, 0, "new"),
        (1200, 100, "\N{MULTIPLICATION SIGN}12"),
        (0, 9, "\N{MINUS SIGN}100%"),
    ],
)
def test_a_change_is_told_against_before(now: int, before: int, told: str) -> None:
    assert words.change(now, before) == told


@pytest.mark.parametrize(
    ("back", "told"),
    [
        (timedelta(seconds=0.4), "just now"),
        (timedelta(seconds=42), "42\u00a0s ago"),
        (timedelta(minutes=7, seconds=5), "7\u00a0min ago"),
        (timedelta(hours=23, minutes=59), "23\u00a0h ago"),
        (timedelta(days=2), "22\u00a0Nov 12:00"),
        (timedelta(minutes=-5), "24\u00a0Nov 12:05"),
    ],
)
def test_a_moment_is_relative_up_to_a_day(back: timedelta, told: str) -> None:
    assert words.when(NOW - back, NOW) == told


def test_a_moment_names_its_day_and_year_when_they_are_not_these() -> None:
    assert words.absolute(NOW, NOW) == "12:00:00"
    assert words.absolute(NOW - timedelta(days=2), NOW) == "22\u00a0Nov 12:00:00"
    assert words.absolute(NOW.replace(year=2025), NOW) == "24\u00a0Nov 2025 12:00:00"


def test_a_stretch_names_the_day_of_its_end_only_when_it_is_another() -> None:
    assert words.stretch(NOW, NOW + timedelta(hours=2)) == "24\u00a0Nov 12:00 \N{EN DASH} 14:00"
    assert words.stretch(NOW, NOW + timedelta(days=1)) == "24\u00a0Nov 12:00 \N{EN DASH} 25\u00a0Nov 12:00"


def test_counts_are_in_full_up_to_seven_digits() -> None:
    assert words.count(9_999_999) == "9,999,999"
    assert words.count(12_345_678) == "12.3M"
    with use_language("ru"):
        assert words.count(1204) == "1\u00a0204"
        assert words.count(12_345_678) == "12,3\u00a0млн"


def test_countries_have_names_in_both_languages() -> None:
    assert words.country_name("DE") == "Germany"
    assert words.country_name("??") == "??"
    with use_language("ru"):
        assert words.country_name("DE") == "Германия"


def test_an_excerpt_spells_out_what_cannot_be_seen() -> None:
    assert words.excerpt("a\x00b<c", "\x00b") == ("a", "\\x00b", "<c")
    assert words.printable("1\u00a0204\u202e") == "1\u00a0204\\u202e"


def test_a_step_has_no_idle_decimals() -> None:
    assert [words.span(seconds) for seconds in (1, 0.5, 90, 900)] == [
        "1\u00a0s",
        "500\u00a0ms",
        "1\u00a0min 30\u00a0s",
        "15\u00a0min",
    ]
