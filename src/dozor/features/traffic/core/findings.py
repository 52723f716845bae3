"""What is told of one client and one attack class, from the lines of the log behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from dozor.features.traffic.model import FindingRow, RuleFacts
from dozor.kernel.finding import Evidence, Finding, Severity, Subject, SubjectKind

_SURE: Final = 0.9
_NOTHING: Final = Evidence("", "", "")


def finding_row(
    *,
    attack_class: str,
    client: str,
    country: str,
    score: float,
    requests: int,
    first: datetime,
    last: datetime,
    status: Mapping[int, int],
    rules: Iterable[str],
    example: str,
    evidence: Sequence[Mapping[str, Any]],
    rule_facts: Mapping[str, RuleFacts],
) -> FindingRow:
    """One row.

    Args:
        attack_class: The class.
        client: Who did it.
        country: Of the client.
        score: The highest.
        requests: Lines of this class.
        first: Time of the first.
        last: Time of the last.
        status: Requests by status code.
        rules: Ids of all rules that hit on these lines, those of other classes included.
        example: The strongest line.
        evidence: What was found there, as `columns.record.EVIDENCE`.
        rule_facts: What is known of the rules, by id.
    """
    own = sorted(
        {rule for rule in rules if rule not in rule_facts or rule_facts[rule].attack_class == attack_class}
    )
    items = [Evidence(**item) for item in evidence]
    best = next((item for item in items if item.rule in own), items[0] if items else _NOTHING)
    known = [rule_facts[rule].severity for rule in own if rule in rule_facts]
    severity = max(known, default=Severity.HIGH if score >= _SURE else Severity.MEDIUM)
    subject = Subject(SubjectKind.ADDRESS, client)
    return FindingRow(
        fingerprint=Finding(f"threats.{attack_class}", subject, severity, score, first, last).fingerprint,
        attack_class=attack_class,
        client=client,
        country=country,
        severity=severity.name.lower(),
        score=score,
        requests=requests,
        first=first,
        last=last,
        status={f"{code:03d}": count for code, count in sorted(status.items())},
        rules=tuple(own),
        example=example,
        where=best.where,
        decoded=best.decoded,
        matched=best.matched,
        rule=best.rule,
    )
