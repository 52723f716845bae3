"""What threats needs from outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Scanner(Protocol):
    """Finds many expressions in many rows at once.

    A scanner is built from a sequence of expressions (`core.rules.expressions`); it is case-blind,
    `^` and `$` match at row ends, so does a line feed in an expression, and `.` does not match one.
    It may be called by several threads at the same time.
    """

    def scan(self, text: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Find which rows hold which expressions.

        Args:
            text: Rows, each ended by a line feed.

        Returns:
            Row numbers (from 0) and expression numbers, two arrays of equal length: every pair for
            which the expression matches within the row, once or more. Pairs for matches that run
            over a row's end may be among them; the caller confirms.
        """


class BuildScanner(Protocol):
    """Makes a scanner."""

    def __call__(self, expressions: Sequence[str], /) -> Scanner:
        """Build a scanner for these expressions, numbered from 0; none are allowed too."""
