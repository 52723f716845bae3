"""Each rule is held to its own samples, through the whole detector."""

from __future__ import annotations

import pytest

from dozor.features.threats.core.rules import load_rules
from dozor.features.threats.model import AttackClass, Rule
from tests.unit.threats.requests import Annotate, line_for, place_of

RULES = load_rules().rules
EACH_RULE = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)


@EACH_RULE
def test_a_rule_hits_each_of_its_positive_samples(rule: Rule, annotate: Annotate) -> None:
    rows = annotate(line_for(place_of(rule), text) for text in rule.positive)
    assert [text for text, row in zip(rule.positive, rows, strict=True) if rule.id not in row["rules"]] == []


@EACH_RULE
def test_no_rule_makes_an_attack_of_a_negative_sample(rule: Rule, annotate: Annotate) -> None:
    rows = annotate(line_for(place_of(rule), text) for text in rule.negative)
    assert [row for row in rows if rule.id in row["rules"] or row["score"] >= 0.5] == []


@EACH_RULE
def test_a_rule_has_samples_and_references(rule: Rule) -> None:
    assert rule.positive
    assert rule.references
    assert rule.negative or rule.id == "protocol-junk"


def test_ids_begin_with_the_topic_and_are_unique() -> None:
    ids = [rule.id for rule in RULES]
    assert len(set(ids)) == len(ids)
    assert {rule.attack_class for rule in RULES} == set(AttackClass)
