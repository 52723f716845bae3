"""Where a request comes from, and who sent it as far as that is known.

A proxy is believed about its clients only when settings name it; the console of this process is believed
about its people by a secret that the process made up at its start.

Sources: RFC 7239 section 7.4 (whom to believe about forwarding), RFC 6265bis section 4.1.3 (prefixes of names
of cookies).
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from dozor.infra.server import Scope

CALLER = "dozor.caller"
"""Where the application finds the `Caller` in the scope of a request."""

SESSION_COOKIE = "dozor_session"
ACCESS_COOKIE = "dozor_access"
REFRESH_COOKIE = "dozor_refresh"
CSRF_COOKIE = "dozor_csrf"
CSRF_HEADER = "X-CSRF-Token"
CONSOLE_HEADER = "X-Dozor-Console"

_LOOPBACK_NAMES = {"localhost", "127.0.0.1", "::1"}
_AGENT_CHARS = 200
_WORD_CHARS = 60
_FORWARDED = {b"forwarded", b"x-forwarded-for", b"x-real-ip"}
_PORT = re.compile(r":\d{1,5}$")

_log = logging.getLogger(__name__)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Principal(Protocol):
    """Somebody who is known; `features.access.model.Principal` is one."""

    @property
    def username(self) -> str:
        """Name of the person or key."""

    @property
    def kind(self) -> Literal["person", "key"]:
        """Whether it is a person."""

    @property
    def session_id(self) -> str | None:
        """The session of a person."""

    @property
    def session_kind(self) -> Literal["api", "console"] | None:
        """What the session is for."""

    @property
    def key_id(self) -> str | None:
        """The key, if it is one."""

    def can(self, permission: str) -> bool:
        """Tell whether they may do this."""


@dataclass(slots=True)
class Caller:
    """Where a request comes from, and who sent it as far as that is known.

    Args:
        address: The real client's address, in normal form.
        agent: `User-Agent`.
        secure: Whether it came by TLS, here or at a trusted proxy.
        is_local: Whether it comes from this machine itself.
        is_certain: Whether the address is the client's; not so when an unknown proxy hands on.
        cookies: Its cookies.
        cookies_secure: Whether cookies for it are `Secure`: always but for plain HTTP on loopback.
        principal: Who it is; None while nobody knows.
        by_cookie: Whether a cookie says so, which a browser sends by itself.
    """

    address: str
    agent: str = ""
    secure: bool = False
    is_local: bool = False
    is_certain: bool = True
    cookies: Mapping[str, str] = field(default_factory=dict)
    cookies_secure: bool = True
    principal: Principal | None = None
    by_cookie: bool = False

    def cookie(self, name: str) -> str:
        """The value of one of our cookies; empty without it."""
        return self.cookies.get(cookie_name(name, secure=self.cookies_secure), "")


def caller_of(scope: Scope) -> Caller:
    """The caller of a request that has passed the guard."""
    found = scope[CALLER]
    if not isinstance(found, Caller):
        raise TypeError("The guard stands not before this application.")
    return found


def cookie_name(name: str, *, secure: bool) -> str:
    """What a cookie is called: a secure one by a name that only this site can set (RFC 6265bis 4.1.3)."""
    if not secure:
        return name
    return f"__Secure-{name}" if name == REFRESH_COOKIE else f"__Host-{name}"


class Callers:
    """Finds out where requests come from.

    Args:
        proxies: Networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
        console_secret: What the console of this process sends as `X-Dozor-Console` when it asks for a person
            whose address it names in `X-Forwarded-For`; empty when there is no console.
    """

    def __init__(self, proxies: Iterable[Network] = (), console_secret: str = "") -> None:
        self._proxies = tuple(proxies)
        self._secret = console_secret.encode()
        self._told = False

    def of(self, scope: Scope) -> Caller:
        """Where a request comes from; nobody is known yet.

        What came through an unknown proxy on this machine is not local, whatever its address.
        """
        headers = dict(scope["headers"])
        peer = _address(scope["client"][0] if scope.get("client") else "")
        forwarded = header_values(scope, b"x-forwarded-for")
        address = peer
        secure = scope["scheme"] in {"https", "wss"}
        is_console, is_proxy = self._is_console(peer, headers), self._trusts(peer)
        if is_console:
            address = _address(forwarded[-1]) if forwarded else peer
        elif is_proxy:
            # The last proxy appends: from the right, the first that is no proxy of ours is the client.
            chain = [_address(part) for part in forwarded]
            address = next((part for part in reversed(chain) if not self._trusts(part)), (chain or [peer])[0])
            secure = headers.get(b"x-forwarded-proto", scope["scheme"].encode()).strip() == b"https"
        elif not _FORWARDED.isdisjoint(headers):
            self._tell_of_proxy(peer)
        is_hidden = not (is_console or is_proxy) and not _FORWARDED.isdisjoint(headers)
        host = _PORT.sub("", headers.get(b"host", b"").decode("latin-1")).strip("[]").lower()
        return Caller(
            address=address,
            agent=headers.get(b"user-agent", b"").decode("latin-1")[:_AGENT_CHARS],
            secure=secure,
            is_local=is_loopback(address) and not is_hidden,
            is_certain=not is_hidden,
            cookies=_cookies(headers.get(b"cookie", b"")),
            cookies_secure=secure or host not in _LOOPBACK_NAMES,
        )

    def _tell_of_proxy(self, peer: str) -> None:
        if not self._told:
            self._told = True
            _log.warning(
                "Requests come through %s, which is no trusted proxy: all its clients count as one address. "
                "Name it in door.trusted_proxies if it is yours.",
                peer,
            )

    def _is_console(self, peer: str, headers: dict[bytes, bytes]) -> bool:
        sent = headers.get(CONSOLE_HEADER.lower().encode(), b"")
        return bool(self._secret) and is_loopback(peer) and hmac.compare_digest(sent, self._secret)

    def _trusts(self, address: str) -> bool:
        if not self._proxies:
            return False
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._proxies)


def header_values(scope: Scope, name: bytes, *, split: bool = True) -> list[str]:
    """Values of a header of a request, each part of a list by itself unless `split` is off."""
    found = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    if not split:
        return found
    return [part.strip() for value in found for part in value.split(",") if part.strip()]


def _cookies(header: bytes) -> Mapping[str, str]:
    pairs = (part.partition("=") for part in header.decode("latin-1").split(";"))
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def _address(text: str) -> str:
    """An address in normal form, a port cut off; what is none is quoted and cut short.

    So no word of a stranger, such as `local`, stands where an address or our own word for one does.
    """
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return f"'{text[:_WORD_CHARS]}'" if text else ""
    mapped = getattr(parsed, "ipv4_mapped", None)
    return str(mapped or parsed)


def is_loopback(address: str) -> bool:
    """Tell whether an address is this machine's own."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
