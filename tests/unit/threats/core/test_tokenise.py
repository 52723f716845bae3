"""The tokeniser tells injections from names, titles and prose."""

from __future__ import annotations

import pytest

from dozor.features.threats.core.tokenise import judge, tokenise


def shape(text: str) -> str:
    return "".join(letter for letter, _ in tokenise(text))


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("1 or 'a'='a'", "n&sos"),
        ("union/**/select 1,@@version", "UEn,v"),
        ("sleep(5)-- x", "f(n)c"),
        ("foo(1)", "g(n)"),
        ("0x41||'b'", "nas"),
        ("/*!50000union*/ all", "Uk"),
        ("1st and 2nd", "b&b"),
        ("a/* never closed", "bc"),
    ],
)
def test_text_becomes_one_letter_per_token(text: str, letters: str) -> None:
    assert shape(text) == letters


@pytest.mark.parametrize(
    ("text", "judgement"),
    [
        ("1' or '1'='1", "tautology"),
        ('x") or ("a"="a', "tautology"),
        ("5 or 3=4", "tautology"),
        ("1' and elt(1=1,2)#", "tautology"),
        ("-1 union all select null,null", "union"),
        ("1;drop table users--", "stacked"),
        ("1'||(select 1)||'", "subselect"),
        ("1') order by 3#", "clause"),
        ("admin'--", "tail"),
        ("1))--", "tail"),
        ("x'='x", "operator"),
        ("11!=1", "equation"),
        ("select a,b from c", "bare"),
    ],
)
def test_an_injection_is_judged_by_its_grammar(text: str, judgement: str) -> None:
    assert judgement in judge(text)


@pytest.mark.parametrize(
    "text",
    [
        "O'Brien",
        "O'Brien and sons",
        "D'or 1st perfume",
        "rock 'n' roll",
        "1 or 2 persons",
        "2 and 3 bedroom flats",
        "union of workers",
        "European union select committee",
        "select a table or chair",
        "select from the list",
        "is this your parents' or yours?",
        "it's -- well -- complicated",
        "L'Hospitalet, 12",
        "my--slugified-url",
        "red; update your profile",
        "C# or F#",
        "5 > 3",
        "a=b",
        "Sao Paulo (centre)",
        "drop leaf table",
    ],
)
def test_prose_and_names_are_no_injections(text: str) -> None:
    assert judge(text) == frozenset()


def test_a_long_text_is_judged_by_both_its_ends() -> None:
    assert "union" in judge("x" * 20_000 + " 1 union select 1,2")
    assert "union" in judge("1 union select 1,2 from t " + "x" * 20_000)
