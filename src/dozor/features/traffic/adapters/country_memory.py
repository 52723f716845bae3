"""Country of an address by a table in memory."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network

import pyarrow as pa


class InMemoryCountry:
    """Country by a few networks; the narrowest network that holds an address decides.

    Args:
        networks: Country codes by network, for example `{"192.0.2.0/24": "DE"}`.
    """

    def __init__(self, networks: Mapping[str, str]) -> None:
        table = [(ip_network(network), code) for network, code in networks.items()]
        self._table = sorted(table, key=lambda row: row[0].prefixlen, reverse=True)

    def countries(self, addresses: pa.Array) -> pa.Array:
        """Look up each address; see the port `Country`."""
        return pa.array([self._country(text) for text in addresses.to_pylist()], pa.string())

    def _country(self, text: str) -> str:
        try:
            address = ip_address(text)
        except ValueError:
            return ""
        return next((code for network, code in self._table if address in network), "")
