"""Country of an address by iptocc: offline, from the registries' allocations."""

from __future__ import annotations

import pyarrow as pa


class IptoccCountry:
    """Country to whose holder a registry gave the address; about 75 ns each.

    The table is inside the package, so it is as old as the package.
    """

    def countries(self, addresses: pa.Array) -> pa.Array:
        """Look up each address; see the port `Country`."""
        # The table loads with the import, which commands that need no country should not pay.
        from iptocc import country_code  # noqa: PLC0415

        codes = pa.array(country_code(addresses.to_pylist()), pa.string())
        return codes.fill_null("")
