"""Checkpoints that forget when the process ends, for tests and for sources that cannot be read again."""

from __future__ import annotations

from threading import Lock

from dozor.features.traffic.model import Mark


class InMemoryCheckpoints:
    """Marks in a dictionary."""

    def __init__(self) -> None:
        self._marks: dict[str, Mark] = {}
        self._lock = Lock()

    def marks(self, source: str) -> tuple[Mark, ...]:
        """The marks of a source, the one saved last at the end."""
        with self._lock:
            return tuple(mark for mark in self._marks.values() if mark.source == source)

    def save(self, mark: Mark) -> None:
        """Put a mark in the place of the one of the same file."""
        with self._lock:
            self._marks.pop(mark.file, None)
            self._marks[mark.file] = mark
