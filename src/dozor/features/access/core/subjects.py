"""Whose failures are counted together."""

from __future__ import annotations

import unicodedata
from ipaddress import IPv6Address, ip_address, ip_network

_IPV6_PREFIX = 64
_LONGEST = 200


def account_key(username: str) -> str:
    """A name in the form in which names are compared: compatible signs, no case, no space around."""
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", username.strip()).casefold())
    return storable(plain[:_LONGEST])


def storable(text: str) -> str:
    """A text of a stranger as databases take it: PostgreSQL keeps no zero byte, and nobody's name has one."""
    return text.replace("\0", "\ufffd")


def account_subject(username: str) -> str:
    """The subject of an account, whether it exists or not."""
    return f"account:{account_key(username)}"


def address_subject(address: str) -> str:
    """The subject of an address: itself for IPv4, its /64 for IPv6, since a host may use all of one."""
    return f"address:{address_group(address)}"


def address_group(address: str) -> str:
    """`203.0.113.9` for itself, `2001:db8:1:2::/64` for an IPv6 address, the text for anything else."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:_LONGEST]
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ip_network((parsed, _IPV6_PREFIX), strict=False))
    return str(parsed)
