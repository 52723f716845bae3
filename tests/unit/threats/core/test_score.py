"""How hits add up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dozor.features.threats.core.score import line_score
from dozor.features.threats.model import AttackClass

CLASSES = st.sampled_from(list(AttackClass))
SCORES = st.floats(0.01, 1)


def test_no_hits_score_nothing() -> None:
    assert line_score([]) == 0


def test_independent_doubts_multiply() -> None:
    hits = [(AttackClass.SQLI, 0.5), (AttackClass.SQLI, 0.5), (AttackClass.XSS, 0.5)]
    assert line_score(hits) == pytest.approx(0.875)


@given(st.lists(SCORES, max_size=50))
def test_any_number_of_scanner_rules_stays_below_an_attack(scores: list[float]) -> None:
    assert line_score((AttackClass.SCANNER, score) for score in scores) < 0.5


@given(st.lists(st.tuples(CLASSES, SCORES), max_size=20), CLASSES, SCORES)
def test_more_evidence_never_lowers_the_score(
    hits: list[tuple[AttackClass, float]], more: AttackClass, score: float
) -> None:
    assert line_score(hits) <= line_score([*hits, (more, score)]) <= 1
