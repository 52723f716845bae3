"""Bytes of logs from files and standard input, packed or not, cut at line ends.

Packing is told from the first bytes, never from the name. A thread reads and unpacks ahead of the
caller, so that both work at once; a bounded queue keeps memory flat.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import stat
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Thread
from typing import Protocol, TypeAlias, cast

import numpy as np

from dozor.features.traffic.model import Chunk
from dozor.kernel.errors import JobError
from dozor.kernel.i18n import _, ngettext

STDIN = "-"
"""The path that stands for standard input."""

CHUNK_BYTES = 16 << 20
"""Bytes of a chunk, after unpacking."""

LONGEST_LINE = 64 << 20
"""A longer line is cut: its beginning is delivered, the rest is dropped."""

_CUT_LINE = 64 << 10
_PACKED_READ = 1 << 20
_AHEAD = 2
_NEWLINE = ord("\n")


_File: TypeAlias = io.FileIO | io.BufferedIOBase

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FileChunk(Chunk):
    """A chunk that knows how far its file was read.

    Args:
        consumed: Bytes of the file, before unpacking, that were read for it and all before it.
    """

    consumed: int


def open_chunks(
    path: str | os.PathLike[str], *, size: int = CHUNK_BYTES, longest_line: int = LONGEST_LINE
) -> Iterator[FileChunk]:
    """Read a log by a thread, a few chunks ahead; line ends stay as they are.

    Args:
        path: A plain, gzip, zstd, bzip2 or xz file of one or several members, a pipe, or `-` for
            standard input.
        size: Bytes of a chunk, after unpacking; it grows only for a line that is longer.
        longest_line: A line with more bytes is cut, so that memory stays bounded.

    Yields:
        Chunks in order, none for an empty log. A line that is too long is a chunk of its own: its
        beginning, without a line end.

    Raises:
        JobError: The file is missing, a directory or unreadable; it is cut short or damaged, after
            the whole lines before that place were delivered.
    """
    return _read_ahead(_chunks(os.fspath(path), size, longest_line))


def input_size(path: str | os.PathLike[str]) -> int | None:
    """Tell how many bytes a log has before unpacking; a way to check it before it is read.

    Returns:
        The size of a file; None for standard input and pipes, which are not opened, since that
        would use them up.

    Raises:
        JobError: The file is missing, a directory or unreadable.
    """
    name = os.fspath(path)
    if name == STDIN:
        return None
    try:
        status = Path(name).stat()
    except OSError as error:
        raise unreadable(name, error) from error
    if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
        _open(name).close()  # fails for a directory and without permission
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def is_packed(head: bytes) -> bool:
    """Tell from its first bytes whether a file is packed."""
    return any(head.startswith(magic) for magic in _PACKINGS)


class UnpackedFile:
    """The unpacked bytes of a file from its beginning, without reading ahead.

    Args:
        path: A plain or packed file.

    Raises:
        JobError: The file is missing, a directory or unreadable.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._name = os.fspath(path)
        self._file = _open(self._name)
        self._packed = _Input(self._file)
        self._stream: _Readable | None = None
        self._failure: Exception | None = None

    def read(self, size: int) -> bytes:
        """Return the next bytes, fewer than `size` only at the end and before a failure.

        Raises:
            JobError: The file is cut short, damaged or cannot be read, and all before that is returned.
        """
        try:
            if self._stream is None:
                self._stream = _unpacked(self._packed)
        except OSError as error:
            raise unreadable(self._name, error) from error
        block, end = bytearray(), 0
        if self._failure is None:
            block, end, self._failure = _fill(self._stream, b"", size)
        if self._failure is not None and not end:
            raise _broken(self._name, self._failure, self._packed.consumed, 0) from self._failure
        return bytes(memoryview(block)[:end])

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _chunks(name: str, size: int, longest_line: int) -> Generator[FileChunk]:
    with _open(name) as file:
        yield from _cut(_Input(file), name, size, longest_line)


def _open(name: str) -> _File:
    try:
        return _standard_input() if name == STDIN else Path(name).open("rb", buffering=0)
    except OSError as error:
        raise unreadable(name, error) from error


def _standard_input() -> _File:
    # Past the buffer of sys.stdin: a reader thread in it would hold its lock when the program ends.
    try:
        descriptor = sys.stdin.fileno() if sys.stdin else 0
    except io.UnsupportedOperation:  # a stream in memory that a calling program put there
        return cast("io.BufferedIOBase", sys.stdin.buffer)
    return open(descriptor, "rb", buffering=0, closefd=False)


