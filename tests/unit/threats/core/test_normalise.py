"""What attackers wrap their text in comes off, and rows stay rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dozor.features.threats.core.normalise import normalise, special_rows


def decoded(text: bytes, *, fold_plus: bool = False) -> bytes:
    return normalise(text + b"\n", fold_plus=fold_plus)[:-1]


@pytest.mark.parametrize(
    ("wrapped", "plain"),
    [
        (b"%27%20or%201%3D1", b"' or 1=1"),
        (b"%2527", b"'"),
        (b"%25%32%37", b"'"),
        (b"%u0027%uff07%U0027", b"'''"),
        (rb"\x22\u0041\x5Cx63", b'"Ac'),
        (b"&lt;&#60;&#x3c;&#0000060;&amp;lt;", b"<<<<<"),
        (b"j&Tab;a&colon;", b"j a:"),
        (b"..%c0%af..%c0%2f%e0%80%af", b"../..//"),
        (b"%f0%80%80%af", b"/"),
        ("＜script＞".encode(), b"<script>"),
        ("‘x’ “y”".encode(), b"'x' \"y\""),
        ("un\u200bion".encode(), b"union"),
        ("①⑥⑨.②⑤④".encode(), b"169.254"),
        (b"sel%00ect", b"select"),
        (b"a%0d%0ab", b"a\rb"),
        (b"a%09%0b  b", b"a b"),
        (b"%a0or%a0", b" or "),
        (b"100%25 %zz %2", b"100% %zz %2"),
        (b"?region=1&copy=2&lt=3", b"?region=1&copy=2&lt=3"),
    ],
)
def test_a_disguise_comes_off(wrapped: bytes, plain: bytes) -> None:
    assert decoded(wrapped) == plain


@pytest.mark.parametrize("text", ["Привет", "naïve café", "日本語", "€ 5"])
def test_letters_of_all_languages_stay(text: str) -> None:
    assert decoded(text.encode()) == text.encode()


def test_single_byte_cyrillic_is_not_taken_for_overlong_utf8() -> None:
    assert decoded("Ада Ба".encode("cp1251")) == "Ада Ба".encode("cp1251")


def test_a_plus_is_a_space_only_in_the_query() -> None:
    assert normalise(b"/c++?q=a+b\n/d+e\n", fold_plus=True) == b"/c++?q=a b\n/d+e\n"


def test_decoding_stops_after_three_rounds() -> None:
    assert decoded(b"%252525250a") == b"%250a"


@given(st.lists(st.binary(max_size=60).map(lambda row: row.replace(b"\n", b"")), max_size=20))
def test_each_row_is_decoded_by_itself(rows: list[bytes]) -> None:
    together = normalise(b"".join(row + b"\n" for row in rows))
    assert together.split(b"\n")[:-1] == [decoded(row) for row in rows]


@given(st.lists(st.binary(max_size=60).map(lambda row: row.replace(b"\n", b"")), max_size=20))
def test_rows_that_are_not_special_are_already_decoded(rows: list[bytes]) -> None:
    special = set(special_rows(b"".join(row + b"\n" for row in rows)).tolist())
    for number, row in enumerate(rows):
        if number not in special:
            assert decoded(row, fold_plus=True) == row
