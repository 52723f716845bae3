"""Spill to Arrow IPC files in a temporary folder that goes when the report is done."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl

from dozor.kernel.errors import JobError
from dozor.kernel.i18n import _


class FileSpill:
    """Frames in files, compressed with LZ4; use it as a context manager.

    Args:
        parent: Folder for the temporary folder; None is the system's (`TMPDIR`).

    Raises:
        JobError: A file cannot be written, for example on a full disk.
    """

    def __init__(self, parent: Path | None = None) -> None:
        self._parent = parent
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._files: dict[tuple[str, int], list[Path]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def write(self, name: str, part: int, frame: pl.DataFrame) -> None:
        """Append a frame to the part of that name."""
        files = self._files.setdefault((name, part), [])
        try:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="dozor-", dir=self._parent)
            path = Path(self._folder.name) / f"{name}-{part}-{len(files)}.arrow"
            frame.write_ipc(path, compression="lz4")
        except OSError as error:
            raise JobError(
                _("Counts cannot be kept in a temporary file: {fact}.").format(fact=error.strerror or error),
                hint=_("Free some disk space, or set TMPDIR to a folder with more."),
            ) from error
        files.append(path)

    def read(self, name: str, part: int) -> Iterator[pl.DataFrame]:
        """Yield the frames of the part in the order of writing; nothing if none was written."""
        for path in self._files.get((name, part), []):
            yield pl.read_ipc(path)
