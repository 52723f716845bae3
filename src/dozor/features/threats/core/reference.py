"""The reference page of the rules, made from the rules."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from dozor.features.threats.core.score import CLASS_CAPS
from dozor.features.threats.model import ANYWHERE, Rule, RuleSet

_HEAD = """# Detection rules

Made from `src/dozor/features/threats/rules/*.yaml` by `dozor.features.threats.core.reference.rules_page`;
a test proves it fresh. [Why and how they work](../why/detection.md).

A hit adds its score to the line's: `1 - (1 - a)(1 - b)`, within a class and over classes. A line is an attack
from 0.5 on. Caps: {caps}.

## A rule file

| key | meaning |
|---|---|
| `id` | stable name, lower case, words joined by hyphens |
| `class` | one of {classes} |
| `title` | what it sees, one sentence |
| `severity` | info, low, medium, high or critical |
| `score` | how sure one hit is, above 0 and at most 1 |
| `where` | one or a list of target (as logged, not decoded), path, query, arg, referer, user_agent, method, request (junk); without it all but target, method and request |
| `pattern`, `patterns` | expressions on the decoded part, any one suffices; no look-around, no back-reference; `^` and `$` are the part's ends; case does not matter; white space is never more than one space or carriage return |
| `confirm` | a Python expression that must match as well; gives the matched part |
| `sql` | judgement of the SQL tokeniser that must hold: bare, clause, equation, operator, stacked, subselect, tail, tautology or union |
| `unless` | a Python expression that rules the hit out |
| `references` | names in public catalogues |
| `positive`, `negative` | samples; the tests run all of them through the whole detector |

A file may also hold `words` (name to list; `{{{{name}}}}` in an expression is any of them) and `hints` (expressions
for disguises that must come off before any rule can see through).
"""  # noqa: E501 - a row of a Markdown table is one line


def rules_page(rules: RuleSet) -> str:
    """The page as Markdown: every rule by class, with score, places and references."""
    return "\n".join(_lines(rules)) + "\n"


def _lines(rules: RuleSet) -> Iterator[str]:
    ordered = sorted(rules.rules, key=lambda rule: (rule.attack_class, rule.id))
    names = list(dict.fromkeys(rule.attack_class.value for rule in ordered))
    caps = ", ".join(f"{name} {cap}" for name, cap in sorted(CLASS_CAPS.items()))
    yield _HEAD.format(classes=", ".join(names), caps=caps)
    yield f"## The {len(ordered)} built-in rules"
    for attack_class, group in groupby(ordered, key=lambda rule: rule.attack_class):
        yield f"\n### {attack_class}\n"
        yield "| rule | sees | score | severity | where | references |"
        yield "|---|---|---|---|---|---|"
        yield from map(_row, group)


def _row(rule: Rule) -> str:
    places = "any" if rule.places == ANYWHERE else ", ".join(sorted(rule.places))
    cells = (
        f"`{rule.id}`",
        rule.title,
        f"{rule.score:g}",
        rule.severity.name.lower(),
        places,
        ", ".join(rule.references),
    )
    return "| " + " | ".join(cells) + " |"
