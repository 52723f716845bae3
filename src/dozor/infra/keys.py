"""The secret that all keys are made of, and what is done with them: signing, encrypting, deriving.

One secret, SECRET_KEY, gives a key for each purpose by HKDF (RFC 5869), so that a key that leaks opens
nothing else. Former secrets stay good for checking and decrypting: changing the secret logs nobody out.

The file `secret.key` in the data folder holds one secret a line, the current one first. It is looked at again
when it has changed, so that `dozor access rotate-key` reaches a running process.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import logging
import os
import secrets
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from dozor.infra.folder import private_file
from dozor.kernel.errors import DozorError, JobError, SettingsError
from dozor.kernel.i18n import _

KEY_FILE: Final = "secret.key"
LEAST_CHARACTERS: Final = 32
COMMAND: Final = "openssl rand -base64 48"
"""Makes a secret."""

_LEAST_DIFFERENT: Final = 8
_KEY_BYTES: Final = 32
_OTHERS: Final = 0o077
_LOOK_S: Final = 1.0
_ENCRYPTION: Final = "encryption"

_log = logging.getLogger(__name__)

Secrets = Callable[[], Sequence[str]]
"""The secrets that hold now, the current one first."""


class KeyRing:
    """Keys for named purposes, made of one current secret and former ones; safe for several threads.

    Args:
        current: What new signatures and encrypted texts are made with, or all secrets, asked at each use.
        previous: What older ones may have been made with.

    Raises:
        SettingsError: The current secret is too short or too plain.
    """

    def __init__(self, current: str | Secrets, previous: Sequence[str] = ()) -> None:
        if callable(current):
            self._secrets = current
        else:
            fixed = tuple(dict.fromkeys((current, *previous)))
            self._secrets = lambda: fixed
        check_secret(self._secrets()[0], "SECRET_KEY")

    def derive(self, purpose: str) -> bytes:
        """The current key for a purpose: 32 bytes.

        Args:
            purpose: A name such as `jwt`; each name has a key of its own.
        """
        return _derived(self._secrets()[0], purpose)

    def derived(self, purpose: str) -> Mapping[str, bytes]:
        """All keys for a purpose by their public names (`kid`), the current one first."""
        keys = (_derived(secret, purpose) for secret in self._secrets())
        return {name_of(key): key for key in keys}

    def sign(self, purpose: str, message: str) -> str:
        """A signature of the message (HMAC-SHA-256) in 43 characters that a URL may hold."""
        return _signature(self.derive(purpose), message)

    def check(self, purpose: str, message: str, signature: str) -> bool:
        """Tell whether a signature is of this message, by any key of the ring."""
        given = signature.encode()
        return any(
            hmac.compare_digest(_signature(key, message).encode(), given)
            for key in self.derived(purpose).values()
        )

    def encrypt(self, text: str) -> str:
        """Encrypt with the current key (Fernet: AES-128-CBC and HMAC-SHA-256)."""
        return self._fernet().encrypt(text.encode()).decode()

    def decrypt(self, text: str) -> str:
        """Decrypt with whichever key of the ring it was.

        Raises:
            JobError: None of them did it, or the text was changed.
        """
        try:
            return self._fernet().decrypt(text.encode()).decode()
        except InvalidToken as error:
            raise JobError(
                _("An encrypted value cannot be read: it was written with another SECRET_KEY."),
                hint=_("Name that one in access.previous_secret_keys, or enter the value anew."),
            ) from error

    def _fernet(self) -> MultiFernet:
        return MultiFernet(
            [Fernet(base64.urlsafe_b64encode(_derived(secret, _ENCRYPTION))) for secret in self._secrets()]
        )


def name_of(key: bytes) -> str:
    """The public name of a key: says which one it is, not what it is."""
    return hashlib.sha256(b"dozor kid" + key).hexdigest()[:16]


def check_secret(secret: str, name: str) -> None:
    """Refuse a secret that could be guessed.

    Args:
        secret: The secret.
        name: What it is called where it was set.

    Raises:
        SettingsError: It is shorter than 32 characters, or has hardly any different ones.
    """
    if len(secret) < LEAST_CHARACTERS:
        fact = _("{name} has {count} characters, and needs at least {least}.").format(
            name=name, count=len(secret), least=LEAST_CHARACTERS
        )
    elif len(set(secret)) < _LEAST_DIFFERENT:
        fact = _("{name} repeats a few characters, and could be guessed.").format(name=name)
    else:
        return
    raise SettingsError(fact, hint=_("Make one by: {command}").format(command=COMMAND))


def open_keys(folder: Path, secret_key: str | None = None, previous: Sequence[str] = ()) -> KeyRing:
    """The keys of the settings, or of the data folder, where a secret is made at the first call.

    Args:
        folder: The data folder.
        secret_key: SECRET_KEY, if it is set; the file's secrets then only check and decrypt.
        previous: Former secrets.

    Raises:
        SettingsError: SECRET_KEY could be guessed.
        JobError: The file cannot be read or written, is empty, or is open to others.
    """
    path = folder / KEY_FILE
    if secret_key is None and not path.exists():
        _make(path)
    file = _SecretFile(path)

    def known() -> Sequence[str]:
        mine = (secret_key,) if secret_key is not None else ()
        return tuple(dict.fromkeys((*mine, *file.secrets(), *previous)))

    return KeyRing(known)


def rotate(folder: Path) -> None:
    """Put a new secret in the file; the former ones go on to check and decrypt.

    Raises:
        JobError: The file cannot be read or written.
    """
    path = folder / KEY_FILE
    with _only_one(path):
        former = _read(path) if path.exists() else ()
        _write(path, (_new(), *former))


class _SecretFile:
    """The file's secrets, read again once it has changed; looked at once a second at the most."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._looked = float("-inf")
        self._stamp: tuple[int, int] | None = None
        self._secrets: Sequence[str] = ()

    def secrets(self) -> Sequence[str]:
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return self._secrets
        self._looked = now
        try:
            facts = self._path.stat()
        except FileNotFoundError:
            return self._secrets  # while it runs, a process keeps what it knows
        stamp = (facts.st_mtime_ns, facts.st_ino)
        if stamp == self._stamp:
            return self._secrets
        self._stamp = stamp
        try:
            self._secrets = _read(self._path)
        except DozorError as error:
            if not self._secrets:
                raise
            _log.warning("The keys stay as they were: %s", error)
        return self._secrets


