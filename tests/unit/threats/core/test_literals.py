"""The scanner must never overlook what a pattern would find."""

from __future__ import annotations

import random
import re

import pytest
from dozor.features.threats.core.literals import required_literals
from dozor.features.threats.core.normalise import normalise
from dozor.features.threats.core.rules import HINT, expressions, load_rules
from dozor.features.threats.model import RuleSet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def test_a_choice_gives_all_its_texts() -> None:
    assert required_literals(r"(?:select|insert)\s*\(") == {
        word + gap + "(" for word in ("select", "insert") for gap in ("", " ", "\r")
    }


def test_short_text_is_no_literal_unless_it_is_rare() -> None:
    assert required_literals(r"\bor\b") is None
    assert required_literals(r"<\w") == {"<"}


def test_a_text_that_may_be_missing_is_not_required() -> None:
    assert required_literals(r"(?:select)?\d+") is None


TESTS = [
    pytest.param(rule, pattern, id=f"{number}")
    for number, (rule, pattern) in enumerate(expressions(load_rules()).tests)
]


@pytest.mark.parametrize(("rule", "pattern"), TESTS)
def test_scanned_text_stands_in_all_that_a_pattern_matches(rule: int, pattern: str) -> None:
    compiled = expressions(load_rules())
    number = compiled.tests.index((rule, pattern))
    texts = [
        re.compile(text, re.IGNORECASE | re.ASCII)
        for text, owners in zip(compiled.texts, compiled.owners, strict=True)
        if number in owners
    ]
    strict = re.compile(pattern, re.IGNORECASE | re.ASCII)

    @settings(
        max_examples=15,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.from_regex(strict, alphabet=st.characters(codec="latin-1")))
    def holds(generated: str) -> None:
        raw = generated.replace("\n", " ").encode("latin-1")
        decoded = normalise(raw + b"\n")[:-1].decode("latin-1")
        if strict.search(decoded):
            row = f"\n{decoded}\n"
            assert any(text.search(row) for text in texts), decoded

    holds()
