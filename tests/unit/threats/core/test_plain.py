"""An expression that is left out for a kind of values can match none of them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dozor.features.threats.core.arguments import Field, parts
from dozor.features.threats.core.normalise import normalise
from dozor.features.threats.core.plain import ALPHABETS, may_match, rows_within
from dozor.features.threats.core.rules import expressions
from dozor.features.threats.model import RuleSet

NARROW, WIDE = ALPHABETS
LETTERS = frozenset(b"abcABC")


@pytest.mark.parametrize("expression", ["a", "(?:x|b)", "[^a]", "x*b", "x?", "[a-c]{2}", r"\w", ".", "^$"])
def test_what_may_match_is_kept(expression: str) -> None:
    assert may_match(expression, LETTERS)


@pytest.mark.parametrize(
    "expression", ["x", "ax", "(?:x|y)a", "[^a-c]", "a(?:x)+", "x{2}a", r"\s", r"\d", r"a\W"]
)
def test_what_needs_another_byte_is_left_out(expression: str) -> None:
    assert not may_match(expression, LETTERS)


def test_case_does_not_matter() -> None:
    assert may_match("A", frozenset(b"a"))
    assert may_match("[X-Z]", frozenset(b"y"))


def test_each_alphabet_holds_the_narrower_one() -> None:
    assert NARROW < WIDE


def test_most_expressions_are_left_out_for_plain_values(rules: RuleSet) -> None:
    texts = expressions(rules).texts
    narrow, wide = (sum(may_match(text, alphabet) for text in texts) for alphabet in ALPHABETS)
    assert narrow < wide < len(texts) / 2


def test_no_sample_of_a_rule_is_lost(rules: RuleSet) -> None:
    samples = [sample.encode() for rule in rules.rules for sample in rule.positive]
    values = [part.text for sample in samples for field in Field for part in parts(field, sample)]
    decoded = normalise(b"".join(value.replace(b"\n", b"\r") + b"\n" for value in values)).split(b"\n")
    for text in expressions(rules).texts:
        pattern = re.compile(text.encode("latin-1"), re.IGNORECASE | re.MULTILINE)
        for alphabet in ALPHABETS:
            if not may_match(text, alphabet):
                assert not [
                    value for value in decoded if alphabet.issuperset(value) and pattern.search(value)
                ]


@given(st.lists(st.binary(max_size=12).map(lambda value: value.replace(b"\n", b"")), max_size=8))
def test_rows_are_told_apart_by_their_bytes(rows: list[bytes]) -> None:
    text = b"".join(row + b"\n" for row in rows)
    assert rows_within(text, WIDE).tolist() == [WIDE.issuperset(row) for row in rows]
