"""The folder that one running Dozor owns: made private, locked for as long as the process lives."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dozor.kernel.errors import JobError
from dozor.kernel.i18n import _

PRIVATE = 0o700
LOCK = "dozor.pid"


@contextmanager
def owned_folder(path: Path) -> Iterator[Path]:
    """Own `path` until the block ends; it is made when missing, and an empty one is closed to other users.

    A folder that holds something stays as open as it is: it may be /tmp. The lock is the kernel's: it ends
    with the process, however that ends.

    Raises:
        JobError: Another process owns it, or it cannot be made or written.
    """
    try:
        path.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        if not any(path.iterdir()):
            # A folder of another owner that this user may write, such as a mounted volume, stays as it is.
            with suppress(PermissionError):
                path.chmod(PRIVATE)
        descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        _lock(descriptor, path)
        yield path
    finally:
        os.close(descriptor)


def private_file(path: Path) -> int:
    """Make a file for this user alone and open it for writing: its descriptor.

    What root makes beside a service's files, by a command, belongs to the service, which must go on with it.

    Raises:
        OSError: It is there already, also as a link, or cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:
        folder = path.parent.stat()
        os.fchown(descriptor, folder.st_uid, folder.st_gid)
    return descriptor


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "?"
        raise JobError(
            _("The data folder {path} is in use by another Dozor, process {pid}.").format(
                path=path, pid=owner
            ),
            hint=_("Stop that one, or name another folder with --data-dir."),
        ) from error
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> JobError:
    return JobError(
        _("The data folder {path} cannot be used: {reason}.").format(path=path, reason=error.strerror),
        hint=_("Let this user write there, free some space, or name another folder with --data-dir."),
    )
