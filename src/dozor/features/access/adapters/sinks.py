"""Where audit records go besides the database: a file of JSON lines, or journald."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

from dozor.features.access.core.lines import as_json
from dozor.features.access.model import AuditRecord
from dozor.infra.folder import private_file
from dozor.kernel.errors import JobError, UnavailableError
from dozor.kernel.i18n import _

JOURNAL: Final = Path("/run/systemd/journal/socket")

_NOTICE: Final = "5"
_WARNING: Final = "4"


class FileSink:
    """Appends a JSON line per record to a file for this user alone.

    Opened for each record, so that rotation by moving it away needs no word to us; several processes may
    write to one, since a line goes in one write.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, record: AuditRecord) -> None:
        """Append a record.

        Raises:
            JobError: It cannot be written.
        """
        line = (as_json(record) + "\n").encode()
        try:
            try:
                descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            except FileNotFoundError:
                with suppress(FileExistsError):
                    os.close(private_file(self._path))
                descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise JobError(
                _("The audit file {path} cannot be written: {reason}.").format(
                    path=self._path, reason=error.strerror
                ),
                hint=_("Let this user write there, or see access.audit_output."),
            ) from error


class JournalSink:
    """Sends records to journald by its native protocol: `journalctl -t dozor-audit` shows them.

    Args:
        path: journald's socket.
    """

    def __init__(self, path: Path = JOURNAL) -> None:
        self._path = path

    def write(self, record: AuditRecord) -> None:
        """Send a record.

        Raises:
            UnavailableError: journald does not take it.
        """
        entry = record.entry
        fields = {
            "MESSAGE": as_json(record),
            "PRIORITY": _NOTICE if entry.result == "ok" else _WARNING,
            "SYSLOG_IDENTIFIER": "dozor-audit",
            "DOZOR_EVENT": entry.event.value,
            "DOZOR_ACTION": entry.action,
            "DOZOR_RESULT": entry.result,
            "DOZOR_ACTOR": entry.actor,
            "DOZOR_ADDRESS": entry.address,
        }
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.connect(str(self._path))
                channel.send(b"".join(_field(name, text) for name, text in fields.items()))
        except OSError as error:
            raise UnavailableError(
                _("journald does not take audit records: {reason}.").format(reason=error.strerror),
                hint=_("See access.audit_output."),
            ) from error


def _field(name: str, text: str) -> bytes:
    """A field as journald wants one that may hold line breaks: name, length in 8 bytes, text."""
    body = text.encode()
    return name.encode() + b"\n" + len(body).to_bytes(8, "little") + body + b"\n"
