"""Password hashes by bcrypt, and the older kinds that are accepted once.

bcrypt looks at 72 bytes alone, and in some libraries at none behind a zero byte. So the password goes in as
base64 of its HMAC-SHA-256, with the hash's own salt as key: any length counts whole, and a plain
SHA-256 of that password that leaked elsewhere is of no use here. Such a hash begins with `bcrypt-sha256:`.

Accepted as well, and made anew at the first sign-in: plain bcrypt (`$2a$`, `$2b$`, `$2y$`) and werkzeug's
`pbkdf2:sha256:ROUNDS$SALT$HEX` (OWASP: "Password Storage").
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import unicodedata
from typing import Final

import bcrypt

PREFIX: Final = "bcrypt-sha256:"

_PLAIN: Final = re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}")
_PBKDF2: Final = re.compile(r"pbkdf2:(sha(?:1|256|512))(?::(\d{1,8}))?\$([^$]{1,100})\$([0-9a-f]{40,128})")
_PBKDF2_ROUNDS: Final = 150_000
"""What werkzeug took when the hash did not say."""
_MOST_ROUNDS: Final = 5_000_000
_SALT_CHARACTERS: Final = 29
_PLAIN_BYTES: Final = 72


class BcryptPasswords:
    """Hashes and checks passwords; from any thread.

    Args:
        rounds: Cost: each step more takes twice as long.
    """

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self._salt = bcrypt.gensalt(rounds)

    def hash(self, password: str) -> str:
        """Hash a password of any length."""
        return PREFIX + self._hash(password, bcrypt.gensalt(self._rounds)).decode()

    def check(self, password: str, hashed: str) -> bool:
        """Tell whether it is the password; False also for a hash of an unknown kind."""
        if hashed.startswith(PREFIX):
            return self._matches(password, hashed.removeprefix(PREFIX).encode())
        # Whoever has an older hash must not be told from the others by a shorter wait.
        self.waste(password)
        if _PLAIN.fullmatch(hashed):
            plain = password.encode()
            return (
                len(plain) <= _PLAIN_BYTES and b"\0" not in plain and bcrypt.checkpw(plain, hashed.encode())
            )
        return _matches_pbkdf2(password, hashed)

    def is_dated(self, hashed: str) -> bool:
        """Tell whether the hash is of an older kind or of fewer rounds than now."""
        return not hashed.startswith(PREFIX) or int(hashed.removeprefix(PREFIX).split("$")[2]) < self._rounds

    def waste(self, password: str) -> None:
        """Take the time of one check."""
        self._hash(password, self._salt)

    def _matches(self, password: str, hashed: bytes) -> bool:
        return hmac.compare_digest(self._hash(password, hashed[:_SALT_CHARACTERS]), hashed)

    def _hash(self, password: str, salt: bytes) -> bytes:
        # The same word may be typed as different signs: "é" as one, or as "e" with an accent.
        text = unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
        return bcrypt.hashpw(base64.b64encode(hmac.digest(salt, text, "sha256")), salt)


def is_known_kind(hashed: str) -> bool:
    """Tell whether a hash from elsewhere, such as ADMIN_PASSWORD_HASH, can be checked at all."""
    return bool(_PLAIN.fullmatch(hashed) or _PBKDF2.fullmatch(hashed) or hashed.startswith(PREFIX))


def _matches_pbkdf2(password: str, hashed: str) -> bool:
    found = _PBKDF2.fullmatch(hashed)
    if found is None or int(found[2] or _PBKDF2_ROUNDS) > _MOST_ROUNDS:
        return False
    rounds = max(1, int(found[2] or _PBKDF2_ROUNDS))
    made = hashlib.pbkdf2_hmac(found[1], password.encode("utf-8", "surrogatepass"), found[3].encode(), rounds)
    return hmac.compare_digest(made.hex(), found[4])
