"""Receive logs by syslog, as nginx sends them (`access_log syslog:server=127.0.0.1:5514`), by UDP and TCP.

    <190>Nov 24 22:10:00 web1 nginx: 203.0.113.9 - - [24/Nov/2026:22:10:00 +0000] "GET / ...      RFC 3164
    <190>1 2026-11-24T22:10:00Z web1 nginx 811 - - 203.0.113.9 - - [24/Nov/2026:22:10:00 ...      RFC 5424

The message alone is kept, in a log by its tag; messages of nginx's error log go to one of their own. By
TCP a message ends at a line end, or its length stands before it (RFC 6587). A sender by TCP waits while
nothing can be taken; a datagram that finds no room is lost, and nobody can know.
"""

from __future__ import annotations

import logging
import re
import selectors
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from dozor.features.traffic.adapters.spool import Spool, SpooledSource
from dozor.features.traffic.model import Mark
from dozor.kernel.errors import JobError
from dozor.kernel.i18n import _

LONGEST_MESSAGE = 256 << 10
"""Whoever sends a longer one by TCP is disconnected; a datagram is shorter anyway."""

MOST_SENDERS = 256
"""Connections at the same time."""

Protocol = Literal["udp", "tcp"]

_RECEIVE_BUFFER = 8 << 20  # datagrams that the system holds while the process is busy
_READ = 1 << 18
_POLL = 0.2
_AT_ONCE = 2000
_LAST_TURNS = 50

_3164 = re.compile(
    rb"<\d{1,3}>(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d (?:\S+ )??)?([\w./-]{1,48})(?:\[\d+\])?: ?(.*)",
    re.DOTALL,
)
_5424 = re.compile(
    rb"<\d{1,3}>1 \S+ \S+ (\S{1,48}) \S+ \S+ "
    rb'(?:-|(?:\[(?:[^\]\\"]|"(?:[^"\\]|\\.)*"|\\.)*\])+)(?: (?:\xef\xbb\xbf)?(.*))?',
    re.DOTALL,
)
_PRIORITY = re.compile(rb"<\d{1,3}>")
_ERROR = re.compile(rb"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[")
_LENGTH = re.compile(rb"(\d{1,9}) ")
_DIGITS = re.compile(rb"\d{1,9}")

_logger = logging.getLogger(__name__)


def read_message(data: bytes) -> tuple[str, bytes]:
    """Take a syslog message apart.

    Args:
        data: One message without framing.

    Returns:
        Its tag, with `-error` behind it for a line of nginx's error log, and the line in it. What is no
        syslog is a line as a whole, with the tag `other`.
    """
    match = _5424.fullmatch(data) or _3164.fullmatch(data)
    if match is not None:
        tag, line = match[1].decode("utf-8", "replace"), match[2] or b""
    else:
        tag, line = "other", _PRIORITY.sub(b"", data, count=1)
    line = line.rstrip(b"\r\n\0").replace(b"\r", b"\\x0D").replace(b"\n", b"\\x0A")
    return (f"{tag}-error" if _ERROR.match(line) else tag), line


def cut_frames(data: bytes) -> tuple[list[bytes], bytes]:
    """Cut what came by TCP into messages; a frame that begins with a digit and a space tells its length.

    Returns:
        Whole messages, and the rest, which is shorter than `LONGEST_MESSAGE`.

    Raises:
        ValueError: A message is longer.
    """
    frames: list[bytes] = []
    place = 0
    while place < len(data):
        if _DIGITS.fullmatch(data, place):  # may be a length that is not whole yet
            break
        length = _LENGTH.match(data, place)
        if length is not None:
            start = length.end()
            end = following = start + int(length[1])
        else:
            start, found = place, data.find(b"\n", place)
            end = found if found >= 0 else len(data)
            following = end + 1
        if end - start > LONGEST_MESSAGE:
            raise ValueError(end - start)
        if following > len(data):
            break
        frames.append(data[start:end])
        place = following
    return frames, data[place:]


