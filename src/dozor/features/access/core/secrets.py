"""Opaque tokens: how they are made, told apart and stored.

They hold 256 bits of chance, so that SHA-256 without a salt is enough to store them (OWASP: "Session
Management"); a person's password is another matter (`Passwords`). Their prefixes let scanners of leaked
secrets, and our own masking, know them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

KEY = "dz_"
REFRESH = "dzr_"
CONSOLE = "dzs_"
SETUP = "dzu_"

RECOVERY_CODES = 10

_BYTES = 32
_KEY_ID_BYTES = 6
_CODE_BYTES = 10
_CODE_GROUP = 4
_KEY_PARTS = 3


def new_id() -> str:
    """A name that nobody guesses and nothing else has: 16 hexadecimal digits."""
    return secrets.token_hex(8)


def new_token(prefix: str) -> str:
    """A new opaque token with this prefix."""
    return prefix + secrets.token_urlsafe(_BYTES)


def new_key() -> tuple[str, str]:
    """A new API key: its id and the whole key, `dz_<id>_<secret>`."""
    key_id = secrets.token_hex(_KEY_ID_BYTES)
    return key_id, f"{KEY}{key_id}_{secrets.token_urlsafe(_BYTES)}"


def key_id(key: str) -> str:
    """The id within an API key; empty when it is none."""
    parts = key.split("_", _KEY_PARTS - 1)
    return parts[1] if len(parts) == _KEY_PARTS and key.startswith(KEY) else ""


def digest(token: str) -> str:
    """The form in which a token is stored: SHA-256 in hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def same(one: str, other: str) -> bool:
    """Compare in a time that does not tell where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())


def new_recovery_codes() -> tuple[str, ...]:
    """Codes of 80 bits each in groups of four, for paper."""
    return tuple(_code() for _number in range(RECOVERY_CODES))


def _code() -> str:
    text = base64.b32encode(secrets.token_bytes(_CODE_BYTES)).decode().lower()
    return "-".join(text[place : place + _CODE_GROUP] for place in range(0, len(text), _CODE_GROUP))


def plain_code(code: str) -> str:
    """A code as typed, without spaces, dashes and case."""
    return "".join(sign for sign in code.lower() if sign.isalnum())
