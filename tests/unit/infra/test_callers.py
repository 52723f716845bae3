from __future__ import annotations

from ipaddress import ip_network

import pytest

from dozor.infra.callers import Callers

PROXY = "10.0.0.1"


@pytest.mark.parametrize(
    ("sent", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:DB8::1]:4711", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("local", "'local'"),
        ("unknown", "'unknown'"),
        ("", PROXY),
    ],
)
def test_a_trusted_proxy_tells_the_client(sent: str, address: str) -> None:
    callers = Callers([ip_network("10.0.0.0/8")])
    headers = [(b"x-forwarded-for", sent.encode())]
    caller = callers.of({"client": (PROXY, 40_000), "scheme": "http", "headers": headers})
    assert caller.address == address
    assert not caller.is_local