class SyslogSource(SpooledSource):
    """Syslog on one address, spooled so that a killed process loses nothing that was received.

    Args:
        protocol: `udp` or `tcp`.
        host: Address to listen on; that of another interface lets others write into the logs.
        port: Port to listen on; 0 takes a free one.
        spool: Folder for what was received and is not stored yet.
    """

    def __init__(self, protocol: Protocol, host: str = "127.0.0.1", port: int = 5514, *, spool: Path) -> None:
        name = f"syslog:{protocol}:{host}:{port}"
        folder = spool / f"syslog-{protocol}-{host}-{port}".replace(":", "_")
        super().__init__(name, folder, title=lambda log: f"{name}/{log}", receive=self._receive)
        self._protocol, self._address = protocol, (host, port)
        self._listening: socket.socket | None = None

    @property
    def port(self) -> int:
        """Port that it listens on, while it is open."""
        assert self._listening is not None  # noqa: S101 - a mistake of the caller
        port: int = self._listening.getsockname()[1]
        return port

    def open(self, marks: Sequence[Mark]) -> None:
        """Listen.

        Raises:
            JobError: The address is in use or not of this machine.
        """
        host, port = self._address
        kind = socket.SOCK_DGRAM if self._protocol == "udp" else socket.SOCK_STREAM
        listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
        try:
            if self._protocol == "tcp":
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            else:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            listening.bind((host, port))
            if self._protocol == "tcp":
                listening.listen()
            listening.settimeout(0)
        except OSError as error:
            listening.close()
            raise JobError(
                _("Syslog cannot be received on {host}:{port} ({protocol}): {fact}.").format(
                    host=host, port=port, protocol=self._protocol, fact=error.strerror or error
                ),
                hint=_("Name another address, or end what uses this one (ss -lnp)."),
            ) from error
        self._listening = listening
        super().open(marks)

    def _receive(self, spool: Spool, ending: threading.Event) -> None:
        assert self._listening is not None  # noqa: S101 - set by `open`
        receiver = _Receiver(self._listening, spool, datagrams=self._protocol == "udp")
        try:
            while not ending.is_set():
                receiver.turn()
        finally:
            receiver.close()


class _Receiver:
    """Takes what senders sent and writes it to the spool.

    Args:
        listening: Bound and not blocking.
        spool: Where lines go.
        datagrams: Whether messages come as datagrams.
    """

    def __init__(self, listening: socket.socket, spool: Spool, *, datagrams: bool) -> None:
        self._listening, self._spool, self._datagrams = listening, spool, datagrams
        self._selector = selectors.DefaultSelector()
        self._selector.register(listening, selectors.EVENT_READ)
        self._rests: dict[socket.socket, bytes] = {}

    def turn(self) -> None:
        """Wait a moment for messages and take them; none while the spool takes nothing."""
        self._spool.retry()
        if not self._spool.takes():
            threading.Event().wait(_POLL)
            return
        messages: list[bytes] = []
        for key, _events in self._selector.select(_POLL):
            sender = key.fileobj
            assert isinstance(sender, socket.socket)  # noqa: S101 - nothing else is registered
            if sender is not self._listening:
                messages += self._read(sender)
            elif self._datagrams:
                messages += self._datagrams_now()
            else:
                self._accept()
        self._keep(messages)

    def _keep(self, messages: Sequence[bytes]) -> None:
        lines: dict[str, list[bytes]] = {}
        for message in messages:
            tag, line = read_message(message)
            if line:
                lines.setdefault(tag, []).append(line)
        if lines:
            self._spool.write({tag: b"\n".join(found) + b"\n" for tag, found in lines.items()})

    def _datagrams_now(self) -> list[bytes]:
        found: list[bytes] = []
        try:
            while len(found) < _AT_ONCE:
                found.append(self._listening.recv(1 << 16))
        except BlockingIOError:
            pass
        return found

    def _accept(self) -> None:
        try:
            sender, address = self._listening.accept()
        except OSError:  # gone again, or no descriptors are left
            return
        if len(self._rests) >= MOST_SENDERS:
            _logger.warning("A syslog sender at %s is turned away: there are %d.", address[0], MOST_SENDERS)
            sender.close()
            return
        sender.settimeout(0)
        self._rests[sender] = b""
        self._selector.register(sender, selectors.EVENT_READ)

    def _read(self, sender: socket.socket) -> list[bytes]:
        try:
            data = sender.recv(_READ)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            return self._leave(sender)
        try:
            frames, self._rests[sender] = cut_frames(self._rests[sender] + data)
        except ValueError:
            _logger.warning(
                "A syslog sender is disconnected: its message is longer than %d.", LONGEST_MESSAGE
            )
            self._rests[sender] = b""
            return self._leave(sender)
        return frames

    def _leave(self, sender: socket.socket) -> list[bytes]:
        """Close a connection; what came without an end is a message, too."""
        self._selector.unregister(sender)
        sender.close()
        rest = self._rests.pop(sender)
        return [rest] if rest else []

    def close(self) -> None:
        """Take what is there already, then close everything; senders connect again to the next process."""
        for _turn in range(_LAST_TURNS):  # not for as long as somebody sends
            found = self._datagrams_now() if self._datagrams else []
            for sender in list(self._rests):
                found += self._read(sender)
            if not found:
                break
            self._keep(found)
        for sender in list(self._rests):
            self._keep(self._leave(sender))
        self._selector.close()
        self._listening.close()
