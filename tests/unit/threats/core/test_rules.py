"""Rules of one's own, and what is said when they are malformed."""

from __future__ import annotations

from pathlib import Path

import pytest

from dozor.features.threats.core.rules import expressions, load_rules, parse_rules, widened
from dozor.kernel.errors import SettingsError

GOOD = """
words: {animal: [cat, dog]}
rules:
  - id: scanner-zoo
    class: scanner
    title: Looks for animals.
    severity: low
    score: 0.2
    where: path
    pattern: '/{{animal}}s?$'
    references: [CAPEC-169]
    positive: [/cats]
    negative: [/birds]
"""


def test_words_stand_for_any_of_them() -> None:
    (rule,), _ = parse_rules(GOOD, "zoo.yaml")
    assert rule.patterns == ("/(?:cat|dog)s?$",)


def test_a_folder_adds_rules_and_replaces_those_of_the_same_id(tmp_path: Path) -> None:
    (tmp_path / "zoo.yaml").write_text(GOOD)
    (tmp_path / "mine.yaml").write_text(GOOD.replace("scanner-zoo", "sqli-delay"))
    rules = {rule.id: rule for rule in load_rules(tmp_path).rules}
    assert rules["scanner-zoo"].title == rules["sqli-delay"].title == "Looks for animals."
    assert len(rules) == len(load_rules().rules) + 1


def test_rules_can_be_switched_off() -> None:
    assert "sqli-tail" not in {rule.id for rule in load_rules(disabled=["sqli-tail"]).rules}


def test_an_unknown_id_cannot_be_switched_off() -> None:
    with pytest.raises(SettingsError, match="no rule sqli-teil"):
        load_rules(disabled=["sqli-teil"])


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nowhere"):
        load_rules(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("good", "bad", "fact"),
    [
        ("score: 0.2", "score: 2", "score must be above 0"),
        ("class: scanner", "class: zoo", "zoo"),
        ("severity: low", "severity: awful", "AWFUL"),
        ("where: path", "where: nose", "nose"),
        ("pattern: '/{{animal}}s?$'", "pattern: '(?=x)'", "no look-around"),
        ("pattern: '/{{animal}}s?$'", "pattern: '(x'", "unterminated"),
        ("pattern: '/{{animal}}s?$'", "pattern: '{{plant}}'", "plant"),
        ("pattern: '/{{animal}}s?$'", "pattern: x\n    sql: poem", "`sql` must be one of"),
        ("    title: Looks for animals.\n", "", "missing: title"),
        ("where: path", "wehre: path", "unknown: wehre"),
        ("rules:", "rules: [", "zoo.yaml"),
    ],
)
def test_a_malformed_rule_is_told_by_file_rule_and_fact(good: str, bad: str, fact: str) -> None:
    with pytest.raises(SettingsError, match=fact) as caught:
        parse_rules(GOOD.replace(good, bad), "zoo.yaml")
    assert "zoo.yaml" in caught.value.message
    assert "docs/reference/rules.md" in caught.value.hint


def test_ends_of_an_argument_are_ends_for_the_first_look() -> None:
    assert widened(r"^a[^$]\$$") == r"(?:^|[=&?/ #])a[^$]\$(?:$|[&?#;= ])"


def test_long_repeats_are_endless_for_the_scanner_and_short_ones_stay() -> None:
    assert widened(r"a{0,200}b{2,40}c{1,3}\{1,99}[{0,50}]") == r"a*b+c{1,3}\{1,99}[{0,50}]"


def test_each_text_is_scanned_for_once() -> None:
    compiled = expressions(load_rules())
    assert len(set(compiled.texts)) == len(compiled.texts) == len(compiled.owners)
    assert all(owned for owned in compiled.owners)
