"""Checkpoints that forget when the process ends, for tests and for sources that cannot be read again."""

from __future__ import annotations

from threading import Lock

from dozor.features.traffic.model import Mark


class InMemoryCheckpoints:
    """Marks in a dictionary."""

    def __init__(self) -> None:
        self._marks: dict[str, Mark] = {}
        self._lock = Lock()

    def marks(self) -> tuple[Mark, ...]:
        """All marks, the one saved last at the end."""
        with self._lock:
            return tuple(self._marks.values())

    def save(self, mark: Mark) -> None:
        """Put a mark in the place of the one of the same file."""
        with self._lock:
            self._marks.pop(mark.file, None)
            self._marks[mark.file] = mark
