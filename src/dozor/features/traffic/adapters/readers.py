"""Bytes of a file by their place, whether it is plain or packed; opening one never blocks."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Protocol

from dozor.features.traffic.adapters.files import UnpackedFile, is_packed
from dozor.kernel.errors import JobError
from dozor.kernel.i18n import _

_STEP = 4 << 20


class Reader(Protocol):
    """An open file; places are after unpacking. Every call may raise OSError or JobError."""

    def status(self) -> os.stat_result:
        """What the system says of it."""

    def read(self, offset: int, size: int) -> bytes:
        """So many bytes from a place on; fewer at the end. Places only grow."""

    def head(self, size: int) -> bytes:
        """Its first bytes."""

    def close(self) -> None:
        """Let go of it."""


class Plain:
    """A file as it is; stays readable when it is renamed or deleted."""

    def __init__(self, path: Path) -> None:
        # A pipe would block without O_NONBLOCK until somebody writes to it.
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)

    def status(self) -> os.stat_result:
        """What the system says of it."""
        return os.fstat(self._fd)

    def read(self, offset: int, size: int) -> bytes:
        """So many bytes from a place on; fewer at the end."""
        got = os.pread(self._fd, size, offset)
        if 0 < len(got) < size:  # a read may be short of what is there
            got += os.pread(self._fd, size - len(got), offset + len(got))
        return got

    def head(self, size: int) -> bytes:
        """Its first bytes."""
        return os.pread(self._fd, size, 0)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._fd)


class Packed:
    """A packed file, read forwards; it does not grow."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._status = path.stat()
        self._file = UnpackedFile(path)
        self._held = b""
        self._place = 0
        self._failure: JobError | None = None

    def status(self) -> os.stat_result:
        """What the system says of it, as of its opening."""
        return self._status

    def read(self, offset: int, size: int) -> bytes:
        """Read on; whole lines before a damage are given, then it is raised."""
        while self._place + len(self._held) < offset + size and (more := self._more()):
            skipped = max(0, min(offset - self._place, len(self._held)))
            self._held = self._held[skipped:] + more
            self._place += skipped
        start = offset - self._place
        data = self._held[start : start + size]
        if self._failure is not None and b"\n" not in data:
            raise self._failure
        return data

    def _more(self) -> bytes:
        try:
            return b"" if self._failure else self._file.read(_STEP)
        except JobError as failure:
            self._failure = failure
            return b""

    def head(self, size: int) -> bytes:
        """Its first bytes, after unpacking."""
        return head_of(self._path, size)

    def close(self) -> None:
        """Let go of it."""
        self._file.close()


def head_of(path: Path, size: int) -> bytes:
    """The first bytes of a file, after unpacking.

    Raises:
        JobError: It cannot be read.
    """
    file = UnpackedFile(path)
    try:
        return file.read(size)
    finally:
        file.close()


def open_reader(path: Path) -> Plain | Packed:
    """Open a regular file.

    Raises:
        OSError: It cannot be opened.
        JobError: It is no regular file, or is packed and cannot be opened.
    """
    plain = Plain(path)
    regular = stat.S_ISREG(plain.status().st_mode)
    if regular and not is_packed(plain.head(8)):
        return plain
    plain.close()
    if not regular:
        raise no_regular_file(path)
    return Packed(path)


def no_regular_file(path: Path) -> JobError:
    """The error for people, for a folder, a pipe or a device."""
    return JobError(
        _("'{name}' is no regular file.").format(name=path),
        hint=_("Name the log itself; '-' reads standard input."),
    )
