"""A bounded memory of what was found out about values, looked up for whole columns at once.

Most values of a log come again: pages, clients, agents. A value is kept as its 64-bit hash, so that
a column of them is looked up by arithmetic, without a look at the values themselves.
"""

from __future__ import annotations

import secrets
import threading

import numpy as np
import polars as pl
from numpy.typing import NDArray

from dozor.columns.spans import Bools

Hashes = NDArray[np.uint64]
Codes = NDArray[np.int32]

UNKNOWN = -1
"""The code of a value that is not remembered."""


class ValueMemory:
    """Remembers a small number for each value; a newer value takes an older one's slot.

    A value that was never seen is taken for a known one with a chance of 2**-63, and the seed is
    secret, so that nobody can look for such a value. Safe for threads.

    Args:
        slots: Size of the table, a power of two; 12 bytes each.
    """

    def __init__(self, slots: int = 1 << 19) -> None:
        self._hashes = np.zeros(slots, np.uint64)
        self._codes = np.zeros(slots, np.int32)
        self._mask = np.uint64(slots - 1)
        self._seed = secrets.randbits(63)
        self._lock = threading.Lock()

    def hashes(self, values: pl.Series) -> Hashes:
        """Hashes of text or binary values, never zero: zero is an empty slot."""
        hashed = values.hash(self._seed).to_numpy() | np.uint64(1)
        return np.asarray(hashed, np.uint64)

    def recall(self, hashes: Hashes) -> Codes:
        """The number of each value, or `UNKNOWN`: int32, shape (n,)."""
        slots = self._slots(hashes)
        with self._lock:  # else a number could belong to the value that a thread is just putting there
            known: Bools = self._hashes[slots] == hashes
            codes = self._codes[slots]
        return np.where(known, codes, np.int32(UNKNOWN))

    def remember(self, hashes: Hashes, codes: Codes | int) -> None:
        """Keep a number (0 or more) for each value, or the same for all."""
        slots = self._slots(hashes)
        with self._lock:
            # Of two values for one slot numpy keeps the last, in both arrays.
            self._hashes[slots] = hashes
            self._codes[slots] = codes

    def _slots(self, hashes: Hashes) -> Hashes:
        slots: Hashes = hashes >> np.uint64(1) & self._mask  # the lowest bit is the same in all
        return slots
