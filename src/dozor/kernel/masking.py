"""Takes secrets out of what people and files get to see, by the secret's own look and by its name.

Logs and error messages pass through here. It rather hides too much than too little.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from urllib.parse import quote, unquote_plus

MASK = "***"

_SECRET_WORDS = frozenset(
    {
        "apikey", "auth", "authorization", "cookie", "cookies", "credential", "credentials", "jwt", "key",
        "otp", "pass", "passphrase", "passwd", "password", "passwords", "pwd", "recovery", "secret",
        "secrets", "token", "totp",
    }
)  # fmt: skip
_PUBLIC_WORDS = frozenset({"public"})
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

_NAMED = (
    r"((?:api[_-]?key|access[_-]?key|credential|passphrase|passw(?:or)?d|pwd|secret|token|totp)(?!s\b)"
    r"[\w-]{0,20}[\"']?\s{0,3}[:=]\s{0,3})(?:\"[^\"\r\n]*\"?|'[^'\r\n]*'?|[^\s\"'&,;]+)"
)

# Every repetition is bounded or starts behind a fixed text: a log line of 64 kB must not cost its square.
_PATTERNS = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        (r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,30}KEY-----|\Z)", MASK),
        # Telegram: the number names the bot and is public, the rest is its password.
        (r"([0-9]{6,12}:)[A-Z0-9_-]{30,}", rf"\1{MASK}"),
        (r"eyJ[A-Z0-9_-]{5,500}+\.[A-Z0-9_-]{2,}\.[A-Z0-9_-]*", MASK),
        # Dozor's own: API keys keep the part that names them.
        (r"(dz_[0-9a-f]{12}_)[A-Z0-9_-]{16,}", rf"\1{MASK}"),
        (r"dz[a-z]?_[A-Z0-9_-]{16,}", MASK),
        (r"\$2[abxy]\$[0-9]{2}\$[./A-Z0-9]{50,53}|pbkdf2:[a-z0-9:]{3,30}\$[^\s\"',;]+", MASK),
        (r"hv[bs]\.[A-Z0-9_-]{20,}", MASK),
        (r"(?:gh[opsru]_|github_pat_|glpat-|sk-|xox[abprs]-)[A-Z0-9_-]{16,}", MASK),
        (r"(?:AKIA|ASIA)[A-Z0-9]{16}", MASK),
        (r"(\bauthorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?)[^\"'\r\n]+", rf"\1{MASK}"),
        (r"((?:set-)?cookie[\"']?\s{0,3}[:=]\s{0,3}[\"']?)[^\"'\r\n]+", rf"\1{MASK}"),
        (r"(\b(?:Basic|Bearer)\s{1,3})[A-Z0-9+/._~=-]{6,}", rf"\1{MASK}"),
        # The user name may stay; the password may hold any sign but those that end an authority.
        (r"(?<=://)([^\s/:@?#]*):[^\s/?#]*@", rf"\1:{MASK}@"),
        (_NAMED, rf"\1{MASK}"),
    )
)


_WORD = re.compile(r"[^\s\"'<>]+")
_SAFE = "!$&()*+,-./:;=?@[]_~#"

_LEAST_HIDDEN = 8
_hidden: set[str] = set()
_hidden_pattern: re.Pattern[str] | None = None


def hide(secret: str) -> None:
    """Let `mask` hide this text from now on, wherever it stands, unless it has fewer than 8 signs.

    For secrets that have no look of their own, such as the password of a database.
    """
    global _hidden_pattern  # noqa: PLW0603 - a process has one log, and its secrets must not show in it
    if len(secret) < _LEAST_HIDDEN or secret in _hidden:
        return
    _hidden.add(secret)
    longest_first = sorted(_hidden, key=len, reverse=True)
    _hidden_pattern = re.compile("|".join(map(re.escape, longest_first)))


def mask(text: str) -> str:
    """Return `text` with `***` for what is known to be a secret (`hide`), or looks like one.

    Known looks: private keys, Telegram bot tokens, JSON web tokens, tokens and keys of Dozor, of code hosts,
    Slack, Vault and AI services, AWS key ids, password hashes, Authorization and Cookie headers, passwords
    in URLs, and values named `token`, `password`, `api_key` and the like in a query, a configuration line or
    JSON.
    """
    masked = _mask_plain(text)
    return _WORD.sub(_mask_encoded, masked) if "%" in masked else masked


def _mask_plain(text: str) -> str:
    if _hidden_pattern is not None:
        text = _hidden_pattern.sub(MASK, text)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def _mask_encoded(found: re.Match[str]) -> str:
    """Mask what a URL wraps in `%..`: `?next=%3Ftoken%3D...`."""
    if "%" not in found[0]:
        return found[0]
    plain = unquote_plus(found[0])
    masked = _mask_plain(plain)
    return found[0] if masked == plain else quote(masked, safe=_SAFE)


def names_secret(name: str) -> bool:
    """Tell whether a field of this name holds a secret: `BOT_TOKEN`, `apiKey`, `db-password`."""
    words = {word.lower() for word in _WORDS.findall(name)}
    return bool(words & _SECRET_WORDS) and not words & _PUBLIC_WORDS


def mask_value(value: object) -> object:
    """Return a copy of `value` without secrets: by name inside mappings and dataclasses, else by look.

    Numbers, booleans and None stay what they are; anything else becomes text.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(key): MASK if names_secret(str(key)) else mask_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [mask_value(item) for item in value]
    return mask(str(value))
