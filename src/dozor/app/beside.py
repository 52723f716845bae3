"""Count chunks of a report in further processes beside this one.

Threads share the work of one process badly here: between two steps on columns each of them wants the
interpreter, and two threads did 1.05 to 1.5 times the work of one where two processes do nearly twice.

A helper is this module, started as a program while this process still imports what it needs. They talk
over pipes; a plain file is read by the helper itself. A helper that fails or is killed costs time,
never a count: its chunk is counted here.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a helper is started before anything large is imported
    from dozor.app.settings import Settings
    from dozor.features.traffic.core.formats import Format
    from dozor.features.traffic.model import Chunk, Filters
    from dozor.features.traffic.service import CountChunk, Counted

WORTH_BYTES = 48 << 20
"""Smaller logs are counted before a helper is ready."""

_GRACE = 5.0  # seconds that a helper gets to end when its pipe is closed

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a chunk stands in a plain file: device and inode tell whether it is still that file."""

    path: str
    identity: tuple[int, int]
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class _Task:
    place: _Place | None
    data: bytes
    offset: int
    first_line: int
    format: Format
    source: str


class Helper:
    """A process that counts one chunk at a time.

    Args:
        settings: From which it builds the pipeline.
        log_format: The format that the user named, or None.
    """

    def __init__(self, settings: Settings, log_format: str | None) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - this module, run by this interpreter
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdin is not None  # noqa: S101 - tells mypy what PIPE means
        assert self._process.stdout is not None  # noqa: S101
        self._send = Connection(os.dup(self._process.stdin.fileno()), readable=False)
        self._receive = Connection(os.dup(self._process.stdout.fileno()), writable=False)
        self._process.stdin.close()
        self._process.stdout.close()
        self._send.send((settings, log_format))

    def begin(self, filters: Filters) -> None:
        """Say which requests to count; to be said once, before the first chunk."""
        self._send.send(filters)

    def count(self, task: _Task) -> Counted | None:
        """Count a chunk; None when its file is another one now.

        Raises:
            EOFError, OSError: The helper is gone.
        """
        self._send.send(task)
        counted: Counted | None = self._receive.recv()
        return counted

    def end(self) -> None:
        """Let it end; wait for it."""
        self._send.close()
        self._receive.close()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def helpers_for(files: Sequence[str], settings: Settings, log_format: str | None) -> Iterator[list[Helper]]:
    """Start helpers where the logs are large enough for them to pay, one fewer than there are workers."""
    worth = settings.traffic.workers > 1 and sum(map(_plain_size, files)) >= WORTH_BYTES
    started: list[Helper] = []
    try:
        for _ in range(settings.traffic.workers - 1 if worth else 0):
            with suppress(OSError):  # without helpers this process does it alone
                started.append(Helper(settings, log_format))
        yield started
    finally:
        for helper in started:
            helper.end()


def _plain_size(name: str) -> int:
    try:
        path = Path(name)
        return path.stat().st_size if path.is_file() else 0
    except OSError:  # told where the logs are opened
        return 0


def shared(here: CountChunk, helpers: Sequence[Helper], filters: Filters) -> CountChunk:
    """Count chunks by whichever is free: this process or one of the helpers."""
    if not helpers:
        return here
    free: SimpleQueue[CountChunk] = SimpleQueue()
    free.put(here)
    for helper in helpers:
        try:
            helper.begin(filters)
        except OSError as error:
            _log.warning("A helper process is gone: %s. This process counts alone.", error)
            continue
        free.put(_Way(helper, here))

    def count(chunk: Chunk, format_: Format, source: str) -> Counted:
        way = free.get()
        try:
            return way(chunk, format_, source)
        finally:
            free.put(way)

    return count


class _Way:
    """Counts by a helper; here, from the first time on that the helper cannot."""

    def __init__(self, helper: Helper, here: CountChunk) -> None:
        self._helper: Helper | None = helper
        self._here = here

    def __call__(self, chunk: Chunk, format_: Format, source: str) -> Counted:
        if self._helper is not None:
            try:
                counted = self._helper.count(_task(chunk, format_, source))
            except (EOFError, OSError) as error:
                _log.warning("A helper process is gone: %r. Its chunk is counted again.", error)
                self._helper = None
            else:
                if counted is not None:
                    return counted
        return self._here(chunk, format_, source)


def _task(chunk: Chunk, format_: Format, source: str) -> _Task:
    place = _place(chunk, source)
    data = b"" if place else bytes(chunk.data)
    return _Task(place, data, chunk.offset, chunk.first_line, format_, source)


def _place(chunk: Chunk, source: str) -> _Place | None:
    """The chunk's place in its file, if the bytes there are the chunk's."""
    try:
        with Path(source).open("rb") as file:
            status = os.fstat(file.fileno())
            file.seek(chunk.offset)
            if file.read(_SAMPLE) != bytes(chunk.data[:_SAMPLE]) or not Path(source).is_file():
                return None
    except OSError:
        return None
    return _Place(source, (status.st_dev, status.st_ino), chunk.offset, len(chunk.data))


_SAMPLE = 4_096  # what is packed differs from what was unpacked in its first bytes


def _serve() -> None:
    """Be a helper: answer tasks until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who asked ends it
    # Nothing else may write into the pipe.
    tasks, answers = Connection(os.dup(0), writable=False), Connection(os.dup(1), readable=False)
    os.dup2(2, 1)
    with suppress(EOFError, BrokenPipeError):
        settings, log_format = tasks.recv()
        count = _counter(settings, log_format)
        filters = tasks.recv()
        while True:
            answers.send(_answer(partial(count, filters), tasks.recv()))


def _counter(settings: Settings, log_format: str | None) -> Callable[..., Counted]:
    from dozor.app.pipeline import build_pipeline
    from dozor.features.traffic.service import count_chunk

    return partial(count_chunk, build_pipeline(settings, log_format))


def _answer(count: CountChunk, task: _Task) -> Counted | None:
    from dozor.features.traffic.model import Chunk

    data: bytes | bytearray = task.data
    if task.place is not None:
        found = _read(task.place)
        if found is None:
            return None
        data = found
    return count(Chunk(data, task.offset, task.first_line), task.format, task.source)


def _read(place: _Place) -> bytearray | None:
    """The bytes at that place; None when the file is another one or shorter now."""
    data = bytearray(place.length)
    try:
        with Path(place.path).open("rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            file.seek(place.offset)
            whole = file.readinto(data) == place.length
    except OSError:
        return None
    return data if whole and (status.st_dev, status.st_ino) == place.identity else None


if __name__ == "__main__":
    _serve()
    os._exit(0)  # nothing is left to write, and tidying up takes longer than it is worth
