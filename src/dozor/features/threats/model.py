"""The words of threats: attack classes, rules, and what a rule found in a value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dozor.kernel.finding import Severity


class AttackClass(StrEnum):
    """What an attacker tries to do. A line may show several."""

    SQLI = "sqli"
    """Query injection: SQL, and its NoSQL and LDAP cousins."""
    TRAVERSAL = "traversal"
    """Reading files that the site does not mean to serve."""
    XSS = "xss"
    """Script that shall run in another visitor's browser."""
    RCE = "rce"
    """Commands for the server's shell, server-side includes among them."""
    PHP = "php"
    JAVA = "java"
    TEMPLATE = "template"
    """Expressions for a template engine or an interpreter on the server."""
    RFI = "rfi"
    """Code that shall be fetched from elsewhere and run."""
    SSRF = "ssrf"
    """Addresses that the server shall visit on the attacker's behalf."""
    SCANNER = "scanner"
    """Looking for something to attack; never an attack by itself."""
    BAD_AGENT = "bad_agent"
    """A tool that names itself and whose only use is attack."""
    PROTOCOL = "protocol"
    """Requests that bend HTTP itself."""


class Place(StrEnum):
    """The parts of a request that a rule may look at."""

    TARGET = "target"
    PATH = "path"
    QUERY = "query"
    ARG = "arg"
    REFERER = "referer"
    USER_AGENT = "user_agent"
    METHOD = "method"
    REQUEST = "request"


ANYWHERE = frozenset({Place.PATH, Place.QUERY, Place.ARG, Place.REFERER, Place.USER_AGENT})
"""Where an attack may hide that does not care which field carries it (`any` in a rule file)."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One signature.

    Args:
        id: Stable name, starts with its class or topic: `sqli-union-select`.
        attack_class: What it is a sign of.
        title: What it sees, one English sentence.
        severity: How bad it is if true.
        score: How sure one hit is, 0 to 1; it is an attack by itself from 0.5 on.
        places: Where it looks.
        patterns: Expressions without look-around, found by the scanner in decoded text; any one
            suffices. `^` and `$` mean the ends of the part (an argument, the path, a header).
        confirm: A further Python expression on the decoded part; None when `patterns` decide.
        sql: Name of the judgement of the SQL tokeniser that must hold; None when it is not asked.
        unless: A Python expression that rules the hit out; None when nothing does.
        references: Names in public catalogues: CWE, CAPEC, OWASP, CVE.
        positive: Texts that must hit.
        negative: Texts that must not.
    """

    id: str
    attack_class: AttackClass
    title: str
    severity: Severity
    score: float
    places: frozenset[Place]
    patterns: tuple[str, ...]
    confirm: str | None
    sql: str | None
    unless: str | None
    references: tuple[str, ...]
    positive: tuple[str, ...]
    negative: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules in the order of their ids, with the hints that send a value to closer inspection.

    Args:
        rules: The rules, ascending by id.
        hints: Expressions for disguises (comments inside words, shell quoting) that rules cannot
            see through before the disguise is taken off.
    """

    rules: tuple[Rule, ...]
    hints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule that fired on a value: where, on which decoded text, on which part of it.

    `rule` is the index in the rule set; `where` is as in the evidence (`query:id`).
    """

    rule: int
    where: str
    decoded: str
    matched: str


Verdict = tuple[Hit, ...]
"""All that is wrong with one value, the strongest first; empty when nothing is."""
