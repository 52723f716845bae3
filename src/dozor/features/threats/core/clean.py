"""Remembers which values were found clean, so that most of the next batch need not be scanned."""

from __future__ import annotations

import secrets

import numpy as np
import polars as pl
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]


class CleanValues:
    """A table of 64-bit hashes, one per slot: bounded, and a newer value takes an older one's slot.

    A value that was never seen is taken for a known one with a chance of 2**-63, and the seed is
    secret, so that nobody can look for such a value. Threads may use it at the same time: what one
    of them overwrites is only forgotten.

    Args:
        slots: Size of the table, a power of two; 8 bytes each.
    """

    def __init__(self, slots: int = 1 << 19) -> None:
        self._table = np.zeros(slots, np.uint64)
        self._mask = np.uint64(slots - 1)
        self._seed = secrets.randbits(63)

    def hashes(self, values: pl.Series) -> Hashes:
        """Hashes of text or binary values, never zero: zero is an empty slot."""
        hashed = values.hash(self._seed).to_numpy() | np.uint64(1)
        return np.asarray(hashed, np.uint64)

    def holds(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Where a value is known to be clean."""
        known: NDArray[np.bool_] = self._table[self._slots(hashes)] == hashes
        return known

    def add(self, hashes: Hashes) -> None:
        """Remember that the values of these hashes are clean."""
        self._table[self._slots(hashes)] = hashes

    def _slots(self, hashes: Hashes) -> Hashes:
        slots: Hashes = hashes >> np.uint64(1) & self._mask  # the lowest bit is the same in all
        return slots
