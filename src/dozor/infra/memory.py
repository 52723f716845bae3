"""Gives memory that a burst of work took back to the system; the default is to keep it for the next burst.

Several allocators are at work: glibc's for Python, and one each for Arrow, Polars and ClickHouse.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from contextlib import suppress
from importlib.abc import MetaPathFinder

_ARENA_MAX = -8  # M_ARENA_MAX of glibc's malloc.h
_ARENAS = 2
_ENVIRONMENT = {
    # Arrow takes mimalloc by default, which keeps 60 to 200 MB of what a burst of lines took.
    "ARROW_DEFAULT_MEMORY_POOL": "jemalloc",
    "_RJEM_MALLOC_CONF": "dirty_decay_ms:1000,muzzy_decay_ms:0",
}


def prefer_small() -> None:
    """Set up the allocators for a process that mostly waits; call it before Arrow or Polars are imported.

    A thread has an arena of its own by default, and each keeps its largest size ever.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if "MALLOC_ARENA_MAX" not in os.environ:
        with suppress(AttributeError, OSError):  # another libc has no such knob and no such need
            ctypes.CDLL(None).mallopt(_ARENA_MAX, _ARENAS)


def without_pandas() -> None:
    """Let Arrow do without pandas in this process: it would load it at the first list that it converts.

    That takes 0.15 s and 30 MB, only to ask whether the list is pandas'. Others may import it still.
    """
    if "pandas" in sys.modules:
        return
    absent = _Absent()
    sys.meta_path.insert(0, absent)
    try:
        import pyarrow as pa  # noqa: PLC0415 - only processes with columns pay for it

        pa.array([])  # Arrow looks for pandas once, and remembers that it was not there
    finally:
        sys.meta_path.remove(absent)


class _Absent(MetaPathFinder):
    """Says of pandas that it is not installed."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        del path, target
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname, name=fullname)


def give_back() -> None:
    """Return free pages to the system; takes some milliseconds, and may be called in any thread."""
    arrow = sys.modules.get("pyarrow")
    if arrow is not None:
        arrow.default_memory_pool().release_unused()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


class Housekeeper:
    """Gives memory back now and then; a service.

    Args:
        every: Seconds between two times.
    """

    name = "housekeeper"

    def __init__(self, *, every: float = 10.0) -> None:
        self._every = every

    async def run(self, stop: asyncio.Event) -> None:
        """Do so until `stop`."""
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._every)
                return
            await asyncio.to_thread(give_back)
