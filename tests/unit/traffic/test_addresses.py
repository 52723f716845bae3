"""Addresses in one form, and the client behind proxies that nobody can forge."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dozor.features.traffic.core.addresses import (
    MAX_HOPS,
    forwarded_clients,
    in_networks,
    normal_addresses,
)

PROXIES = [ip_network("10.0.0.0/8"), ip_network("172.16.0.0/12"), ip_network("2001:db8:1::/48")]


def normal(text: str) -> str | None:
    found: str | None = normal_addresses(pl.Series([text])).item()
    return found


def client_behind(header: str) -> str | None:
    found: str | None = forwarded_clients(pl.Series([header]), PROXIES).item()
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:443", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ("2001:DB8::A", "2001:db8::a"),
        ("2001:db8:0:0:0:0:0:a", "2001:db8::a"),
        ("2001:0db8::000a", "2001:db8::a"),
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:8443", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:80", "fe80::1"),
    ],
)
def test_an_address_has_one_form_however_it_is_written(text: str, expected: str) -> None:
    assert normal(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "unix:",
        "host.example.org",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.01",
        "1.2.3.4.5",
        "12345",
        "::g",
        "1" * 9_000,
    ],
)
def test_what_is_no_address_has_no_form(text: str) -> None:
    assert normal(text) is None


# Groups with many zeros, so that every way to shorten an address comes up.
group = st.one_of(st.just(0), st.just(0), st.integers(0, 0xFFFF))
ipv6 = st.lists(group, min_size=8, max_size=8).map(
    lambda groups: IPv6Address(sum(value << 16 * place for place, value in enumerate(groups)))
)


@given(address=ipv6, zeros=st.integers(0, 8), length=st.integers(1, 8))
def test_every_spelling_of_an_ipv6_address_comes_to_the_form_of_rfc_5952(
    address: IPv6Address, zeros: int, length: int
) -> None:
    plain = [f"{int(text, 16):x}" for text in address.exploded.split(":")]
    shortened = ":".join(plain)
    cut = plain[zeros : zeros + length]
    if cut and set(cut) == {"0"}:
        shortened = ":".join(plain[:zeros]) + "::" + ":".join(plain[zeros + length :])
    expected = str(address.ipv4_mapped or address)
    for text in (str(address), address.exploded, address.exploded.upper(), ":".join(plain), shortened):
        assert normal(text) == expected


@given(texts=st.lists(st.text(alphabet="0123456789abf:.%[] ", max_size=20)))
def test_only_addresses_come_out_and_they_stay_as_they_are(texts: list[str]) -> None:
    found = normal_addresses(pl.Series(texts, dtype=pl.String))
    for text in found.drop_nulls():
        assert str(ip_address(text)) == text
    assert normal_addresses(found.drop_nulls()).to_list() == found.drop_nulls().to_list()


def test_the_given_series_is_left_alone() -> None:
    texts = pl.Series(["2001:DB8::1", "192.0.2.1"])
    normal_addresses(texts)
    assert texts.to_list() == ["2001:DB8::1", "192.0.2.1"]


@given(
    address=st.one_of(st.integers(0, 2**32 - 1).map(IPv4Address), ipv6),
    prefix=st.integers(0, 128),
    flipped=st.integers(0, 127),
)
def test_an_address_is_in_a_network_when_its_first_bits_are_the_networks(
    address: IPv4Address | IPv6Address, prefix: int, flipped: int
) -> None:
    bits = address.max_prefixlen
    other = type(address)(int(address) ^ (1 << flipped % bits))
    network = ip_network((int(other), prefix % (bits + 1)), strict=False)
    found = in_networks(pl.Series([str(address), None, "192.0.2.1", "2001:db8::1"]), [network])
    expected = [address, None, ip_address("192.0.2.1"), ip_address("2001:db8::1")]
    assert found.to_list() == [text is not None and text in network for text in expected]


@pytest.mark.parametrize(
    ("header", "client"),
    [
        ("", None),
        ("203.0.113.5", "203.0.113.5"),
        ("203.0.113.5, 10.0.0.2", "203.0.113.5"),
        ("203.0.113.5,10.0.0.2 ,172.31.0.1", "203.0.113.5"),
        ("2001:DB8:2::1, 2001:db8:1::7", "2001:db8:2::1"),
        ("[2001:db8:2::1]:5060, 10.0.0.2", "2001:db8:2::1"),
        ("203.0.113.5:61234", "203.0.113.5"),
        ("10.0.0.9, 10.0.0.2", "10.0.0.9"),
    ],
)
def test_the_first_address_from_the_right_that_is_no_proxy_is_the_client(
    header: str, client: str | None
) -> None:
    assert client_behind(header) == client


@pytest.mark.parametrize(
    "header", ["198.51.100.1, 203.0.113.5", "garbage, 203.0.113.5", "10.0.0.7, 203.0.113.5, 10.0.0.2"]
)
def test_what_a_client_writes_left_of_itself_is_ignored(header: str) -> None:
    assert client_behind(header) == "203.0.113.5"


@pytest.mark.parametrize(
    "header", ["unknown", "203.0.113.5, unknown", "203.0.113.5,", "_hidden, 10.0.0.2", ", 10.0.0.2", "\\x22"]
)
def test_garbage_on_the_way_vouches_for_nobody(header: str) -> None:
    assert client_behind(header) is None


def test_an_endless_chain_of_proxies_ends() -> None:
    assert client_behind(", ".join(["10.0.0.1"] * 10_000)) == "10.0.0.1"
    assert client_behind("203.0.113.5, " + ", ".join(["10.0.0.1"] * (MAX_HOPS - 1))) == "203.0.113.5"
