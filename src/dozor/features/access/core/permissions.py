"""Sets of permissions with patterns: what is in both, and whether a name can be one."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dozor.features.access.model import allows

_PATTERN = re.compile(r"\*|[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*(?:\.\*)?")
_LONGEST = 100


def intersection(one: Iterable[str], other: Iterable[str]) -> tuple[str, ...]:
    """What both sets allow: of two patterns that overlap, the narrower one."""
    ones, others = tuple(one), tuple(other)
    both = {rule for rule in ones if allows(others, rule)} | {rule for rule in others if allows(ones, rule)}
    return tuple(sorted(both))


def is_pattern(text: str) -> bool:
    """Tell whether it is `*`, a dotted name, or a dotted name with `.*` at its end."""
    return len(text) <= _LONGEST and _PATTERN.fullmatch(text) is not None


def covers_any(pattern: str, known: Iterable[str]) -> bool:
    """Tell whether a pattern allows at least one of these permissions."""
    return any(allows((pattern,), permission) for permission in known)
