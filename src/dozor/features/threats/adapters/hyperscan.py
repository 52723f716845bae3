"""The scanner on Hyperscan, with its compiled database kept in the user's cache folder."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import stat
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import metadata
from pathlib import Path

import hyperscan
import numpy as np
from numpy.typing import NDArray

from dozor.kernel.errors import SettingsError
from dozor.kernel.i18n import _

_log = logging.getLogger(__name__)

_FLAGS = hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_MULTILINE
_ONE_DATABASE = 256
"""As many expressions and fewer go into one database, which scans quicker than several."""

_GROUPS = 8
"""Databases for more: compiling takes longer than in proportion (8.6 s for all in one, 1.9 s in 8)."""

_KEPT_SECONDS = 30 * 86_400
"""Compiled rules older than this go when newer ones are kept."""

_NUMBER_BITS = 16
"""An expression number and an end offset travel in one integer."""


class HyperscanScanner:
    """Scans with Hyperscan; the interpreter's lock is free while it does.

    Args:
        texts: What to look for, without look-around; fewer than 65,536.
        cache_dir: Folder for the compiled database, made with mode 0700 if absent; None compiles
            every time. A cache that cannot be read or written costs time, never a failure.
    """

    def __init__(self, texts: Sequence[str], *, cache_dir: Path | None = None) -> None:
        count = min(len(texts), 1 if len(texts) <= _ONE_DATABASE else _GROUPS)
        groups = [list(range(first, len(texts), count)) for first in range(count)]
        with ThreadPoolExecutor(os.cpu_count(), "dozor-compile") as pool:
            load = partial(_load, texts=texts, cache_dir=cache_dir)
            self._databases = list(pool.map(load, groups))
        self._scratches = [hyperscan.Scratch(database) for database in self._databases]
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
            for database, scratch in zip(self._databases, self._thread_scratches(), strict=True):
                database.scan(text, match_event_handler=keep, scratch=scratch)
        packed = np.unique(np.array(matches, np.int64))
        ends = packed >> _NUMBER_BITS
        numbers = packed & ((1 << _NUMBER_BITS) - 1)
        return _row_of(text, ends), numbers

    def _thread_scratches(self) -> list[hyperscan.Scratch]:
        scratches: list[hyperscan.Scratch] | None = getattr(self._local, "scratches", None)
        if scratches is None:
            scratches = self._local.scratches = [scratch.clone() for scratch in self._scratches]
        return scratches


def _row_of(text: bytes, ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """The row in which each match ends; `text` begins with a line feed that belongs to no row."""
    if not len(ends):
        return ends
    breaks = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
    # An end is the offset after a match's last byte, which may be the row's own line feed.
    return np.maximum(np.searchsorted(breaks, ends - 1) - 1, 0)


def _load(numbers: Sequence[int], *, texts: Sequence[str], cache_dir: Path | None) -> hyperscan.Database:
    chosen = [texts[number] for number in numbers]
    if cache_dir is None:
        return _compile(numbers, chosen)
    path = cache_dir / f"rules-{_key([*map(str, numbers), *chosen])}.hs"
    try:
        database = hyperscan.loadb(_read_private(path), hyperscan.HS_MODE_BLOCK)
    except (OSError, hyperscan.HyperscanError) as error:
        _log.debug("No compiled rules in the cache: %s.", error)
        database = _compile(numbers, chosen)
        _store(path, hyperscan.dumpb(database))
    return database


def _compile(numbers: Sequence[int], texts: Sequence[str]) -> hyperscan.Database:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    try:
        database.compile(
            expressions=[text.encode("latin-1") for text in texts],
            ids=numbers,
            elements=len(texts),
            flags=[_FLAGS] * len(texts),
        )
    except hyperscan.HyperscanError as error:
        if len(texts) == 1:
            raise SettingsError(
                _("Pattern '{pattern}' cannot be compiled for the scanner: {fact}.").format(
                    pattern=texts[0], fact=str(error).rstrip(".")
                ),
                hint=_("Write it more simply, and move the rest to `confirm`."),
            ) from error
        for number, text in zip(numbers, texts, strict=True):
            _compile([number], [text])  # raises for the one that is at fault
        raise
    return database


def _key(parts: Sequence[str]) -> str:
    version = metadata.version("hyperscan")
    known = (version, platform.machine(), str(_FLAGS), *parts)
    return hashlib.sha256("\0".join(known).encode()).hexdigest()[:32]


def _read_private(path: Path) -> bytes:
    """The file's bytes, if only this user can have written it: a database is native code's input."""
    with path.open("rb") as file:
        for status in (os.fstat(file.fileno()), path.parent.stat()):
            if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise PermissionError(f"{path} could have been written by others")
        return file.read()


def _store(path: Path, content: bytes) -> None:
    """Keep what was compiled, and forget what earlier rules left behind."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            written = Path(file.name)
            try:
                file.write(content)
                file.flush()
                written.replace(path)
            except OSError:
                written.unlink()
                raise
        for old in path.parent.glob("rules-*.hs"):
            if old.stat().st_mtime < time.time() - _KEPT_SECONDS:
                old.unlink()
    except OSError as error:
        _log.debug("Compiled rules are not kept in the cache: %s.", error)
