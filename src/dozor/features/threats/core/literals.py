"""Literal text that an expression cannot match without.

A scanner finds a thousand literals as fast as it reads; expressions that begin with a choice of
characters make it ten to a hundred times slower. So the scanner looks for literals, and a row that
has one is looked at with the expression itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

MIN_LENGTH = 4
"""Shorter literals occur everywhere and tell nothing, unless they hold a `TELLING` character."""

TELLING = frozenset("'\"<>`|\\${}^~\r")
"""Characters that decoded values of ordinary traffic hardly ever hold."""

SPACES = frozenset(" \r")
"""All white space there is in normalised text, where it never stands twice in a row."""

_MAX_ALTERNATIVES = 400
_MAX_ALTERNATIVES_SHORT = 6000
_MAX_CLASS = 16

# The parser of `re` has no public name since 3.11, but its tree is far safer than a second parser.
_parser: Any = re._parser  # type: ignore[attr-defined]


def required_literals(expression: str, *, short: bool = False) -> frozenset[str] | None:
    """A set of lower-case texts of which every match holds at least one.

    Args:
        expression: A Python expression, ignoring case.
        short: Whether to be content with short literals.

    Returns:
        The most telling such set, or None when a match may do without any text of `MIN_LENGTH`.
    """
    limit = _MAX_ALTERNATIVES_SHORT if short else _MAX_ALTERNATIVES
    best = _best(_parser.parse(expression, re.IGNORECASE), limit)
    if best is None or not (short or all(map(_tells, best))):
        return None
    return best


def _tells(text: str) -> bool:
    return len(text) >= MIN_LENGTH or not TELLING.isdisjoint(text)


def _best(items: Sequence[tuple[Any, Any]], limit: int) -> frozenset[str] | None:
    """The best set for a sequence: of its runs of fixed text and its mandatory groups."""
    candidates: list[frozenset[str]] = []
    runs: set[str] = {""}
    for item in items:
        texts = _texts(item, limit)
        extended = {a + b for a, b in product(runs, texts)} if texts else set()
        if texts and len(extended) <= limit:
            runs = extended
            continue
        repeated = _repeated(item, limit)
        grown = {a + b for a, b in product(runs, repeated)}
        candidates.append(frozenset(grown if 0 < len(grown) <= limit else runs))
        runs = texts if texts and len(texts) <= limit else {""}
        group = _group(item, limit)
        if group is not None:
            candidates.append(group)
    candidates.append(frozenset(runs))
    return max((c for c in candidates if "" not in c), key=_worth, default=None)


def _worth(texts: frozenset[str]) -> tuple[bool, int, int]:
    rare = all(not TELLING.isdisjoint(text) for text in texts)
    return rare, min(min(map(len, texts)), 5), -len(texts)


def _texts(item: tuple[Any, Any], limit: int) -> set[str]:
    """All texts that the item may stand for; empty when they are not few and fixed."""
    operation, value = str(item[0]), item[1]
    if operation == "LITERAL":
        return {chr(value).lower()}
    if operation == "IN":
        return _class_texts(value)
    if operation == "AT":
        return {""}
    if operation == "SUBPATTERN":
        return _sequence_texts(value[-1], limit)
    if operation == "BRANCH":
        parts = [_sequence_texts(branch, limit) for branch in value[1]]
        return set().union(*parts) if all(parts) else set()
    if operation in ("MAX_REPEAT", "MIN_REPEAT"):
        inner = _sequence_texts(value[2], limit)
        if value[1] > 1 and inner != SPACES:
            return set()
        return inner | {""} if inner and value[0] == 0 else inner
    return set()


def _repeated(item: tuple[Any, Any], limit: int) -> set[str]:
    """What an item begins with that may be repeated but must occur: `(` of `\\(+`."""
    operation, value = str(item[0]), item[1]
    if operation in ("MAX_REPEAT", "MIN_REPEAT") and value[0] > 0:
        return _sequence_texts(value[2], limit)
    return set()


def _class_texts(members: Iterable[tuple[Any, Any]]) -> set[str]:
    texts: set[str] = set()
    for kind, value in members:
        if str(kind) == "LITERAL":
            texts.add(chr(value).lower())
        elif value is _parser.CATEGORY_SPACE:
            texts |= SPACES
        elif str(kind) == "RANGE" and value[1] - value[0] < _MAX_CLASS:
            texts.update(chr(code).lower() for code in range(value[0], value[1] + 1))
        else:
            return set()
    return texts if len(texts) <= _MAX_CLASS else set()


def _sequence_texts(items: Sequence[tuple[Any, Any]], limit: int) -> set[str]:
    texts = {""}
    for item in items:
        texts = {a + b for a, b in product(texts, _texts(item, limit))}
        if not texts or len(texts) > limit:
            return set()
    return texts


def _group(item: tuple[Any, Any], limit: int) -> frozenset[str] | None:
    """The best set for a group or a repetition that must occur."""
    operation, value = str(item[0]), item[1]
    if operation == "SUBPATTERN":
        return _best(value[-1], limit)
    if operation in ("MAX_REPEAT", "MIN_REPEAT") and value[0] > 0:
        return _best(value[2], limit)
    if operation == "BRANCH":
        parts = [_best(branch, limit) for branch in value[1]]
        found = [part for part in parts if part is not None]
        return frozenset().union(*found) if len(found) == len(parts) else None
    return None
