"""Country of an address by a database in MaxMind's format, for example GeoLite2, DB-IP or IPinfo."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from dozor.kernel.errors import SettingsError
from dozor.kernel.i18n import _

_REMEMBERED = 1 << 16
_CODE_LENGTH = 2
_LONGEST = 45  # IPv6 in full with IPv4 at its end; what is longer must not fill the memory


class MmdbCountry:
    """Country in which the database says the address is used.

    A lookup takes some microseconds; the last 65,536 addresses are remembered. Threads may share it.

    Args:
        path: The `.mmdb` file, which stays mapped into memory.

    Raises:
        SettingsError: The file is missing, unreadable or no such database.
    """

    def __init__(self, path: Path) -> None:
        # Few set a database of their own; the others need not load the reader.
        import maxminddb  # noqa: PLC0415

        try:
            reader = maxminddb.open_database(path)
        except (OSError, maxminddb.InvalidDatabaseError) as error:
            raise SettingsError(
                _("The country database {path} cannot be used: {reason}.").format(
                    path=path, reason=getattr(error, "strerror", None) or error
                ),
                hint=_("Set country_database to a .mmdb file, or leave it out for the built-in table."),
            ) from error

        @lru_cache(maxsize=_REMEMBERED)
        def country(address: str) -> str:
            try:
                return _country_code(reader.get(address))
            except ValueError:  # no address, or IPv6 in a database of IPv4
                return ""

        self._country = country

    def countries(self, addresses: pa.Array) -> pa.Array:
        """Look up each address; see the port `Country`."""
        texts = addresses.to_pylist()
        return pa.array([self._country(text) if len(text) <= _LONGEST else "" for text in texts], pa.string())


def _country_code(entry: Any) -> str:
    """The code in an entry, which publishers nest under `country` or write plainly."""
    if not isinstance(entry, dict):
        return ""
    country = entry.get("country") or entry.get("registered_country")
    nested = country.get("iso_code") if isinstance(country, dict) else None
    candidates = (nested, entry.get("country_code"), country)
    return next((code for code in candidates if isinstance(code, str) and len(code) == _CODE_LENGTH), "")
