"""Lines from where nothing can be read again: first written to a log of our own, then followed there.

    receiver thread > spool folder/NAME.log > TailSource > ingest; a file that is stored is deleted

A line that is in the spool survives a killed process. It is not forced to the disk line by line, so a
power failure may take the last seconds; a sender that has to outlive that keeps a file of its own.
"""

from __future__ import annotations

import glob
import logging
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

from dozor.features.traffic.adapters.files import unreadable
from dozor.features.traffic.adapters.readers import open_reader
from dozor.features.traffic.adapters.rotation import identity
from dozor.features.traffic.adapters.tail import TailSource, begins_as
from dozor.features.traffic.model import Arrival, Followed, Mark

SEGMENT_BYTES = 64 << 20
"""A file of the spool is closed at this size, and deleted when it is stored."""

MOST_BYTES = 1 << 30
"""More is not taken from senders while the store is away."""

_MOST_NAMES = 32
_OTHER = "other"
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_SETTLE, _LINGER, _LOOK = 0.5, 1.0, 0.1  # nobody else writes here
_MODE = 0o640

_logger = logging.getLogger(__name__)


class Spool:
    """Logs that are appended to, in a folder of their own; used by one thread, but for `delete`.

    Args:
        folder: Made when it is not there.
        segment: Bytes as `SEGMENT_BYTES`.
        most: Bytes as `MOST_BYTES`.
    """

    def __init__(self, folder: Path, *, segment: int = SEGMENT_BYTES, most: int = MOST_BYTES) -> None:
        self._folder, self._segment, self._most = folder, segment, most
        self._files: dict[str, tuple[int, int]] = {}
        self._pending: list[tuple[str, bytes]] = []
        self._naming = threading.Lock()
        self.problem = ""

    def write(self, lines: Mapping[str, bytes]) -> None:
        """Append whole lines to logs by name; what cannot be written waits for `retry`."""
        self._pending.extend((self._known(name), data) for name, data in lines.items())
        self.retry()

    def retry(self) -> None:
        """Write what could not be written before."""
        try:
            while self._pending:
                name, data = self._pending.pop(0)
                self._append(name, data)
            self.problem = ""
        except OSError as error:
            if not self.problem:
                _logger.warning("%s", unreadable(str(self._folder), error))
            self.problem = str(unreadable(str(self._folder), error))

    def takes(self) -> bool:
        """Whether more can be written for now.

        When there is no room the present files are closed: only then are they deleted once they are stored.
        """
        if self._pending:
            return False
        if self.size() < self._most:
            return True
        self._close_present()
        return False

    def size(self) -> int:
        """Bytes that are not stored yet, and those of the present files."""
        try:
            return sum(entry.stat().st_size for entry in os.scandir(self._folder))
        except OSError:
            return 0

    def _known(self, name: str) -> str:
        """A name that is safe for a file; there are not more than a few, whatever senders write."""
        name = _UNSAFE.sub("_", name)[:48] or _OTHER
        return name if name in self._files or len(self._files) < _MOST_NAMES else _OTHER

    def _append(self, name: str, data: bytes) -> None:
        try:
            fd, size = self._open(name)
            while data:
                count = os.write(fd, data)
                data, size = data[count:], size + count
                self._files[name] = fd, size
        except OSError:
            self._pending.insert(0, (name, data))
            raise
        if size >= self._segment:
            self._rotate(name)

    def _open(self, name: str) -> tuple[int, int]:
        if name not in self._files:
            self._folder.mkdir(parents=True, exist_ok=True)
            fd = os.open(self._path(name), os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
            size = os.fstat(fd).st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":  # cut off in the middle of a line
                size += os.write(fd, b"\n")
            self._files[name] = fd, size
        return self._files[name]

    def _close_present(self) -> None:
        with suppress(OSError):  # the next look tries again
            for path in self._folder.glob("*.log"):  # those of earlier processes, too
                if path.stat().st_size:
                    self._rotate(path.stem)
                    self._open(path.stem)  # beside a younger file it is known to be closed

    def _rotate(self, name: str) -> None:
        path = self._path(name)
        with self._naming:
            numbers = [
                number for number in range(1, 10_000) if path.with_name(f"{path.name}.{number}").exists()
            ]
            for number in reversed(numbers):
                path.with_name(f"{path.name}.{number}").rename(path.with_name(f"{path.name}.{number + 1}"))
            path.rename(path.with_name(f"{path.name}.1"))
        if name in self._files:
            os.close(self._files.pop(name)[0])

    def delete(self, mark: Mark) -> None:
        """Delete the closed file of a mark; not one that took its identity since."""
        with self._naming:  # or its name may be another file's by then
            for path in self._folder.glob("*.log.*"):
                status = path.stat()
                if identity(status) == (mark.device, mark.inode) and status.st_size <= mark.offset:
                    with closing(open_reader(path)) as reader:
                        known = begins_as(reader, mark)
                    if known:
                        path.unlink()

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def close(self) -> None:
        """Close all files."""
        for fd, _size in self._files.values():
            os.close(fd)
        self._files.clear()


class SpooledSource:
    """A source whose lines are received by a thread and followed in a spool.

    Args:
        name: What people call it.
        folder: Of its spool.
        title: What people call a log in it, by its name in the spool.
        receive: Receives into the spool until the event is set; called in a thread.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        title: Callable[[str], str],
        receive: Callable[[Spool, threading.Event], None],
    ) -> None:
        self._name, self._folder, self._receive = name, folder, receive
        self._tail = TailSource(
            Path(glob.escape(str(folder))) / "*.log*",
            name=name,
            title=lambda file: title(file.removesuffix(".log")),
            settle=_SETTLE,
            linger=_LINGER,
            look=_LOOK,
        )
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._spool = Spool(folder)
        self._broken = ""

    @property
    def name(self) -> str:
        """What people call it."""
        return self._name

    def open(self, marks: Sequence[Mark]) -> None:
        """Begin to receive, and to follow where these marks say."""
        self._ending.clear()
        self._spool, self._broken = Spool(self._folder), ""
        self._tail.open(marks)
        for mark in marks:  # of an earlier process, which was killed before it could
            self.stored(mark)
        self._thread = threading.Thread(target=self._run, name=f"dozor-{self._name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._receive(self._spool, self._ending)
        except Exception as error:
            _logger.exception("%s receives nothing any more.", self._name)
            self._broken = f"{type(error).__name__}: {error}"
        finally:
            self._spool.close()

    def scan(self) -> None:
        """Look what was received."""
        self._tail.scan()

    def next(self, limit: int) -> Arrival | None:
        """The next lines that were received."""
        return self._tail.next(limit)

    def stored(self, mark: Mark) -> None:
        """Delete a file of the spool that is stored."""
        if mark.finished:
            self._spool.delete(mark)

    def followed(self) -> Sequence[Followed]:
        """The logs in the spool; itself when there are none yet."""
        problem = self._broken or self._spool.problem
        return [
            Followed(log.name, log.offset, log.size, log.unread, problem or log.reason)
            for log in self._tail.followed() or [Followed(self._name)]
        ]

    def close(self) -> None:
        """Receive no more; what is in the spool comes after the next `open`."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._tail.close()
