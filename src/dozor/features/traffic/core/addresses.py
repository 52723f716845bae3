"""Addresses as text, column by column: their normal form and the client behind proxies.

The normal form is dotted decimal for IPv4 and RFC 5952 for IPv6 (lower case, compressed). Servers
log it almost always, so a columnar check lets plain values pass and only the odd ones pay for
Python, once per distinct value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

import polars as pl

Network: TypeAlias = IPv4Network | IPv6Network

MAX_HOPS = 16
"""Entries of a forwarding header that are looked at; real chains have two or three."""

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"^(?:{_OCTET}\.){{3}}{_OCTET}$"

_HEXTET = r"(?:0|[1-9a-f][0-9a-f]{0,3})"
_FULL_IPV6 = rf"^(?:{_HEXTET}:){{7}}{_HEXTET}$"
_SHORT_IPV6 = rf"^{_HEXTET}(?::{_HEXTET}){{0,5}}::(?:{_HEXTET}(?::{_HEXTET}){{0,5}})?$"
# With so few groups left, `::` stands for two or more, as it must.
_SHORT_COLONS = 6
_SHORTENABLE_IPV6 = r"(?:^|:)0:(?:0|:)(?:$|:|[0-9a-f])|::0(?::|$)"

# `[2001:db8::1]:443`, `192.0.2.1:80` and `fe80::1%eth0` carry an address and something more.
_BRACKETED = re.compile(r"^\[([^\]]*)\](?::[0-9]{1,5})?$")
_IPV4_WITH_PORT = re.compile(r"^([0-9.]+):[0-9]{1,5}$")

_REMEMBERED = 1 << 16
_LONGEST = 80  # brackets, IPv6 in full, a zone, a port


def normal_addresses(texts: pl.Series) -> pl.Series:
    """Bring addresses into their normal form.

    IPv4 addresses mapped into IPv6 become IPv4; brackets, ports and zones are dropped.

    Args:
        texts: String series, distinct values for best speed.

    Returns:
        String series of the same length; null where the text is no address.
    """
    plain = _is_plain(texts)
    if plain.all():
        return texts
    odd = (~plain).arg_true()
    # What is longer is no address, and must not fill the memory of those that were seen.
    spellings = texts.gather(odd).to_list()
    normal = [_normal_address(text) if len(text) <= _LONGEST else None for text in spellings]
    return texts.clone().scatter(odd, pl.Series(normal, dtype=pl.String))


def _is_plain(texts: pl.Series) -> pl.Series:
    """Whether a text is surely an address in normal form; some rare normal forms are not recognised."""
    ipv4 = texts.str.contains(_IPV4)
    if ipv4.all():
        return ipv4
    short = texts.str.contains(_SHORT_IPV6) & (texts.str.count_matches(":", literal=True) <= _SHORT_COLONS)
    ipv6 = (short | texts.str.contains(_FULL_IPV6)) & ~texts.str.contains(_SHORTENABLE_IPV6)
    return ipv4 | ipv6


@lru_cache(maxsize=_REMEMBERED)
def _normal_address(text: str) -> str | None:
    try:
        address = ip_address(_bare_address(text))
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or IPv6Address(int(address)))
    return str(address)


def _bare_address(text: str) -> str:
    text = text.strip()
    wrapped = _BRACKETED.match(text) or _IPV4_WITH_PORT.match(text)
    return wrapped[1] if wrapped else text


def forwarded_clients(headers: pl.Series, trusted_proxies: Sequence[Network]) -> pl.Series:
    """Find the client that a chain of trusted proxies vouches for.

    Every proxy appends the address that it was called from, so the header is read from the right,
    for as long as the address read is a trusted proxy itself; what stands further left may be
    invented by the client. If every address is trusted, the leftmost is the client.

    Args:
        headers: String series of `X-Forwarded-For` values as logged, received from trusted proxies.
        trusted_proxies: Networks of proxies whose word is taken.

    Returns:
        String series of the same length, addresses in normal form; null where the header is empty
        or the walk meets something that is no address.
    """
    chains = headers.str.split(",")
    clients = pl.select(pl.repeat(None, len(headers), dtype=pl.String)).to_series()
    rows = (headers != "").arg_true()
    for back in range(1, MAX_HOPS + 1):
        open_chains = chains.gather(rows)
        hops = normal_addresses(open_chains.list.get(-back).str.strip_chars())
        clients = clients.scatter(rows, hops)
        onward = in_networks(hops, trusted_proxies) & (open_chains.list.len() > back)
        rows = rows.filter(onward)
        if rows.is_empty():
            break
    return clients


def in_networks(addresses: pl.Series, networks: Sequence[Network]) -> pl.Series:
    """Tell which addresses belong to one of the networks.

    Args:
        addresses: String series of addresses in normal form; null is in no network.
        networks: IPv4 and IPv6 networks.

    Returns:
        Boolean series of the same length without nulls.
    """
    ipv4 = tuple(network for network in networks if isinstance(network, IPv4Network))
    ipv6 = tuple(network for network in networks if isinstance(network, IPv6Network))
    inside = pl.repeat(value=False, n=len(addresses), eager=True)
    if ipv4:
        inside |= addresses.str.contains(_ipv4_beginnings(ipv4)).fill_null(value=False)
    if ipv6:
        near = _near(addresses, ipv6).arg_true()
        found = [_in_ipv6_networks(text, ipv6) for text in addresses.gather(near).to_list()]
        inside = inside.scatter(near, pl.Series(found, dtype=pl.Boolean))
    return inside


@lru_cache(maxsize=64)
def _ipv4_beginnings(networks: tuple[IPv4Network, ...]) -> str:
    """The pattern of the texts with which the addresses of the networks begin."""
    return f"^(?:{'|'.join(_ipv4_beginning(network) for network in networks)})"


def _ipv4_beginning(network: IPv4Network) -> str:
    whole, bits = divmod(network.prefixlen, 8)
    octets = network.network_address.packed
    fixed = [str(octet) for octet in octets[:whole]]
    if bits:
        choice = range(octets[whole], octets[whole] + (1 << 8 - bits))
        fixed.append(f"(?:{'|'.join(map(str, choice))})")
    return r"\.".join(fixed or ["[0-9]+"]) + ("$" if len(fixed) == len(octets) else r"\.")


def _near(addresses: pl.Series, networks: Sequence[IPv6Network]) -> pl.Series:
    """Whether an IPv6 address has a network's first group; rules nearly all out without Python."""
    groups = addresses.str.extract("^([0-9a-f]*):").replace("", "0").str.to_integer(base=16, strict=False)
    near = pl.repeat(value=False, n=len(addresses), eager=True)
    for network in networks:
        first, last = int(network.network_address) >> 112, int(network.broadcast_address) >> 112
        near |= groups.is_between(first, last).fill_null(value=False)
    return near


@lru_cache(maxsize=_REMEMBERED)
def _in_ipv6_networks(text: str, networks: tuple[IPv6Network, ...]) -> bool:
    address = IPv6Address(text)
    return any(address in network for network in networks)
