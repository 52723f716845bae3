"""Which passwords and names will do (NIST SP 800-63B: length counts, well-known ones do not pass)."""

from __future__ import annotations

import re
import secrets
import unicodedata
from pathlib import Path

from dozor.features.access.core.subjects import account_key
from dozor.features.access.model import InvalidValueError
from dozor.kernel.i18n import _, ngettext

MOST_CHARACTERS = 1024
"""More is refused: hashing a password of megabytes would keep a thread busy."""

_USERNAME = re.compile(r"[^\W_](?:[\w.@+-]{0,62}\w)?")
_LONGEST_USERNAME = 64
_ALPHABET = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_GROUPS, _GROUP = 5, 5

_WELL_KNOWN = frozenset(
    (Path(__file__).parent / "well_known_passwords.txt").read_text(encoding="utf-8").splitlines()
)


def checked_username(username: str) -> str:
    """Return a name that will do.

    Raises:
        InvalidValueError: It is empty, too long, or holds other signs than letters, digits and `._@+-`.
    """
    name = unicodedata.normalize("NFC", username.strip())
    if not _USERNAME.fullmatch(name):
        raise InvalidValueError(
            _("'{name}' will not do as a user name.").format(name=name[:_LONGEST_USERNAME]),
            field="username",
            hint=_("Use 1 to 64 letters, digits and . _ @ + -, with a letter or digit first and last."),
        )
    return name


def checked_password(password: str, username: str, *, least: int, field: str = "password") -> str:
    """Return a password that will do.

    Raises:
        InvalidValueError: It is too short or too long, the user's name, or one of those that are tried first.
    """
    if len(password) < least:
        raise InvalidValueError(
            ngettext(
                "The password has fewer than {count} character.",
                "The password has fewer than {count} characters.",
                least,
            ).format(count=least),
            field=field,
            hint=_("Take a longer one; a few words are fine."),
        )
    if len(password) > MOST_CHARACTERS:
        raise InvalidValueError(
            _("The password has more than {count} characters.").format(count=MOST_CHARACTERS),
            field=field,
            hint=_("Take a shorter one."),
        )
    plain = account_key(password)
    if plain in _WELL_KNOWN or plain == account_key(username):
        raise InvalidValueError(
            _("This password is among the first that are guessed."),
            field=field,
            hint=_("Take another one; a few words are fine."),
        )
    return password


def new_password() -> str:
    """A password of 143 bits, in groups that can be read out."""
    groups = ("".join(secrets.choice(_ALPHABET) for _sign in range(_GROUP)) for _group in range(_GROUPS))
    return "-".join(groups)
