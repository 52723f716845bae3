"""Which addresses may use the console; no trap: this machine always may, and a command switches it off."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from dozor.features.access.model import Event, Origin, Principal
from dozor.features.access.ports import AccessStore
from dozor.features.access.service.ledger import Ledger, entry_by

_LOOK_EVERY = 3.0
_NOTE = "allow_list"
_OFF = "off"


class AllowList:
    """The setting `access.console_networks`, unless it was switched off from the command line.

    Args:
        networks: Those that may; none means all.
        store: Where the switch is kept.
        ledger: Records its use.
        timer: Seconds that only go forward.
    """

    def __init__(
        self,
        networks: Sequence[IPv4Network | IPv6Network],
        *,
        store: AccessStore,
        ledger: Ledger,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._networks = tuple(networks)
        self._store = store
        self._ledger = ledger
        self._timer = timer
        self._looked = float("-inf")
        self._is_off = False

    async def admits(self, address: str) -> bool:
        """Tell whether this address may use the console."""
        if not self._networks or self._listed(address):
            return True
        return await self.is_off()

    async def is_off(self) -> bool:
        """Tell whether the list was switched off; as it was at most 3 seconds ago."""
        now = self._timer()
        if now - self._looked >= _LOOK_EVERY:
            async with self._store.reading() as unit:
                self._is_off = await unit.note(_NOTE) == _OFF
            self._looked = now
        return self._is_off

    async def switch(self, by: Principal, origin: Origin, *, on: bool) -> None:
        """Switch the list off, so that every address may, or on again."""
        async with self._ledger.writing() as change:
            await change.unit.put_note(_NOTE, "" if on else _OFF)
            await change.note(
                entry_by(
                    by, origin, Event.SENSITIVE_OPERATION, "allow_list.restore" if on else "allow_list.clear"
                )
            )
        self._looked = float("-inf")

    def _listed(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        return parsed.is_loopback or any(parsed in network for network in self._networks)
