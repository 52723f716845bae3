"""Which expressions can match a value of few kinds of characters, so that most values meet few expressions.

Four values in five are letters, digits and the marks of paths and queries, and most of the others have
but spaces besides. Most signatures need a quote, a bracket, a semicolon or the like: they need not be
looked for in such values.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from functools import cache, lru_cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dozor.features.threats.core.normalise import row_ends

ALPHABETS = tuple(
    frozenset((string.ascii_letters + string.digits + marks).encode()) for marks in ("/_.-?=&", "/_.-?=&:, ")
)
"""Kinds of values, the narrowest first: each alphabet holds those before it."""

# The parser is not public, so what it says is taken with care: what is not known may match.
_parser: Any = import_module("re._parser")
_ALL = frozenset(range(256))
_CATEGORIES = {r"\w": "WORD", r"\d": "DIGIT", r"\s": "SPACE"}


def rows_within(text: bytes, alphabet: frozenset[int]) -> NDArray[np.bool_]:
    """Bool, shape (rows,): where a row of `text`, ended by a line feed, has bytes of the alphabet only."""
    odd = np.flatnonzero(_others(alphabet)[np.frombuffer(text, np.uint8)])
    ends = row_ends(text)
    within = np.ones(len(ends), np.bool_)
    within[np.searchsorted(ends, odd)] = False
    return within


@cache
def _others(alphabet: frozenset[int]) -> NDArray[np.bool_]:
    others = np.ones(256, np.bool_)
    others[[*alphabet, ord("\n")]] = False
    return others


def may_match(expression: str, alphabet: frozenset[int]) -> bool:
    """Whether the expression may match a value of bytes of the alphabet; in doubt it may.

    Args:
        expression: Without look-around; case does not matter.
        alphabet: Letters in both cases or in none.
    """
    return _sequence_may(_parsed(expression), alphabet)


@lru_cache(maxsize=1)
def _parsed(expression: str) -> Any:
    return _parser.parse(expression)


def _sequence_may(items: Iterable[tuple[Any, Any]], alphabet: frozenset[int]) -> bool:
    return all(_may(str(operation), argument, alphabet) for operation, argument in items)


def _may(operation: str, argument: Any, alphabet: frozenset[int]) -> bool:
    match operation:
        case "LITERAL":
            return bool(_cases(argument) & alphabet)
        case "IN":
            return bool(_members(argument) & alphabet)
        case "BRANCH":
            return any(_sequence_may(branch, alphabet) for branch in argument[1])
        case "SUBPATTERN":
            return _sequence_may(argument[-1], alphabet)
        case "MAX_REPEAT" | "MIN_REPEAT":
            return argument[0] == 0 or _sequence_may(argument[2], alphabet)
        case _:
            return True


def _cases(code: int) -> frozenset[int]:
    letter = chr(code)
    return frozenset(ord(form) for form in (letter, letter.lower(), letter.upper()) if len(form) == 1)


def _members(items: Iterable[tuple[Any, Any]]) -> frozenset[int]:
    """The bytes that a class such as `[^a-z_]` matches."""
    members: set[int] = set()
    negated = False
    for operation, argument in items:
        match str(operation):
            case "NEGATE":
                negated = True
            case "LITERAL":
                members |= _cases(argument)
            case "RANGE":
                members.update(*(_cases(code) for code in range(argument[0], argument[1] + 1)))
            case "CATEGORY":
                members |= _category(str(argument))
            case _:
                return _ALL
    return _ALL - members if negated else frozenset(members)


@cache
def _category(name: str) -> frozenset[int]:
    """The bytes of a class such as `CATEGORY_NOT_SPACE`."""
    for sign, word in _CATEGORIES.items():
        if name.endswith(word):
            pattern = re.compile(sign.encode())
            members = frozenset(code for code in _ALL if pattern.match(bytes((code,))))
            return _ALL - members if "NOT" in name else members
    return _ALL
