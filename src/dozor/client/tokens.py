"""Where the tokens of a login are kept between calls: in memory, or in a file for the command line.

A refresh token is good for one refresh, and a second use of it ends the login (RFC 9700, 4.14.2). So whoever
refreshes holds the lock of the keeper, and looks first whether somebody else has done so meanwhile.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from dozor.kernel.errors import JobError
from dozor.kernel.i18n import _

_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class KeptTokens:
    """Tokens of one login.

    Args:
        access_token: Signs calls in.
        refresh_token: Makes the next pair, once.
        expires: Until when the access token is good, seconds since 1970.
        username: Who signed in; empty when nobody said.
    """

    access_token: str
    refresh_token: str
    expires: float
    username: str = ""


class TokenKeeper(Protocol):
    """Keeps the tokens of one login."""

    def load(self) -> KeptTokens | None:
        """The tokens; None when nobody is signed in."""
        ...

    def save(self, tokens: KeptTokens) -> None:
        """Keep these from now on."""
        ...

    def forget(self) -> None:
        """Keep none any more."""
        ...

    def locked(self) -> AbstractContextManager[None]:
        """Alone with the tokens, among all who keep them in the same place."""
        ...


class InMemoryTokens:
    """Keeps tokens as long as the process lives; safe for several threads."""

    def __init__(self) -> None:
        self._tokens: KeptTokens | None = None
        self._lock = threading.Lock()

    def load(self) -> KeptTokens | None:
        """The tokens; None when nobody is signed in."""
        return self._tokens

    def save(self, tokens: KeptTokens) -> None:
        """Keep these from now on."""
        self._tokens = tokens

    def forget(self) -> None:
        """Keep none any more."""
        self._tokens = None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone with the tokens, among all threads."""
        with self._lock:
            yield


class TokenFile:
    """Keeps tokens in a file that nobody else may read, by the address of the server.

    Args:
        path: The file; its folder is made when it is needed. A file beside it, ending in `.lock`, is locked.
        base_url: Address of the server.
    """

    def __init__(self, path: Path, base_url: str) -> None:
        self._path = path
        self._url = base_url.rstrip("/")
        self._lock = threading.Lock()

    def load(self) -> KeptTokens | None:
        """The tokens; None when nobody is signed in to this server.

        Raises:
            JobError: Others may read the file, or it cannot be read.
        """
        kept = self._all().get(self._url)
        try:
            return None if kept is None else KeptTokens(**kept)
        except TypeError:
            return None

    def save(self, tokens: KeptTokens) -> None:
        """Keep these from now on.

        Raises:
            JobError: The file cannot be written.
        """
        self._write({**self._all(), self._url: asdict(tokens)})

    def forget(self) -> None:
        """Keep none any more.

        Raises:
            JobError: The file cannot be written.
        """
        kept = self._all()
        if kept.pop(self._url, None) is not None:
            self._write(kept)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone with the file, among all threads and processes.

        Raises:
            JobError: The lock cannot be made.
        """
        with self._lock:
            try:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = os.open(self._path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o600)
            except OSError as error:
                raise self._unwritable(error) from error
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)

    def _all(self) -> dict[str, dict[str, Any]]:
        try:
            with self._path.open("rb") as file:
                if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & _OTHERS:
                    raise JobError(
                        _("Others may read the tokens in {path}.").format(path=self._path),
                        hint=_("Close it with: chmod 600 {path}").format(path=self._path),
                    )
                kept = json.loads(file.read())
        except FileNotFoundError:
            return {}
        except ValueError:
            return {}  # a login writes it anew
        except OSError as error:
            raise JobError(
                _("The tokens in {path} cannot be read: {fact}.").format(path=self._path, fact=error.strerror)
            ) from error
        return kept if isinstance(kept, dict) else {}

    def _write(self, kept: dict[str, dict[str, Any]]) -> None:
        part = self._path.with_suffix(f".{os.getpid()}.part")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                part.unlink()
            file = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            try:
                os.write(file, json.dumps(kept, indent=1).encode())
                os.fsync(file)
            finally:
                os.close(file)
            part.replace(self._path)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> JobError:
        return JobError(
            _("The tokens cannot be kept in {path}: {fact}.").format(path=self._path, fact=error.strerror),
            hint=_("Make the folder writable for you."),
        )
