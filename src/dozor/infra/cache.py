"""The address of a Valkey or Redis that processes share, as the libraries for it read it."""

from __future__ import annotations

from typing import Final

from dozor.kernel.errors import SettingsError
from dozor.kernel.i18n import _

_SCHEMES: Final = {
    "redis": "redis",
    "rediss": "rediss",
    "valkey": "redis",
    "valkeys": "rediss",
    "redis+unix": "redis+unix",
    "valkey+unix": "redis+unix",
    "unix": "redis+unix",
}
"""Schemes that people write, and what they mean: both servers speak one protocol."""


def shared_url(url: str) -> str:
    """The address in one way of writing: `redis://`, `rediss://` (TLS) or `redis+unix://` (a socket).

    Raises:
        SettingsError: It is no such address.
    """
    from redis.connection import parse_url  # noqa: PLC0415 - most run without

    scheme, _sep, rest = url.partition("://")
    meant = _SCHEMES.get(scheme, "")
    try:
        found = parse_url(f"{meant.removeprefix('redis+')}://{rest}")  # type: ignore[no-untyped-call]
    except ValueError:
        found = {}
    if not meant or not (found.get("host") or found.get("path")):
        raise SettingsError(
            _("REDIS_URL names no Valkey or Redis that Dozor can use."),
            hint=_("Write redis://:PASSWORD@HOST:6379/0 or unix:///PATH/TO/SOCKET."),
        )
    return f"{meant}://{rest}"