def unreadable(name: str, error: OSError) -> JobError:
    """The error for people, for a file that cannot be opened or read."""
    match error.errno:
        case errno.ENOENT:
            return JobError(
                _("'{name}': no such file.").format(name=_shown(name)),
                hint=_("Check the path; '-' reads standard input."),
            )
        case errno.EISDIR:
            return JobError(
                _("'{name}' is a directory.").format(name=_shown(name)),
                hint=_("Name the files in it, such as {folder}/*.log.").format(folder=name.rstrip("/")),
            )
        case errno.EACCES | errno.EPERM:
            return JobError(
                _("'{name}' cannot be read: permission denied.").format(name=_shown(name)),
                hint=_("Join the group that owns it (often adm), or run with sudo."),
            )
    return JobError(
        _("'{name}' cannot be read: {fact}.").format(name=_shown(name), fact=error.strerror or error),
        hint=_("Check the file and its disk."),
    )


def _broken(name: str, failure: Exception, place: int, whole_lines: int) -> JobError:
    """The error for people, for a failure at a byte of the source, before unpacking."""
    if isinstance(failure, OSError):
        return unreadable(name, failure)
    if isinstance(failure, _CutShortError):
        fact = _("'{name}' is cut short: its packed data breaks off at byte {place}.")
    else:
        fact = _("'{name}' is damaged: its packed data makes no sense before byte {place}.")
    whole = ngettext(
        "{count} line before that is whole.", "{count} lines before that are whole.", whole_lines
    ).format(count=whole_lines)
    advice = _("Copy the file again, or unpack what is left of it (zcat, zstdcat) and read that.")
    return JobError(fact.format(name=_shown(name), place=place), hint=f"{whole} {advice}")


def _shown(name: str) -> str:
    return _("standard input") if name == STDIN else name


class _Readable(Protocol):
    """Fills a buffer with the next bytes."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Return how many bytes were put at the buffer's beginning; 0 is the end."""


class _Input:
    """A file that can show its first bytes beforehand and counts what was read."""

    def __init__(self, file: _File) -> None:
        self._file = file
        self.consumed = 0
        self._head = b""

    def peek(self, count: int) -> bytes:
        """Show the first bytes, fewer only if there are no more; they are read again later."""
        while len(self._head) < count and (more := self._file.read(count - len(self._head))):
            self._head += more
        return self._head

    def readinto(self, buffer: memoryview, /) -> int:
        if self._head:
            count = min(len(self._head), len(buffer))
            buffer[:count] = self._head[:count]
            self._head = self._head[count:]
        else:
            count = self._file.readinto(buffer) or 0
        self.consumed += count
        return count

    def read(self, size: int) -> bytes:
        buffer = bytearray(size)
        count = self.readinto(memoryview(buffer))
        return bytes(memoryview(buffer)[:count])


class _CutShortError(Exception):
    """A packed file ends before its data does."""


class _DamagedError(Exception):
    """Packed data cannot be unpacked."""


