"""Checkpoints in a small SQLite file of their own.

One row per file holds how far it is stored and, while an insert is under way, the end of the range
being inserted (the intent). The order intent > insert > mark makes every line stored once:

    killed after         the next start                              the store
    intent               reads the same range, same token            keeps it
    insert               reads the same range, same token            knows the token, keeps nothing twice
    mark                 reads on behind it                          -

The write-ahead log survives a killed process whatever the setting. Against power failure an intent
is forced to the disk (synchronous=FULL) before the insert may begin, since an insert without a known
intent would be repeated under another token; a mark is not (NORMAL), since losing it only repeats an
insert under the same token. What the store itself promises on power failure is the store's matter.

A range is cut once and stays what it was, but another version of Dozor may find more in its lines.
The store goes by the token alone: the first insert that it kept wins, and nothing is doubled.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, fields
from pathlib import Path
from threading import Lock

from dozor.features.traffic.model import Mark
from dozor.kernel.errors import UnavailableError
from dozor.kernel.i18n import _

FINISHED_KEPT = 256
"""Finished files of a log that are remembered, so that a packed one is not taken for a new one."""

_BUSY_SECONDS = 10.0
_VERSION = 1
_COLUMNS = tuple(field.name for field in fields(Mark))
_SCHEMA = """
CREATE TABLE marks (
    file TEXT PRIMARY KEY,
    log TEXT NOT NULL,
    name TEXT NOT NULL,
    device INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    head_size INTEGER NOT NULL,
    head TEXT NOT NULL,
    modified INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    line INTEGER NOT NULL,
    "end" INTEGER,
    format TEXT NOT NULL,
    finished INTEGER NOT NULL,
    saved INTEGER NOT NULL
) STRICT;
CREATE INDEX marks_by_age ON marks (saved);
"""
_QUOTED = ", ".join(f'"{name}"' for name in _COLUMNS)
_SAVE = (
    f"INSERT OR REPLACE INTO marks ({_QUOTED}, saved) VALUES ({', '.join('?' * len(_COLUMNS))}, "  # noqa: S608 - names of our own
    "(SELECT coalesce(max(saved), 0) + 1 FROM marks))"
)
_LOAD = f"SELECT {_QUOTED} FROM marks ORDER BY saved"  # noqa: S608 - names of our own
_PRUNE = """
DELETE FROM marks WHERE file IN (
    SELECT file FROM (
        SELECT file, row_number() OVER (PARTITION BY log ORDER BY saved DESC) AS age FROM marks WHERE finished
    ) WHERE age > ?
)
"""


class SqliteCheckpoints:
    """Marks in a SQLite file, which one process at a time may use.

    Args:
        path: The file; it is made when it is not there, its folder must be.

    Raises:
        UnavailableError: It cannot be opened or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        with self._told():
            self._db = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        try:
            with self._told():
                self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise UnavailableError(
                _("'{path}' was written by a newer Dozor.").format(path=self._path),
                hint=_("Start that version again, or move the file away to read all logs anew."),
            )
        if version < _VERSION:
            self._db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")

    def marks(self) -> tuple[Mark, ...]:
        """All marks, the one saved last at the end; of the finished ones of a log the latest.

        Raises:
            UnavailableError: They cannot be read for now.
        """
        with self._lock, self._told():
            self._db.execute(_PRUNE, (FINISHED_KEPT,))
            rows = self._db.execute(_LOAD).fetchall()
        return tuple(_mark(row) for row in rows)

    def save(self, mark: Mark) -> None:
        """Put a mark in the place of the one of the same file; one with an intent onto the disk.

        Raises:
            UnavailableError: It could not be written for now, as on a full disk.
        """
        with self._lock, self._told():
            self._db.execute(f"PRAGMA synchronous = {'NORMAL' if mark.end is None else 'FULL'}")
            self._db.execute(_SAVE, astuple(mark))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what SQLite says into words."""
        try:
            yield
        except sqlite3.Error as error:
            raise UnavailableError(
                _("Checkpoints cannot be kept in '{path}': {fact}.").format(path=self._path, fact=error),
                hint=_("Check the space on its disk and who may write there."),
            ) from error


def _mark(row: tuple[object, ...]) -> Mark:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["finished"] = bool(values["finished"])
    return Mark(**values)  # type: ignore[arg-type] # the table is STRICT
