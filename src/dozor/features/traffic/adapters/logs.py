"""Log files as sources of a report, with a progress bar for the person who waits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dozor.features.traffic.adapters.files import STDIN, input_size, open_chunks
from dozor.features.traffic.model import Chunk
from dozor.kernel.i18n import _

if TYPE_CHECKING:  # only a person who watches pays for the bar
    from rich.progress import Progress, TaskID


class LogFile:
    """One log, a path or `-`; it counts how much of it was read.

    Args:
        name: As the person named it.

    Raises:
        JobError: The file is missing, a directory or unreadable.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.size = input_size(name)
        self._watcher: tuple[Progress, TaskID] | None = None

    def chunks(self) -> Iterator[Chunk]:
        """Read it once."""
        for chunk in open_chunks(self.name):
            yield Chunk(chunk.data, chunk.offset, chunk.first_line)
            if self._watcher is not None:
                progress, task = self._watcher
                progress.update(task, completed=chunk.consumed)

    def tell(self, progress: Progress) -> None:
        """Show how far it was read as a task of `progress`."""
        title = _("standard input") if self.name == STDIN else self.name
        self._watcher = progress, progress.add_task(title, total=self.size)


def open_logs(names: Sequence[str]) -> list[LogFile]:
    """Open logs; all are checked before the first is read.

    Raises:
        JobError: One of them is missing, a directory or unreadable.
    """
    return [LogFile(name) for name in names]


@contextmanager
def reading_progress(logs: Sequence[LogFile]) -> Iterator[None]:
    """Draw a bar per log on standard error until the block ends, then take them away."""
    from rich.console import Console  # noqa: PLC0415 - see above
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        for log in logs:
            log.tell(progress)
        yield
