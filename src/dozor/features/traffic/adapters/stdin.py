"""Standard input as a live source: what comes is spooled, so that a killed process loses nothing of it."""

from __future__ import annotations

import os
import select
import sys
import threading
from pathlib import Path

from dozor.features.traffic.adapters.files import STDIN
from dozor.features.traffic.adapters.spool import Spool, SpooledSource

_READ = 1 << 20
_POLL = 0.2
_LOG = "stdin"


class StdinSource(SpooledSource):
    """Lines of standard input, followed until it ends.

    Args:
        spool: Folder for what came and is not stored yet.
        descriptor: What to read; None takes that of standard input.
    """

    def __init__(self, spool: Path, *, descriptor: int | None = None) -> None:
        super().__init__(STDIN, spool / _LOG, title=lambda _log: STDIN, receive=self._read)
        self._descriptor = descriptor
        self._rest = b""
        self._ended = False

    def _read(self, spool: Spool, ending: threading.Event) -> None:
        descriptor = sys.stdin.fileno() if self._descriptor is None else self._descriptor
        while not ending.is_set() and not self._ended:
            spool.retry()
            if not spool.takes():  # whoever writes to the pipe has to wait
                ending.wait(_POLL)
            elif select.select([descriptor], [], [], _POLL)[0]:
                self._take(spool, os.read(descriptor, _READ))

    def _take(self, spool: Spool, data: bytes) -> None:
        self._ended = not data
        data = self._rest + data
        size = len(data) if self._ended else data.rfind(b"\n") + 1
        whole, self._rest = data[:size], data[size:]
        if whole:
            spool.write({_LOG: whole if whole.endswith(b"\n") else whole + b"\n"})