def _new() -> str:
    return secrets.token_urlsafe(48)


def _make(path: Path) -> None:
    with _only_one(path):
        if not path.exists():
            _write(path, (_new(),))


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Keep other processes from changing the file until the block ends."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, lines: Sequence[str]) -> None:
    """Put the file in its place as a whole: a cut-off write must not cost the secrets."""
    fresh = path.with_suffix(".new")
    try:
        fresh.unlink(missing_ok=True)
        descriptor = private_file(fresh)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
            os.fsync(descriptor)
        fresh.replace(path)
    except OSError as error:
        raise _unusable(path, error) from error


def _read(path: Path) -> Sequence[str]:
    try:
        mode = path.stat().st_mode & 0o777
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(path, error) from error
    if mode & _OTHERS:
        raise JobError(
            _("The key file {path} is open to other users (mode {mode}).").format(
                path=path, mode=f"{mode:o}"
            ),
            hint=_("Close it by: {command}").format(command=f"chmod 600 {shlex.quote(str(path))}"),
        )
    lines = tuple(line for line in map(str.strip, text.splitlines()) if line)
    if not lines:
        raise JobError(
            _("The key file {path} is empty.").format(path=path),
            hint=_("Bring it back from a backup; without it, second factors and stored tokens are lost."),
        )
    for line in lines:
        check_secret(line, str(path))
    return lines


def _unusable(path: Path, error: OSError | UnicodeDecodeError) -> JobError:
    return JobError(
        _("The key file {path} cannot be used: {reason}.").format(
            path=path, reason=error.strerror if isinstance(error, OSError) else error.reason
        ),
        hint=_("Let this user read and write it."),
    )


@lru_cache(maxsize=256)
def _derived(secret: str, purpose: str) -> bytes:
    kdf = HKDF(algorithm=hashes.SHA256(), length=_KEY_BYTES, salt=None, info=f"dozor {purpose}".encode())
    return kdf.derive(secret.encode())


def _signature(key: bytes, message: str) -> str:
    digest = hmac.digest(key, message.encode(), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
