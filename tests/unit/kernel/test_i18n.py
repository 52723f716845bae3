from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dozor.kernel import i18n


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({}, "en"),
        ({"LANG": "ru_RU.UTF-8"}, "ru"),
        ({"LANG": "en_GB.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "ru_RU.UTF-8", "LC_ALL": "en_US.UTF-8"}, "en"),
        ({"LANG": "ru_RU.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LANGUAGE": "de:ru:en"}, "ru"),
        ({"LANG": "ru_RU.UTF-8", "LC_ALL": "C", "LANGUAGE": "ru"}, "en"),
        ({"LC_ALL": "C", "DOZOR_LANG": "ru"}, "ru"),
        ({"LANG": "ru_RU.UTF-8", "DOZOR_LANG": "xx"}, "en"),
        ({"LANG": "ru_RU.UTF-8", "DOZOR_LANG": ""}, "ru"),
    ],
)
def test_the_environment_chooses_the_language(environ: dict[str, str], language: str) -> None:
    assert i18n.language_from_environment(environ) == language


def test_a_language_lasts_until_its_block_ends() -> None:
    with i18n.use_language("ru"):
        assert i18n.current_language() == "ru"
        with i18n.use_language("en"):
            assert i18n.current_language() == "en"
        assert i18n.current_language() == "ru"
    assert i18n.current_language() == "en"


def test_an_unknown_language_is_english() -> None:
    with i18n.use_language("ru"), i18n.use_language("tlh"):
        assert i18n.current_language() == "en"


def test_two_contexts_speak_two_languages_at_once() -> None:
    def speak(language: str) -> str:
        i18n.use_language(language)
        return i18n.format_number(1234.5, 1)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda code: copy_context().run(speak, code), ["ru", "en"] * 20))
    assert answers == ["1\u00a0234,5", "1,234.5"] * 20


def test_a_new_thread_speaks_the_default_language() -> None:
    i18n.set_default_language("ru")
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(i18n.current_language).result() == "ru"


@pytest.mark.parametrize(
    ("number", "form"), [(1, "1 атака"), (3, "3 атаки"), (11, "11 атак"), (21, "21 атака")]
)
def test_russian_has_three_plural_forms(number: int, form: str) -> None:
    with i18n.use_language("ru"):
        text = i18n.ngettext("{count} attack", "{count} attacks", number)
    assert text.format(count=number) == form


@pytest.mark.parametrize(
    ("number", "digits", "english", "russian"),
    [
        (0, 0, "0", "0"),
        (1204, 0, "1,204", "1\u00a0204"),
        (-1234567.891, 2, "-1,234,567.89", "-1\u00a0234\u00a0567,89"),
    ],
)
def test_numbers_are_written_as_each_language_does(
    number: float, digits: int, english: str, russian: str
) -> None:
    assert i18n.format_number(number, digits) == english
    with i18n.use_language("ru"):
        assert i18n.format_number(number, digits) == russian


def test_percentages_are_written_as_each_language_does() -> None:
    assert i18n.format_percent(0.1234) == "12.3%"
    with i18n.use_language("ru"):
        assert i18n.format_percent(0.1234) == "12,3\u00a0%"


@pytest.mark.parametrize(
    ("count", "english", "russian"),
    [
        (0, "0\u00a0B", "0\u00a0Б"),
        (1023, "1,023\u00a0B", "1\u00a0023\u00a0Б"),
        (1024, "1.0\u00a0KiB", "1,0\u00a0КиБ"),
        (1024**2 - 1, "1.0\u00a0MiB", "1,0\u00a0МиБ"),
        (1.5 * 1024**3, "1.5\u00a0GiB", "1,5\u00a0ГиБ"),
        (2000 * 1024**5, "2,000.0\u00a0PiB", "2\u00a0000,0\u00a0ПиБ"),
    ],
)
def test_sizes_have_the_largest_fitting_unit(count: float, english: str, russian: str) -> None:
    assert i18n.format_bytes(count) == english
    with i18n.use_language("ru"):
        assert i18n.format_bytes(count) == russian


@pytest.mark.parametrize(
    ("seconds", "english", "russian"),
    [
        (0, "0 ms", "0 мс"),
        (0.35, "350 ms", "350 мс"),
        (0.9999, "1.0 s", "1,0 с"),
        (4.23, "4.2 s", "4,2 с"),
        (59.97, "1 min", "1 мин"),
        (185, "3 min 5 s", "3 мин 5 с"),
        (3599.7, "1 h", "1 ч"),
        (7500, "2 h 5 min", "2 ч 5 мин"),
        (86399, "1 d", "1 д"),
        (187200, "2 d 4 h", "2 д 4 ч"),
    ],
)
def test_durations_have_their_two_largest_units(seconds: float, english: str, russian: str) -> None:
    assert i18n.format_duration(seconds).replace("\u00a0", " ") == english
    with i18n.use_language("ru"):
        assert i18n.format_duration(seconds).replace("\u00a0", " ") == russian


@given(st.integers(0, 10**18))
def test_no_size_shows_a_full_step_of_its_unit(count: int) -> None:
    number, unit = i18n.format_bytes(count).split("\u00a0")
    assert float(number.replace(",", "")) < 1024 or unit == "PiB"
