"""Which expressions can match a value of plain characters, so that most values meet few expressions.

Four values in five are letters, digits and the marks of paths and queries. Most signatures need a
quote, a bracket, a semicolon or the like: they need not be looked for in such a value.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

PLAIN = (string.ascii_letters + string.digits + "/_.-?=&:, ").encode()
"""The plain characters."""

# The parser is not public, so what it says is taken with care: what is not known may match.
_parser: Any = re._parser  # type: ignore[attr-defined]
_ALL = frozenset(range(256))
_PLAIN = frozenset(PLAIN)
_CATEGORIES = {r"\w": "WORD", r"\d": "DIGIT", r"\s": "SPACE"}

_IS_PLAIN = np.zeros(256, np.bool_)
_IS_PLAIN[[*PLAIN, ord("\n")]] = True


def plain_rows(text: bytes) -> NDArray[np.bool_]:
    """Bool, shape (rows,): where a row of `text` (each ended by a line feed) holds plain characters only."""
    buffer = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(buffer == ord("\n"))
    if not len(ends):
        return np.zeros(0, np.bool_)
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])
    plain: NDArray[np.bool_] = np.logical_and.reduceat(_IS_PLAIN[buffer], starts)
    return plain


def may_match_plain(expression: str) -> bool:
    """Whether the expression may match a value of plain characters; in doubt it may.

    Args:
        expression: Without look-around; case does not matter.
    """
    return _sequence_may(_parser.parse(expression))


def _sequence_may(items: Iterable[tuple[Any, Any]]) -> bool:
    return all(_may(str(operation), argument) for operation, argument in items)


def _may(operation: str, argument: Any) -> bool:
    match operation:
        case "LITERAL":
            return bool(_cases(argument) & _PLAIN)
        case "IN":
            return bool(_members(argument) & _PLAIN)
        case "BRANCH":
            return any(_sequence_may(branch) for branch in argument[1])
        case "SUBPATTERN":
            return _sequence_may(argument[-1])
        case "MAX_REPEAT" | "MIN_REPEAT":
            return argument[0] == 0 or _sequence_may(argument[2])
        case _:
            return True


def _cases(code: int) -> frozenset[int]:
    letter = chr(code)
    return frozenset(ord(form) for form in (letter, letter.lower(), letter.upper()) if len(form) == 1)


def _members(items: Iterable[tuple[Any, Any]]) -> frozenset[int]:
    """The bytes that a class such as `[^a-z\\s]` matches."""
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
