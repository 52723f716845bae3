"""The scanner on Hyperscan, with its compiled database kept in the user's cache folder."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import stat
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import hyperscan
import numpy as np
from numpy.typing import NDArray

_log = logging.getLogger(__name__)

_FLAGS = hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_MULTILINE
_NUMBER_BITS = 16
"""An expression number and an end offset travel in one integer."""


class HyperscanScanner:
    """Scans with Hyperscan; the interpreter's lock is free while it does.

    Args:
        expressions: What to look for, without look-around; fewer than 65,536.
        cache_dir: Folder for the compiled database, made with mode 0700 if absent; None compiles
            every time. A cache that cannot be read or written costs time, never a failure.
    """

    def __init__(self, expressions: Sequence[str], *, cache_dir: Path | None = None) -> None:
        self._database = _load(expressions, cache_dir)
        self._scratch = hyperscan.Scratch(self._database)
        self._local = threading.local()

    def scan(self, text: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """See `ports.Scanner`."""
        matches: list[int] = []
        append = matches.append

        def keep(number: int, _start: int, end: int, _flags: int, _context: object) -> None:
            append(end << _NUMBER_BITS | number)

        if text:
            # The line feed before the first row: expressions may ask for where a row begins.
            text = b"\n" + text
            self._database.scan(text, match_event_handler=keep, scratch=self._thread_scratch())
        packed = np.unique(np.array(matches, np.int64))
        ends = packed >> _NUMBER_BITS
        numbers = packed & ((1 << _NUMBER_BITS) - 1)
        return _row_of(text, ends), numbers

    def _thread_scratch(self) -> hyperscan.Scratch:
        scratch = getattr(self._local, "scratch", None)
        if scratch is None:
            scratch = self._local.scratch = self._scratch.clone()
        return scratch


def _row_of(text: bytes, ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """The row in which each match ends; `text` begins with a line feed that belongs to no row."""
    if not len(ends):
        return ends
    breaks = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
    # An end is the offset after a match's last byte, which may be the row's own line feed.
    return np.maximum(np.searchsorted(breaks, ends - 1) - 1, 0)


def _load(expressions: Sequence[str], cache_dir: Path | None) -> hyperscan.Database:
    if cache_dir is None:
        return _compile(expressions)
    path = cache_dir / f"rules-{_key(expressions)}.hs"
    try:
        database = hyperscan.loadb(_read_private(path), hyperscan.HS_MODE_BLOCK)
    except (OSError, hyperscan.HyperscanError) as error:
        _log.debug("No compiled rules in the cache: %s.", error)
        database = _compile(expressions)
        _store(path, database)
    return database


def _compile(expressions: Sequence[str]) -> hyperscan.Database:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[expression.encode("latin-1") for expression in expressions],
        ids=list(range(len(expressions))),
        elements=len(expressions),
        flags=[_FLAGS] * len(expressions),
    )
    return database


def _key(expressions: Sequence[str]) -> str:
    parts = (hyperscan.__version__, platform.machine(), str(_FLAGS), *expressions)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _read_private(path: Path) -> bytes:
    """The file's bytes, if only this user can have written it: a database is native code's input."""
    with path.open("rb") as file:
        for status in (os.fstat(file.fileno()), path.parent.stat()):
            if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise PermissionError(f"{path} could have been written by others")
        return file.read()


def _store(path: Path, database: hyperscan.Database) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(hyperscan.dumpb(database))
        Path(file.name).replace(path)
    except (OSError, hyperscan.HyperscanError) as error:
        _log.debug("Compiled rules are not kept in the cache: %s.", error)
