"""A scanner without native code, for tests."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class InMemoryScanner:
    """A scanner on Python's `re`: slow, exact, and without native code.

    Args:
        expressions: What to look for.
    """

    def __init__(self, expressions: Sequence[str]) -> None:
        self._patterns = [
            re.compile(expression.encode("latin-1"), re.IGNORECASE | re.MULTILINE)
            for expression in expressions
        ]

    def scan(self, text: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """See `dozor.features.threats.ports.Scanner`."""
        # A row comes with its line feeds: expressions may ask for where it begins or ends.
        pairs = [
            (row, number)
            for row, line in enumerate(text.split(b"\n")[:-1])
            for number, pattern in enumerate(self._patterns)
            if pattern.search(b"\n" + line + b"\n")
        ]
        found = np.array(pairs, np.int64).reshape(-1, 2)
        return found[:, 0], found[:, 1]