class _Decompressor(Protocol):
    """The interface that the standard library's decompressors share."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes: ...


def _gzip() -> tuple[Callable[[], _Decompressor], type[Exception]]:
    from isal import igzip_lib  # noqa: PLC0415 - only packed logs pay for it

    # 1,150 MB/s, where zlib does 320, zlib-ng 560 and Arrow 550 (10x packed access log, one core).
    # Its stubs take the error's class for an instance.
    failure = cast("type[Exception]", igzip_lib.IsalError)
    return partial(igzip_lib.IgzipDecompressor, igzip_lib.DECOMP_GZIP), failure


def _zstd() -> tuple[Callable[[], _Decompressor], type[Exception]]:
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415 - only packed logs pay for it
    else:
        from backports import zstd  # noqa: PLC0415 - only packed logs pay for it

    return zstd.ZstdDecompressor, zstd.ZstdError


def _bzip2() -> tuple[Callable[[], _Decompressor], type[Exception]]:
    import bz2  # noqa: PLC0415 - only packed logs pay for it

    return bz2.BZ2Decompressor, OSError


def _xz() -> tuple[Callable[[], _Decompressor], type[Exception]]:
    import lzma  # noqa: PLC0415 - only packed logs pay for it

    return lzma.LZMADecompressor, lzma.LZMAError


_PACKINGS = {
    b"\x1f\x8b\x08": _gzip,
    b"\x28\xb5\x2f\xfd": _zstd,
    b"BZh": _bzip2,
    b"\xfd7zXZ\x00": _xz,
}


def _unpacked(packed: _Input) -> _Readable:
    head = packed.peek(max(map(len, _PACKINGS)))
    for magic, load in _PACKINGS.items():
        # A file that ends within its magic number is cut short, and not a log of two bytes.
        if head.startswith(magic) or (len(head) > 1 and magic.startswith(head)):
            return _Unpacked(packed, *load())
    return packed


class _Unpacked:
    """The unpacked bytes of a file of one or several members."""

    def __init__(self, packed: _Input, new: Callable[[], _Decompressor], failure: type[Exception]) -> None:
        self._packed = packed
        self._new = new
        self._failure = failure
        self._member = new()
        self._waiting = b""

    def readinto(self, buffer: memoryview, /) -> int:
        data = b""
        while not data:
            if self._member.eof and not self._next_member():
                return 0
            if self._member.needs_input and not self._waiting:
                self._waiting = self._packed.read(_PACKED_READ)
                if not self._waiting:
                    raise _CutShortError
            data = self._unpack(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _unpack(self, at_most: int) -> bytes:
        waiting, self._waiting = self._waiting, b""
        try:
            return self._member.decompress(waiting, at_most)
        except (self._failure, EOFError) as error:
            raise _DamagedError from error

    def _next_member(self) -> bool:
        """Go on to the next member; zero bytes between members are padding."""
        self._waiting = self._member.unused_data.lstrip(b"\0")
        while not self._waiting:
            more = self._packed.read(_PACKED_READ)
            if not more:
                return False
            self._waiting = more.lstrip(b"\0")
        self._member = self._new()
        return True


def _cut(packed: _Input, name: str, size: int, longest_line: int) -> Generator[FileChunk]:
    """Cut the unpacked bytes at line ends; a failure is told after the whole lines before it."""
    try:
        stream = _unpacked(packed)
    except OSError as error:
        raise unreadable(name, error) from error
    offset, line = 0, 1
    rest = b""  # the beginning of a line whose end was not read yet
    ended = dropping = False
    failure: Exception | None = None
    while not ended:
        # Doubling keeps the copying of a very long line in proportion to its length.
        room = max(size, min(len(rest), longest_line - len(rest)))
        block, end, failure = _fill(stream, rest, room)
        ended = end < len(block)
        start = 0
        if dropping:
            start = block.find(b"\n", 0, end) + 1
            rest = b""
            offset += start or end
            if not start:
                continue
            line += 1
            dropping = False
        stop = end if ended and not failure else max(start, block.rfind(b"\n", 0, end) + 1)
        if stop > start:
            data = memoryview(block)[start:stop].toreadonly()
            yield FileChunk(data, offset, line, packed.consumed)
            offset += len(data)
            line += _count_lines(data)
        if end - stop > longest_line:
            _logger.warning("Line %d of %s is longer than %d bytes and is cut.", line, name, longest_line)
            yield FileChunk(bytes(block[stop : stop + _CUT_LINE]), offset, line, packed.consumed)
            offset += end - stop
            dropping = True
        rest = b"" if dropping else bytes(memoryview(block)[stop:end])
    if failure:
        raise _broken(name, failure, packed.consumed, line - 1) from failure


def _fill(stream: _Readable, rest: bytes, room: int) -> tuple[bytearray, int, Exception | None]:
    """Read a block of `rest` and `room` more bytes; it is not full where the stream ends or fails.

    Returns:
        The block, the end of what is in it, and the failure.
    """
    block = bytearray(len(rest) + room)
    block[: len(rest)] = rest
    view = memoryview(block)
    end = len(rest)
    try:
        while end < len(block) and (count := stream.readinto(view[end:])):
            end += count
    except (_CutShortError, _DamagedError, OSError) as failure:
        return block, end, failure
    return block, end, None


def _count_lines(data: memoryview) -> int:
    # NumPy counts in 2.0 ms per 8 MiB and lets other threads run; bytes.count takes 2.9 ms and does not.
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == _NEWLINE))


def _read_ahead(chunks: Generator[FileChunk]) -> Generator[FileChunk]:
    """Run a generator in a thread, a few items ahead; ending early ends the thread and closes it."""
    ready: Queue[FileChunk | Exception | None] = Queue(_AHEAD)
    enough = Event()

    def read() -> None:
        last: Exception | None = None
        try:
            for chunk in chunks:
                ready.put(chunk)
                if enough.is_set():
                    break
        except Exception as error:  # noqa: BLE001 - raised again in the thread that waits for it
            last = error
        finally:
            chunks.close()
            ready.put(last)

    # In the caller's context, so that errors speak its language. A daemon, since a read from a
    # silent terminal cannot be ended.
    Thread(target=copy_context().run, args=(read,), name="dozor-read-ahead", daemon=True).start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        enough.set()
        with suppress(Empty):  # makes room for a reader that waits for it
            while True:
                ready.get_nowait()
