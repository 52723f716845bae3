"""A finding: what a detector claims about a subject, with the evidence for it.

Signals are measured, findings are claimed, alerts are told, actions are done (DESIGN.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Protocol


class Severity(IntEnum):
    """How bad a finding is; ordered, so that `max` and `>=` mean what they say."""

    INFO = 10
    LOW = 20
    MEDIUM = 30
    HIGH = 40
    CRITICAL = 50


class SubjectKind(StrEnum):
    """The kinds of thing that a finding may be about."""

    ADDRESS = "address"
    HOST = "host"
    CONTAINER = "container"
    BOT = "bot"
    USER = "user"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Subject:
    """The one thing that a finding is about, for example `address 203.0.113.9`."""

    kind: SubjectKind
    name: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a detector believes its claim: the place, the decoded value and the matched part."""

    where: str
    decoded: str
    matched: str
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One claim of one detector about one subject over a stretch of time.

    Args:
        kind: Dotted name of the claim, for example `threats.sqli`.
        subject: What it is about.
        severity: How bad it is if true.
        score: How sure the detector is, 0 to 1.
        first: Event time of the first signal behind it (UTC).
        last: Event time of the last signal behind it (UTC).
        count: How many signals stand behind it.
        evidence: A few examples, the strongest first.
        labels: Further facts, by name.
    """

    kind: str
    subject: Subject
    severity: Severity
    score: float
    first: datetime
    last: datetime
    count: int = 1
    evidence: tuple[Evidence, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """The dedup key: equal for findings that claim the same thing of the same subject."""
        text = "\0".join((self.kind, self.subject.kind, self.subject.name))
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


class Publisher(Protocol):
    """Where findings go. Delivery is a wake-up: subscribers read the stored truth by themselves."""

    def publish(self, finding: Finding) -> None:
        """Hand over one finding; must not block and must not raise for an absent subscriber."""
